"""Calibration: the bins, their error, and the factors that mend it."""

import numpy as np
import pytest
from scipy import special

from emotion.metrics import calibration


def test_bins_hold_every_clip_and_their_edges_belong_below():
    probabilities = np.array([[1.0, 0.0], [0.6, 0.4], [0.6 + 1e-9, 0.4 - 1e-9], [0.5, 0.5]])
    bins = calibration.reliability([0, 0, 1, 1], probabilities)
    clips = [item["clips"] for item in bins]
    assert len(bins) == 15 and {i: n for i, n in enumerate(clips) if n} == {7: 1, 8: 1, 9: 1, 14: 1}
    assert bins[8]["accuracy"] == 1 and bins[9]["accuracy"] == 0 and bins[0]["accuracy"] is None


def test_the_error_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    probabilities = special.softmax(rng.normal(size=(500, 6)), axis=1)
    targets = rng.integers(0, 6, 500)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    expected = 0.0
    for low in np.arange(15) / 15:
        individual = (confidence > low) & (confidence <= low + 1 / 15)
        if individual.any():
            expected += individual.mean() * abs(
                right[individual].mean() - confidence[individual].mean()
            )
    bins = calibration.reliability(targets, probabilities)
    assert calibration.expected_calibration_error(bins) == pytest.approx(expected, abs=1e-12)


def test_what_was_made_too_sure_is_detected_out():
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=2, size=(20_000, 5))
    targets = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)  # drawn from softmax(logits)
    assert calibration.temperature(targets, 3 * logits) == pytest.approx(3, rel=0.03)
    assert calibration.temperature(targets, special.log_softmax(logits, 1)) == pytest.approx(
        1, rel=0.03
    )


def test_systems_weigh_as_they_tell():
    rng = np.random.default_rng(2)
    good, noise = rng.normal(scale=2, size=(2, 20_000, 5))
    targets = (good + rng.gumbel(size=good.shape)).argmax(axis=1)
    first, second = calibration.scales(targets, [good, noise])
    assert first == pytest.approx(1, rel=0.05) and second == pytest.approx(0, abs=0.02)
    assert calibration.temperature(targets, -good) == np.inf


def test_predictions_from_the_threshold_on_are_right_often_enough():
    rng = np.random.default_rng(2)
    logits = rng.normal(scale=1.5, size=(5000, 4))
    targets = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    probabilities = special.softmax(logits, axis=1)
    least = calibration.threshold(targets, probabilities, 0.8)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    assert right[confidence >= least].mean() >= 0.8 > right.mean()
    lower = np.sort(confidence[confidence < least])[::-1]
    assert all(right[confidence >= value].mean() < 0.8 for value in lower)


def test_a_threshold_is_0_where_all_and_1_where_none_is_right():
    sure = np.array([[0.9, 0.1], [0.6, 0.4]])
    assert calibration.threshold([0, 0], sure) == 0 and calibration.threshold([1, 1], sure) == 1
