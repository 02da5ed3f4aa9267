"""BestModel: saves the whole model of the best epoch so far."""

from __future__ import annotations

import os
from pathlib import Path

import keras


class BestModel(keras.callbacks.ModelCheckpoint):
    """Writes the model whenever the validation UAR improves, as ModelCheckpoint does, but safely.

    ModelCheckpoint alone would not do: it writes into the file that is read, so that a kill leaves
    half a model; it saves the model that is fitted, which may be the head of the whole one; and it
    forgets the best score when a training is resumed.

    Must come after EarlyStopping and before RunState: the model in the file is then never older
    than the state, whenever a kill comes.

    Args:
        path: str or Path, ends in .keras.
        model: keras.Model to write; it shares its layers with the one that is fitted.
        best: float, the best validation UAR of a training that is resumed, or None.
    """

    def __init__(self, path: str | Path, model: keras.Model, best: float | None = None):
        self.path, self.whole = Path(path), model
        self.part = self.path.with_suffix(".part.keras")
        # ModelCheckpoint fills in what stands in braces.
        name = str(self.part).replace("{", "{{").replace("}", "}}")
        super().__init__(
            name, "val_uar", save_best_only=True, mode="max", initial_value_threshold=best
        )

    def set_model(self, model: keras.Model) -> None:
        """Saves the whole model instead of the one that is fitted."""
        super().set_model(self.whole)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Deletes what a kill has left half written."""
        self.part.unlink(missing_ok=True)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the model if it is the best so far.

        Raises:
            OSError: it could not be written; the one before it is kept.
        """
        super().on_epoch_end(epoch, logs)
        if self.part.is_file():
            os.replace(self.part, self.path)
