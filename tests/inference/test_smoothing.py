"""Smoothing: the filter over a track's probabilities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion.clip import Prediction
from emotion.inference.smoothing import smooth
from emotion.inference.timeline import Timeline
from emotion.media.decode import Info

LABELS = ("a", "b", "c")


def timeline(rows, starts=None, track=lambda i: 1):
    """A Timeline with a prediction of 3 s for each row of probabilities, a second apart."""
    starts = range(len(rows)) if starts is None else starts
    result = [
        Prediction(float(start), start + 3.0, LABELS, np.array(row, np.float32), True, True, id)
        for start, row, id in zip(starts, rows, map(track, range(len(rows))))
    ]
    return Timeline(Info(Path("x"), 9, True, True), LABELS, 9.0, np.zeros(0), [], result)


def shares(timeline):
    return np.array([item.probabilities for item in timeline.predictions])


def test_one_outlier_is_averaged_as_the_formula_says():
    rows = np.eye(3)[[0, 0, 0, 1, 0, 0, 0]]
    got = shares(smooth(timeline(rows), 2))
    weights = np.exp(-4 * np.log(2) * (np.arange(-3, 4) / 2) ** 2)
    assert got[3, 1] == pytest.approx(1 / weights.sum(), abs=1e-5)
    np.testing.assert_allclose(got[:, 1], got[::-1, 1], atol=1e-6)  # centred: no lag
    assert got[2, 1] / got[3, 1] == pytest.approx(
        0.5, abs=0.01
    )  # half the width away, half as much


@given(st.integers(1, 40), st.floats(0, 20), st.integers(0, 2**32 - 1))
def test_probabilities_stay_probabilities(count, seconds, seed):
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet((1, 1, 1), count)
    before = timeline(rows, np.sort(rng.uniform(0, 100, count)), lambda i: i % 2)
    got = shares(smooth(before, seconds))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    assert (got >= rows.min(axis=0) - 1e-6).all() and (got <= rows.max(axis=0) + 1e-6).all()


def test_tracks_are_not_mixed_and_nothing_else_changes():
    rows = np.eye(3)[[0, 1] * 5]
    before = timeline(rows, np.repeat(range(5), 2), lambda i: 1 + i % 2)
    after = smooth(before, 5)
    np.testing.assert_allclose(shares(after), rows, atol=1e-6)
    same = [replace(item, probabilities=None) for item in before.predictions]
    for item, other in zip(same, after.predictions, strict=True):
        assert vars(item) == vars(replace(other, probabilities=None))
    assert smooth(before, 0) is before


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_refuses_what_is_no_width(seconds):
    with pytest.raises(ValueError, match="smooth=.*"):
        smooth(timeline([]), seconds)
