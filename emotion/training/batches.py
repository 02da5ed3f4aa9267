"""Batches: the Keras data generator. It holds the list of clips and a few batches in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import keras
import numpy as np

from emotion.data import votes
from emotion.training import collate

if TYPE_CHECKING:
    from emotion.clip import Arrays, Clip, Load
    from emotion.preset import Preset
    from emotion.processes import Pool
    from emotion.signals.augment import Augmentation


class Batches(keras.utils.PyDataset):
    """Inputs, labels and sample weights of a list of clips, a batch at a time.

    Order and augmentation are functions of (seed, epoch, clip) alone, whatever the number of
    workers, so an epoch can be repeated. For training it has no end: index i is batch i % n of
    epoch i // n, for `fit` with what `backend.streams` makes of it, steps_per_epoch=len(batches)
    and shuffle=False.
    Keras would otherwise shuffle from a global generator, begin each epoch with an empty queue,
    and call `on_epoch_end` once before the first epoch.

    Args:
        clips: list of Clip.
        preset: Preset, computes the features.
        labels: tuple of str, the run's label order.
        batch_size: int.
        load: function of a Clip that returns its Signal, such as `SignalCache.load`.
        augmentation: Augmentation, or None for validation, testing and prediction: then the clips
            come in their own order.
        class_weights: dict of `balanced_weights`, or None for 1.
        seed: int.
        epoch: int, the epoch that the first pass is.
        pool: processes.Pool, or None to make batches in this process.
    """

    def __init__(
        self,
        clips: list[Clip],
        preset: Preset,
        labels: Sequence[str],
        batch_size: int,
        load: Load,
        augmentation: Augmentation | None = None,
        class_weights: dict[tuple[str | None, str], float] | None = None,
        seed: int = 0,
        epoch: int = 0,
        pool: Pool | None = None,
    ):
        super().__init__()
        self.clips = clips
        self.preset = preset
        self.labels = labels
        self.batch_size = batch_size
        self.load = load
        self.augmentation = augmentation
        self.class_weights = class_weights
        self.seed = seed
        self.epoch = epoch
        self._pool = pool
        self._depth = pool.count + 1 if pool else 1  # batches begun, so that no worker waits
        self._begun = {}

    @property
    def num_batches(self) -> int | None:
        """int, or None where there is no end."""
        return None if self.augmentation else len(self)

    def __len__(self) -> int:
        """int, batches in an epoch; the last may be smaller."""
        return -(-len(self.clips) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Arrays, np.ndarray, np.ndarray]:
        """Returns a batch.

        Returns:
            (inputs, targets, weights): dict of name to array (b, ...), `votes.targets` of training
            clips and one-hot labels of others (b, classes) float32, loss weights (b,) float32; four
            times as many rows where the augmentation has modality dropout.
        """
        end = index + self._depth
        if self.augmentation is None:
            end = min(end, len(self))
        self._begun = {i: self._begun.get(i) or self._begin(i) for i in range(index, end)}
        return self._begun.pop(index)()

    def _begin(self, index):
        """Begins a batch; returns a function that waits for it and returns it."""
        passed, step = divmod(index, len(self))
        epoch, order = self.epoch + passed, np.arange(len(self.clips))
        if self.augmentation is not None:
            order = np.random.default_rng((self.seed, epoch)).permutation(order)
        order = order[step * self.batch_size : (step + 1) * self.batch_size].tolist()
        clips = [self.clips[position] for position in order]
        weights = self.class_weights or {}
        make = partial(
            collate.batch,
            clips,
            [(self.seed, epoch, position) for position in order],
            votes.targets(clips, self.labels, self.augmentation and self.preset.modality),
            np.array([weights.get(_group(clip), 1.0) for clip in clips], np.float32),
            (self.seed, epoch, len(self.clips) + step),
            self.preset,
            self.load,
            self.augmentation,
        )
        return self._pool.schedule(make).result if self._pool else make


def balanced_weights(clips: list[Clip]) -> dict[tuple[str | None, str], float]:
    """Returns the weights that give each corpus, and in it each class, the same part in the loss.

    Args:
        clips: list of Clip; those of a further corpus say so (`info["corpus"]`).

    Returns:
        dict of (corpus, label) to n / (corpora * classes of the corpus * n of both), of one corpus
        scikit-learn's "balanced".
    """
    counts = Counter(map(_group, clips))
    classes = Counter(corpus for corpus, _ in counts)
    return {
        (corpus, label): len(clips) / (len(classes) * classes[corpus] * count)
        for (corpus, label), count in counts.items()
    }


def _group(clip):
    return clip.info.get("corpus"), clip.label
