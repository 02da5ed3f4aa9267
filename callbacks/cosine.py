"""Cosine: lowers the learning rate along half a cosine over the epochs of a training."""

from __future__ import annotations

import math

import keras


class Cosine(keras.callbacks.LearningRateScheduler):
    """Lowers the learning rate from `learning_rate` to `least` (Loshchilov & Hutter 2017).

    It holds no state: the rate is a function of the epoch. arXiv:1608.03983, without restarts.

    Args:
        learning_rate: float, of the first epoch.
        epochs: int, after which the rate is `least`.
        least: float.
    """

    def __init__(self, learning_rate: float, epochs: int, least: float = 0.0):
        super().__init__(
            lambda epoch, _: (
                least + (learning_rate - least) * (1 + math.cos(math.pi * epoch / epochs)) / 2
            )
        )
