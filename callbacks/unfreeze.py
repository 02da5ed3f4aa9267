"""Unfreeze: keeps pretrained layers frozen while the head learns, then trains them too."""

from __future__ import annotations

from collections.abc import Sequence

import keras


class Unfreeze(keras.callbacks.Callback):
    """Freezes layers in the first epochs.

    Meanwhile they are as frozen layers are: their batch normalization uses the statistics it came
    with. The optimizer must have been built over all weights that will ever train, so that its
    state has one shape; JAX's does not take a part of them. When the layers join, it counts its
    iterations from zero again, for the sake of their moments, which are zero, and the warm-up is
    repeated to the new rate.

    The counters of early stopping and ReduceLROnPlateau run on from one phase to the other, and
    the best epoch may be one of either. It holds no state: a resumed run gets what the epoch says.

    Args:
        layers: list of keras.layers.Layer, each of which trains whole or, till then, not at all.
        epoch: int, the first in which they train, counted from 0.
        learning_rate: float, of the model from then on.
        warm_up: callbacks.WarmUp.

    Raises:
        ValueError: `epoch` is below 1.
    """

    def __init__(
        self, layers: Sequence[keras.layers.Layer], epoch: int, learning_rate: float, warm_up: int
    ):
        super().__init__()
        if epoch < 1:
            raise ValueError(f"`epoch` must be at least 1. Received: epoch={epoch}.")
        self.layers = layers
        self.epoch = epoch
        self.learning_rate = learning_rate
        self.warm_up = warm_up

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Freezes the layers."""
        self._train(False)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Unfreezes the layers and sets their learning rate."""
        if epoch < self.epoch or self._trained:
            return
        self._train(True)
        self.warm_up.learning_rate = self.learning_rate
        if epoch == self.epoch:
            self.model.optimizer.learning_rate = self.learning_rate
            self.model.optimizer.iterations.assign(0)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leaves the layers as they were, however early the training ended."""
        self._train(True)

    def _train(self, flag):
        self._trained = flag
        for layer in self.layers:
            layer.trainable = flag
        self.model.make_train_function(force=True)  # which knows what trains when it is made
