"""Milestones: lowers the learning rate at given epochs."""

from __future__ import annotations

from collections.abc import Sequence

import keras


class Milestones(keras.callbacks.LearningRateScheduler):
    """Multiplies the learning rate at the start of each named epoch, and logs it.

    It holds no state: the rate is a function of the epoch.

    Args:
        learning_rate: float, before the first milestone.
        epochs: tuple of int, counted from 1.
        factor: float, what the rate is multiplied with at each.

    Raises:
        ValueError: an epoch is below 1.
    """

    def __init__(self, learning_rate: float, epochs: Sequence[int], factor: float = 0.1):
        if min(epochs, default=1) < 1:
            raise ValueError(f"`epochs` must be at least 1 each. Received: epochs={epochs}.")
        super().__init__(
            lambda epoch, _: learning_rate * factor ** sum(epoch + 1 >= at for at in epochs)
        )
