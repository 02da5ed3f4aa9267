"""Calibration: whether a confidence of 70 % is right in 70 % of cases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

BINS = 15
PRECISION = 0.75  # of the predictions that are shown, that `threshold` is chosen for
_LEAST = 1e-12  # the probability that stands for 0, whose logarithm would outweigh all
_SHARPEST = 100.0  # a scale beyond it says no more than that every clip was right


def reliability(targets: np.ndarray, probabilities: np.ndarray) -> list[dict]:
    """Computes the bins of a reliability diagram: accuracy by confidence.

    Args:
        targets: int array (n,), true classes.
        probabilities: float array (n, c).

    Returns:
        List of 15 dicts, one a bin of equal width, bin i of the confidences (the highest
        probability of a clip) in (i / 15, (i + 1) / 15]: clips, confidence (their mean) and
        accuracy; these two are None in an empty bin.
    """
    confidence = np.max(probabilities, axis=1)
    right = np.argmax(probabilities, axis=1) == np.asarray(targets)
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    clips = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, values, BINS) for values in (confidence, right)]
    return [
        {
            "clips": int(count),
            "confidence": float(sure / count) if count else None,
            "accuracy": float(hits / count) if count else None,
        }
        for count, sure, hits in zip(clips, *sums)
    ]


def expected_calibration_error(bins: list[dict]) -> float:
    """ECE: the sum over bins of clips / n * |accuracy - confidence|, 0 (best) to 1.

    Source: Guo, Pleiss, Sun & Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
    eq. 3, arXiv:1706.04599.

    Args:
        bins: list of dict, of `reliability`.

    >>> expected_calibration_error(reliability([0, 1], [[0.75, 0.25], [0.75, 0.25]]))
    0.25
    """
    filled = [bin_ for bin_ in bins if bin_["clips"]]
    total = sum(bin_["clips"] for bin_ in filled)
    gaps = (bin_["clips"] * abs(bin_["accuracy"] - bin_["confidence"]) for bin_ in filled)
    return float(sum(gaps) / total)


def logarithms(probabilities: np.ndarray) -> np.ndarray:
    """Returns log-probabilities, float64; a probability below 1e-12 counts as that."""
    return np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST))


def scales(targets: np.ndarray, systems: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The factors b >= 0 for which softmax(b_1 logits_1 + b_2 logits_2 + ...) fits best.

    They minimise the mean negative log-likelihood, which is convex in them. A weight w and a
    temperature T of each system come to the same: only w / T = b enters.

    Args:
        targets: int array (n,), true classes.
        systems: float array (s, n, c), logits or log-probabilities, finite.

    Returns:
        float64 array (s,), each at most 100.
    """
    stacked = np.asarray(systems, np.float64)
    true = np.take_along_axis(stacked, np.asarray(targets)[None, :, None], axis=2)[..., 0]

    def loss(b):
        logits = np.tensordot(b, stacked, 1)
        value = np.mean(special.logsumexp(logits, axis=1) - b @ true)
        expected = np.einsum("nc,snc->s", special.softmax(logits, axis=1), stacked)
        return value, expected / len(targets) - true.mean(axis=1)

    start = np.full(len(stacked), 1 / len(stacked))
    limits = [(0, _SHARPEST)] * len(stacked)
    solution = optimize.minimize(loss, start, jac=True, bounds=limits, options={"ftol": 1e-14})
    return solution.x


def loss(targets: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean categorical cross-entropy: of -log of the probability of the true class.

    Args:
        targets: int array (n,), true classes.
        probabilities: float array (n, c), read by `logarithms`.

    Returns:
        float, natural logarithm; 0 is best, log(c) is that of equal probabilities.

    >>> round(loss([0, 1], [[0.5, 0.5], [0.75, 0.25]]), 4)
    1.0397
    """
    chosen = np.take_along_axis(logarithms(probabilities), np.asarray(targets)[:, None], axis=1)
    return float(-chosen.mean())


def temperature(targets: np.ndarray, logits: np.ndarray) -> float:
    """The T > 0 that calibrates softmax(logits / T) best, by `scales`; above 1: too sure.

    Fit it on validation speakers, never on those it is tested on.

    Args:
        targets: int array (n,), true classes.
        logits: float array (n, c), or log-probabilities.

    Returns:
        float, at least 0.01; inf where the logits say nothing of the classes.

    >>> sure = np.log([[0.9, 0.1]] * 10)
    >>> round(temperature([0] * 7 + [1] * 3, sure), 3)  # 70 % right: softmax gives 0.7 for it
    2.593
    """
    (scale,) = scales(targets, [logits])
    return float(1 / scale) if scale > 0 else float("inf")


def threshold(
    targets: np.ndarray, probabilities: np.ndarray, precision: float = PRECISION
) -> float:
    """The lowest confidence from which on predictions are right often enough.

    Args:
        targets: int array (n,), true classes of validation clips.
        probabilities: float array (n, c), calibrated.
        precision: float in [0, 1], the least part of the predictions with that confidence or a
            higher one that is right.

    Returns:
        float in [0, 1]: 0 where all predictions together are right often enough, 1 where none are.

    >>> sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5]])
    >>> threshold([0, 0, 1, 1], sure)
    0.8
    """
    confidence = np.max(probabilities, axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (np.argmax(probabilities, axis=1) == np.asarray(targets))[order]
    shares = np.cumsum(right) / np.arange(1, len(right) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True)  # of those of equal confidence
    enough = np.flatnonzero(last & (shares >= precision))
    if not len(enough):
        return 1.0
    return 0.0 if enough[-1] == len(right) - 1 else float(confidence[order][enough[-1]])
