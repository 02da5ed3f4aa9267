"""ProgressLine: prints one line an epoch, with the validation UAR and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

import keras


class ProgressLine(keras.callbacks.Callback):
    """Prints how an epoch went; on a terminal, also how far it has come.

    Args:
        epochs: int, epochs at most, for the estimate of the time left.
        history: list of dict, the logs of the epochs that a resumed run has behind it.
        stream: text stream, or None for stderr.
    """

    def __init__(self, epochs: int, history: Sequence[dict] = (), stream: Any | None = None):
        super().__init__()
        self.epochs = epochs
        self.first = len(history)
        self.stream = stream or sys.stderr
        self.best = max(((row["val_uar"], -i) for i, row in enumerate(history)), default=(0.0, 0))

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts the clock."""
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Stores the number of the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Rewrites the line of the running epoch, on a terminal only."""
        if self.stream.isatty():
            done = (batch + 1) / self.params["steps"]
            self.stream.write(f"\repoch {self.epoch + 1:3d}/{self.epochs}  {done:4.0%}\033[K")
            self.stream.flush()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints the line of the epoch."""
        self.best = max(self.best, (logs.get("val_uar", 0.0), -epoch))
        a_epoch = (time.monotonic() - self.started) / (epoch + 1 - self.first)
        left = a_epoch * (self.epochs - epoch - 1)
        start = "\r" if self.stream.isatty() else ""
        print(
            f"{start}epoch {epoch + 1:3d}/{self.epochs}  "
            f"loss {logs['loss']:.3f}  uar {logs['uar']:.3f}  "
            f"val loss {logs['val_loss']:.3f}  val uar {logs['val_uar']:.3f}  "
            f"best {self.best[0]:.3f} @ {1 - self.best[1]}  "
            f"lr {logs['learning_rate']:.1e}  "
            f"{a_epoch:.1f} s an epoch, {_clock(left)} left at most",
            file=self.stream,
            flush=True,
        )


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
