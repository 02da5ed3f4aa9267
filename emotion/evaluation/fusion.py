"""Late fusion of the scores of several systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from emotion.metrics import calibration

if TYPE_CHECKING:
    from emotion.evaluation.scores import Scores


def agree(systems: list[Scores]) -> None:
    """Raises ValueError where files of scores are not of the same clips.

    Args:
        systems: list of scores.Scores.
    """
    first = systems[0]
    known = {clip.id for clip in first.clips}
    for other in systems[1:]:
        _agree_on_classes(first, other)
        theirs = {clip.id for clip in other.clips}
        for more, less, ids in ((first, other, known - theirs), (other, first, theirs - known)):
            if ids:
                raise ValueError(
                    f"{less.path} has no row for the clip {min(ids)}, which {more.path} has "
                    f"({len(ids)} such); use files of the same clips."
                )


def fit(held_out: list[Scores], systems: list[Scores]) -> np.ndarray:
    """Fits the factors that `fuse` takes, by `calibration.scales`.

    Args:
        held_out: list of scores.Scores, of validation speakers.
        systems: list of scores.Scores to be fused, in the same order.

    Returns:
        float64 array (systems,): the weight of each, over the temperature of all.

    Raises:
        ValueError: the numbers, clips or classes of the files do not agree, a speaker of
            `held_out` is in `systems`, or `held_out` tells nothing of the classes.
    """
    if len(held_out) != len(systems):
        raise ValueError(
            f"--validation must name a file of each system, {len(systems)} in all. "
            f"Received: {len(held_out)}."
        )
    agree(held_out)
    _agree_on_classes(systems[0], held_out[0])
    tested, validated = ({clip.speaker for clip in s[0].clips} for s in (systems, held_out))
    if tested & validated:
        raise ValueError(
            f"Speaker {min(tested & validated)} is in {systems[0].path} and in "
            f"{held_out[0].path}: weights must be fitted on speakers who are not scored; "
            "leave them out of either."
        )
    scales = calibration.scales(held_out[0].targets, _logarithms(held_out))
    if not scales.any():
        raise ValueError("--validation: the files tell nothing of the classes; leave them out.")
    return scales


def fuse(systems: list[Scores], scales: np.ndarray | None = None) -> np.ndarray:
    """Computes the softmax of the weighted sum of log-probabilities.

    Args:
        systems: list of scores.Scores that `agree`.
        scales: float array, a factor a system, of `fit`; None makes it their mean.

    Returns:
        float64 array (clips, labels); rows sum to 1.
    """
    logs = _logarithms(systems)
    if scales is None:
        scales = np.full(len(systems), 1 / len(systems))
    return special.softmax(np.tensordot(scales, logs, 1), axis=1)


def _logarithms(systems):
    return calibration.logarithms([system.probabilities for system in systems])


def _agree_on_classes(first, other):
    if other.labels != first.labels:
        raise ValueError(
            f"{first.path} is of {first.corpus} and {other.path} of {other.corpus}, which have "
            "other classes; use files of one corpus."
        )
