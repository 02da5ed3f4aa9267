"""Votes of raters as training targets: how many of them perceived each class in a clip.

Where a corpus has them, `info["votes"]` of a Clip is a dict of modality ("audio", "video", "both":
what the raters were shown) to a dict of label to votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from emotion.clip import Clip


def targets(clips: Sequence[Clip], labels: Sequence[str], modality: str | None) -> np.ndarray:
    """Returns the training targets of clips: the shares of the votes, or one-hot labels.

    Args:
        clips: sequence of Clip, each of one of `labels`.
        labels: sequence of str.
        modality: str, what the model is shown, whose votes count; None for no votes.

    Returns:
        float32 array (len(clips), len(labels)), rows of sum 1: one-hot for a clip of which no rater
        named any of `labels`.

    >>> from emotion.clip import Clip
    >>> clip = Clip("a", "sad", "1001", info={"votes": {"audio": {"sad": 3, "neutral": 1}}})
    >>> targets([clip], ("neutral", "sad"), "audio").tolist()
    [[0.25, 0.75]]
    >>> targets([clip], ("neutral", "sad"), "video").tolist()
    [[0.0, 1.0]]
    """
    rows = np.zeros((len(clips), len(labels)), np.float32)
    for row, clip in zip(rows, clips):
        votes = clip.info.get("votes", {}).get(modality, {})
        row[:] = [votes.get(label, 0) for label in labels]
        if not row.any():
            row[labels.index(clip.label)] = 1
    return rows / rows.sum(axis=1, keepdims=True)
