"""RunState: saves after each epoch, in one file, everything that decides how training continues."""

from __future__ import annotations

import json
import os
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np

# What these callbacks count; `BackupAndRestore` leaves it out.
_COUNTERS = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "cooldown_counter", "best"),
    "Milestones": (),
    "Cosine": (),
}
# What reading a file raises that was cut short or changed.
_DAMAGE = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile)


class RunState(keras.callbacks.Callback):
    """Saves and restores a training so exactly that a resumed one equals one never stopped.

    One file holds the model's variables with the seed states of its dropout, the optimizer's, the
    counters of the callbacks, the best weights and the history. It is written under a temporary
    name, synced and renamed: a kill or a full disk at any moment leaves a whole state. The state
    before the last is kept, for the case that the last is damaged. Must come after the callbacks
    whose counters it saves.

    Args:
        folder: str or Path, where the state files lie.
        early_stopping: keras.callbacks.EarlyStopping with restore_best_weights=True.
        schedule: keras.callbacks.ReduceLROnPlateau, Milestones or Cosine.
        run: str that tells the training apart from any other; None for any.

    Attributes:
        epoch: int, epochs that are done.
        stopped: bool, whether early stopping ended the training.
        best: float, the best validation UAR, or None.
        history: list of dict, the logs of each epoch done.

    Raises:
        ValueError: the state is of another training, or no state can be read.
    """

    def __init__(
        self,
        folder: str | Path,
        early_stopping: keras.callbacks.EarlyStopping,
        schedule: keras.callbacks.Callback,
        run: str | None = None,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.early_stopping = early_stopping
        self.schedule = schedule
        self.run = run
        self.epoch, self.stopped, self.best, self.history = 0, False, None, []
        self._loaded = None
        files = self._files()
        if files:
            self._load(files)

    def _load(self, files):
        """Reads the last file that is whole."""
        for file in reversed(files):
            try:
                with np.load(file) as arrays:
                    loaded = dict(arrays)
                record = json.loads(loaded["record"].tobytes())
            except _DAMAGE as error:
                warnings.warn(
                    f"{file} is damaged ({error}); the state before it is used.", stacklevel=4
                )
                continue
            if record.get("run") != self.run:
                raise ValueError(
                    f"{file} is the state of another training than its run.json; "
                    "put the right one there or start a new --run."
                )
            self.epoch, self.stopped = record["epoch"], record["stopped"]
            self.best = record["counters"]["EarlyStopping"]["best"]
            self.history, self._loaded = record["history"], loaded
            return
        raise ValueError(
            f"{self.folder} holds no state that is whole; delete it to begin anew with --resume."
        )

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restores what was saved, after the other callbacks have reset their counters."""
        self.restore()

    def restore(self) -> None:
        """Restores the saved state, if any, of the model, its optimizer and the callbacks.

        Raises:
            ValueError: the state is of another model.
        """
        for part in self.folder.glob("*.part"):
            part.unlink()
        if self._loaded is None:
            return
        saved, variables = _listed(self._loaded, "variable"), self._variables()
        shapes = [tuple(array.shape) for array in saved]
        if shapes != [tuple(variable.shape) for variable in variables]:
            raise ValueError(
                f"{self.folder}: the state is of another model; resume with the preset it had."
            )
        for variable, array in zip(variables, saved):
            variable.assign(array)
        record = json.loads(self._loaded["record"].tobytes())
        for callback in (self.early_stopping, self.schedule):
            for name, value in record["counters"][type(callback).__name__].items():
                setattr(callback, name, value)
        self.early_stopping.best_weights = _listed(self._loaded, "best") or None
        self._loaded = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the state after an epoch.

        Raises:
            OSError: it could not be written; the state before it is kept.
        """
        self.epoch, self.stopped = epoch + 1, bool(self.model.stop_training)
        row = {name: float(value) for name, value in logs.items()}
        self.history.append({"epoch": epoch + 1, **row})
        self._save()

    def _save(self):
        counters = {
            type(callback).__name__: {
                name: _plain(getattr(callback, name)) for name in _COUNTERS[type(callback).__name__]
            }
            for callback in (self.early_stopping, self.schedule)
        }
        record = {
            "run": self.run,
            "epoch": self.epoch,
            "stopped": self.stopped,
            "history": self.history,
            "counters": counters,
        }
        values = [keras.ops.convert_to_numpy(variable) for variable in self._variables()]
        arrays = {
            "record": np.frombuffer(json.dumps(record).encode(), np.uint8),
            **{f"variable{index:04d}": value for index, value in enumerate(values)},
            **{f"best{i:04d}": v for i, v in enumerate(self.early_stopping.best_weights or [])},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / f"epoch-{self.epoch:05d}.npz"
        part = target.with_suffix(".part")
        try:
            with open(part, "wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        files = self._files()
        states = [file for file in files if file <= target][-2:]
        for file in files:
            if file not in states:
                file.unlink()

    def _files(self):
        return sorted(self.folder.glob("epoch-*.npz"))

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]


def _listed(arrays, prefix):
    return [arrays[name] for name in sorted(arrays) if name.startswith(prefix)]


def _plain(value):
    return value if value is None or isinstance(value, int) else float(value)
