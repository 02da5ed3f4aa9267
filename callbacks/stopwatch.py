"""Stopwatch: records the training time of each epoch in a file beside the state."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

import keras


class Stopwatch(keras.callbacks.Callback):
    """Measures the training part of each epoch, without its validation.

    It stays out of the history and the state, which are the same in every run of one training:
    seconds are not. A resumed run keeps those of the epochs that are done.

    Args:
        path: str or Path of the JSON file: `clips`, int, and `seconds`, epoch from 1 to float.
        clips: int, clips in an epoch.
        epoch: int, epochs that a resumed run has behind it.
    """

    def __init__(self, path: str | Path, clips: int, epoch: int = 0):
        super().__init__()
        self.path, self.clips, self.seconds = Path(path), clips, {}
        if epoch:
            # A file that is gone or damaged costs what was measured, no more.
            with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
                before = json.loads(self.path.read_text(encoding="utf-8"))["seconds"]
                self.seconds = {key: float(s) for key, s in before.items() if int(key) <= epoch}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self._begun, self._ended = time.perf_counter(), None

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Stops it: the validation begins."""
        self._ended = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes what was measured."""
        self.seconds[str(epoch + 1)] = (self._ended or time.perf_counter()) - self._begun
        text = json.dumps({"clips": self.clips, "seconds": self.seconds})
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, self.path)
