"""Builds one batch from clips, in a worker process that loads no backend."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from emotion.signals.augment import drop_modalities, mix

if TYPE_CHECKING:
    from emotion.clip import Arrays, Clip, Load
    from emotion.preset import Preset
    from emotion.signals.augment import Augmentation


def batch(
    clips: list[Clip],
    chances: list[tuple[int, ...]],
    targets: np.ndarray,
    weights: np.ndarray,
    mixing: tuple[int, ...],
    preset: Preset,
    load: Load,
    augmentation: Augmentation | None,
) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Builds a batch, whole: sending its clips one by one would take as long as building it.

    Args:
        clips: list of Clip.
        chances: list of tuple of int, the seed of each clip's augmentation.
        targets: float32 array (b, classes), one-hot.
        weights: float32 array (b,), loss weights.
        mixing: tuple of int, the seed of what is done to the batch as a whole.
        preset: Preset, computes the features.
        load: function of a Clip that returns its Signal; it must pickle.
        augmentation: Augmentation, or None.

    Returns:
        (inputs, targets, weights): dict of name to array (b, ...), and arrays as given; 4 b rows
        with modality dropout.
    """
    rows = []
    for clip, chance in zip(clips, chances, strict=True):
        vary = None
        if augmentation:
            vary = partial(augmentation, generator=np.random.default_rng(chance))
        rows.append(preset.extract(load(clip), vary))
    inputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    made = inputs, targets, weights
    if augmentation is not None:
        generator = np.random.default_rng(mixing)
        alpha = augmentation.mixup if "audio" in inputs else augmentation.face_mixup
        if alpha:
            made = mix(*made, alpha, generator)
        if augmentation.modality_dropout:
            made = drop_modalities(*made, generator)
    return made
