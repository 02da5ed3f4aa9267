"""WarmUp: raises the learning rate linearly over the first epochs."""

from __future__ import annotations

import keras


class WarmUp(keras.callbacks.Callback):
    """Raises the learning rate linearly from zero, batch by batch, then leaves it alone.

    It holds no state: where it stands follows from the optimizer's own count of iterations.

    Args:
        learning_rate: float, reached at the end of the warm-up.
        steps: int, batches that the warm-up takes; 0 for none.

    Raises:
        ValueError: `steps` is negative.
    """

    def __init__(self, learning_rate: float, steps: int):
        super().__init__()
        if steps < 0:
            raise ValueError(f"`steps` must be at least 0. Received: steps={steps}.")
        self.learning_rate = learning_rate
        self.steps = steps

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Sets the rate for the batch to come."""
        done = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        if done < self.steps:
            self.model.optimizer.learning_rate = self.learning_rate * (done + 1) / self.steps
