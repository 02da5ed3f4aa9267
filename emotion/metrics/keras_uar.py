"""UAR as a Keras metric, for `model.compile` and early stopping."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("emotion")
class UnweightedAverageRecall(keras.metrics.Metric):
    """`uar` over an epoch, for `compile`; sample weights do not enter.

    Args:
        classes: int.
        name: str.
    """

    def __init__(self, classes: int, name: str = "uar"):
        super().__init__(name=name)
        self.classes = classes
        self.counts = self.add_weight(name="counts", shape=(classes, classes), initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any | None = None) -> None:
        """Adds a batch: y_true (b, classes) one-hot or mixed, y_pred (b, classes) scores."""
        true = ops.one_hot(ops.argmax(y_true, axis=-1), self.classes)
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.classes)
        self.counts.assign_add(ops.matmul(ops.transpose(true), predicted))

    def result(self) -> Any:
        """Scalar float32."""
        totals = ops.sum(self.counts, axis=1)
        by_class = ops.diagonal(self.counts) / ops.maximum(totals, 1.0)
        present = ops.cast(totals > 0, "float32")
        return ops.sum(by_class) / ops.maximum(ops.sum(present), 1.0)

    def reset_state(self) -> None:
        """Resets the counts."""
        self.counts.assign(ops.zeros(self.counts.shape))

    def get_config(self) -> dict:
        """The arguments."""
        return {"classes": self.classes, "name": self.name}
