"""Batches: the data generator. It holds the list of clips and one batch, never the corpus."""

from functools import partial

import keras
import numpy as np

from emotion import workers
from emotion.augment import drop_modalities, mix


class Batches(keras.utils.PyDataset):
    """Inputs, labels and sample weights of a list of clips, a batch at a time.

    Order and augmentation are functions of (seed, epoch, clip) alone, whatever the number of
    workers, so an epoch can be repeated. For training it has no end: index i is batch i % n of
    epoch i // n, for `fit(batches, steps_per_epoch=len(batches), shuffle=False)`. Keras would
    otherwise shuffle from a global generator, begin each epoch with an empty queue, and call
    `on_epoch_end` once before the first epoch.

    Args:
        clips: list of Clip.
        preset: Preset, computes the features.
        labels: tuple of str, the run's label order.
        batch_size: int.
        load: function of a Clip that returns its Signal, such as `cache.load` with its settings.
        augmentation: Augmentation, or None for validation, testing and prediction: then the clips
            come in their own order.
        class_weights: dict of label to float, the loss weight of its clips, or None for 1.
        seed: int.
        epoch: int, the epoch that the first pass is.
        pool: executor of `workers.pool`, or None to make batches in this process.
    """

    def __init__(
        self,
        clips,
        preset,
        labels,
        batch_size,
        load,
        augmentation=None,
        class_weights=None,
        seed=0,
        epoch=0,
        pool=None,
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
        self._map = pool.map if pool else map

    @property
    def num_batches(self):
        """int, or None where there is no end."""
        return None if self.augmentation else len(self)

    def __len__(self):
        """int, batches in an epoch; the last may be smaller."""
        return -(-len(self.clips) // self.batch_size)

    def __getitem__(self, index):
        """Returns a batch.

        Returns:
            (inputs, targets, weights): dict of name to array (b, ...), one-hot labels
            (b, classes) float32, loss weights (b,) float32; four times as many rows where the
            augmentation has modality dropout.
        """
        passed, step = divmod(index, len(self))
        epoch = self.epoch + passed
        order = self._order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        make = partial(
            workers.inputs,
            preset=self.preset,
            load=self.load,
            augmentation=self.augmentation,
            seed=self.seed,
        )
        clips = [self.clips[position] for position in order]
        rows = list(self._map(make, clips, order.tolist(), [epoch] * len(order)))
        inputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        labels = [clip.label for clip in clips]
        classes = [self.labels.index(label) for label in labels]
        targets = np.eye(len(self.labels), dtype=np.float32)[classes]
        weights = self.class_weights or {}
        weights = np.array([weights.get(label, 1.0) for label in labels], np.float32)
        batch = inputs, targets, weights
        if self.augmentation is None:
            return batch
        chance = np.random.default_rng((self.seed, epoch, len(self.clips) + step))
        if self.augmentation.mixup:
            batch = mix(*batch, self.augmentation.mixup, chance)
        if self.augmentation.modality_dropout:
            batch = drop_modalities(*batch, chance)
        return batch

    def _order(self, epoch):
        if self.augmentation is None:
            return np.arange(len(self.clips))
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.clips))


def balanced_weights(clips, labels):
    """Returns the weights that give each class that is present the same part in the loss.

    Args:
        clips: list of Clip.
        labels: tuple of str.

    Returns:
        dict of label to n / (classes present * n of the class), as scikit-learn's "balanced".
    """
    counts = {label: sum(clip.label == label for clip in clips) for label in labels}
    present = [label for label in labels if counts[label]]
    return {label: len(clips) / (len(present) * counts[label]) for label in present}
