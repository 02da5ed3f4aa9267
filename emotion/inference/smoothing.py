"""Smooths the probabilities of each face over neighbouring windows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from emotion.inference.timeline import Timeline


def smooth(timeline: Timeline, seconds: float) -> Timeline:
    """Averages the probabilities of each track with a Gaussian kernel over time.

    p'(t) = sum_j w_j p_j / sum_j w_j with w_j = exp(-4 ln 2 ((t_j - t) / seconds)^2), over the
    windows j of the same track and their middles t_j: kernel regression (Nadaraya 1964, Watson
    1964), which takes windows at any distance, and keeps probabilities positive with a sum of 1.
    Centred, not causal: the recording is there as a whole, and a filter that only looks back would
    show each change late, by about half of `seconds`.

    Args:
        timeline: Timeline.
        seconds: float, the width of the kernel at half its height; 0 changes nothing.

    Returns:
        Timeline; its windows, tracks and what was heard and seen are as before.

    Raises:
        ValueError: `seconds` is negative or no number.
    """
    check_seconds(seconds)
    if not seconds:
        return timeline
    predictions = timeline.predictions
    smoothed = list(predictions)
    for track in {prediction.track for prediction in predictions}:
        positions = [i for i, prediction in enumerate(predictions) if prediction.track == track]
        times = np.array([(predictions[i].start + predictions[i].end) / 2 for i in positions])
        shares = np.array([predictions[i].probabilities for i in positions])
        # Beyond two widths a weight is below 0.00002; so a long recording costs no square of it.
        first = np.searchsorted(times, times - 2 * seconds, "left")
        last = np.searchsorted(times, times + 2 * seconds, "right")
        for i, time, a, b in zip(positions, times, first, last, strict=True):
            weights = np.exp(-4 * np.log(2) * ((times[a:b] - time) / seconds) ** 2)
            row = (weights @ shares[a:b] / weights.sum()).astype(np.float32)
            smoothed[i] = replace(predictions[i], probabilities=row)
    return replace(timeline, predictions=smoothed)


def check_seconds(seconds: float) -> None:
    """Raises ValueError unless `seconds` is 0 or more, and finite."""
    if not 0 <= seconds < np.inf:
        raise ValueError(f"`smooth` must be 0 seconds or more. Received: smooth={seconds}.")
