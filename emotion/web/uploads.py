"""Untrusted uploads: limits, queue, deletion.

What the sender calls the file never meets the file system: it lies under one fixed name in a
private folder of its own.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion import media
from emotion.clip import MediaError
from emotion.processes import LOADING, ProcessDied
from emotion.web import work

if TYPE_CHECKING:
    from emotion.clip import Progress
    from emotion.media import Info
    from emotion.processes import Worker


CHECK = 30.0  # seconds that a check may take: meanwhile others wait for theirs


class Busy(Exception):
    """Too many wait already; the message says to try again."""


class TooMuch(ValueError):
    """A recording, or the work on it, exceeds a limit that the message names."""


@dataclass(frozen=True)
class Limits:
    """The limits of an upload and of the work on it.

    Attributes:
        megabytes: float, of the files of a request.
        seconds: float, of a recording.
        megapixels: float, of its pictures.
        timeout: float, seconds of each stage of the work on it.
        queue_size: int, recordings that may wait, the one worked on not counted.
        transfer: float, seconds that sending a file here may take, and taking the answer.
        total: float, megabytes of all files that are here at once.
    """

    megabytes: float = 200.0
    seconds: float = 300.0
    megapixels: float = 9.0
    timeout: float = 600.0
    queue_size: int = 8
    transfer: float = 300.0
    total: float = 1000.0

    def check(self, path: Path) -> Info:
        """Returns the media.Info of a file.

        Raises:
            MediaError: it holds nothing that can be decoded.
            TooMuch: it is too long, or its pictures too large.
        """
        info = media.probe(path)
        self.check_seconds(info.duration or 0.0)
        if info.width * info.height > 1e6 * self.megapixels:
            size = f"{info.width} x {info.height}"
            raise TooMuch(
                f"pictures may have {self.megapixels:g} megapixels; make them smaller. "
                f"Received: {size}."
            )
        return info

    def check_size(self, size: int) -> None:
        """Raises TooMuch where a file of that many bytes is too large."""
        if size > 1e6 * self.megabytes:
            raise TooMuch(f"a file may have {self.megabytes:g} MB; send a smaller one.")

    def check_seconds(self, seconds: float) -> None:
        """Raises TooMuch where a recording of that length is too long."""
        if seconds > self.seconds:
            raise TooMuch(
                f"a recording may last {self.seconds:g} seconds; cut it. Received: {seconds:.1f} s."
            )

    def watch(self, progress: Progress | None = None) -> Progress:
        """Returns a `progress` as in `timeline.analyse` that raises TooMuch beyond a limit.

        Args:
            progress: likewise, what it tells; or None.
        """
        begun = {}

        def watched(stage, done, total):
            self.check_seconds(done)
            now = time.monotonic()
            if stage != LOADING and now - begun.setdefault(stage, now) > self.timeout:
                raise TooMuch(
                    f"work on a recording may take {self.timeout:g} seconds; "
                    "send a shorter or smaller one."
                )
            if progress:
                progress(stage, done, total)

        return watched


@contextmanager
def received(chunks: Iterable[bytes], limits: Limits, sound: bool | None = None) -> Iterator[Path]:
    """Stores an upload in a private folder for the duration of the block.

    Args:
        chunks: iterable of bytes.
        limits: Limits.
        sound: iterable of bytes, a file whose sound takes the place of the recording's own, or
            None; it lies beside the recording.

    Yields:
        Path of the file, in a folder of its own.

    Raises:
        TooMuch: it is larger than allowed; no more than that is ever kept.
        MediaError: as the block raises it, without the folder's name.
    """
    with tempfile.TemporaryDirectory(prefix="emotion-") as folder:
        path = Path(folder, "recording")
        _keep(chunks, path, limits)
        if sound is not None:
            _keep(sound, path.with_name(work.SOUND), limits)
        try:
            yield path
        except MediaError as error:  # the sender is not told where it lies
            raise MediaError(str(error).replace(f"{folder}{os.sep}", "the ")) from error


def _keep(chunks, path, limits):
    size = 0
    with open(path, "wb") as file:
        for chunk in chunks:
            size += len(chunk)
            limits.check_size(size)
            file.write(chunk)


class WorkQueue:
    """Where recordings are worked on, one after the other, in processes that can be killed.

    Args:
        worker: processes.Worker that loads a Recognizer.
        checker: processes.Worker that checks recordings meanwhile.
        limits: Limits.
    """

    def __init__(self, worker: Worker, checker: Worker, limits: Limits):
        self.limits = limits
        self._worker, self._checker = worker, checker
        self._turn, self._line = threading.Lock(), threading.Lock()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """int, recordings that are worked on or wait."""
        return self._waiting

    def check_place(self) -> None:
        """Raises Busy where no further recording may wait."""
        if self._waiting > self.limits.queue_size:
            raise Busy(f"{self._waiting} recordings wait already; try again later.")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Has a recording counted as waiting during the block; raises Busy as `check_place`."""
        with self._line:
            self.check_place()
            self._waiting += 1
        try:
            yield
        finally:
            with self._line:
                self._waiting -= 1

    def call(
        self, function: Callable, path: Path, *arguments: Any, progress: Progress | None = None
    ) -> Any:
        """Works on a recording when its turn has come; what is refused is refused before.

        Args:
            function: function of web/work.py.
            path: Path that `received` yielded.
            arguments: its further arguments.
            progress: as in `timeline.analyse`, called several times a second from the first moment
                on; where it raises, the work ends. Or None.

        Returns:
            What the function returns.

        Raises:
            TooMuch: a limit is exceeded.
            MediaError: nothing in it can be used.
        """
        progress = progress or _ignore
        try:
            soon = replace(self.limits, timeout=min(self.limits.timeout, CHECK)).watch(progress)
            self._checker.call(work.check, path, self.limits, watch=soon)
            while not self._turn.acquire(timeout=0.1):
                progress("waiting", 0.0, None)
            try:
                watch = self.limits.watch(progress)
                return self._worker.call(function, path, self.limits, *arguments, watch=watch)
            finally:
                self._turn.release()
        except ProcessDied as error:
            raise MediaError(
                "the recording ended the process that worked on it, for lack of memory or through "
                f"a fault of a decoder (exit code {error}); send another or a smaller one."
            ) from error


def _ignore(*_):
    pass
