"""Untrusted uploads: limits, queue, deletion.

What the sender calls the file never meets the file system: it lies under one fixed name in a
private folder of its own.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emotion import media
from emotion.clip import MediaError
from emotion.inference.timeline import check_sound

if TYPE_CHECKING:
    from emotion.clip import Progress
    from emotion.inference.recognizer import Recognizer
    from emotion.media import Info


class Busy(Exception):
    """Too many wait already; the message says to try again."""


class TooMuch(ValueError):
    """A recording, or the work on it, exceeds a limit that the message names."""


@dataclass(frozen=True)
class Limits:
    """The limits of an upload and of the work on it.

    Attributes:
        megabytes: float, of a file.
        seconds: float, of a recording.
        megapixels: float, of its pictures.
        timeout: float, seconds of each stage of the work on it.
        queue_size: int, recordings that may wait, the one worked on not counted.
        transfer: float, seconds that sending a file here may take, and taking the answer.
    """

    megabytes: float = 200.0
    seconds: float = 300.0
    megapixels: float = 9.0
    timeout: float = 600.0
    queue_size: int = 8
    transfer: float = 300.0

    def check(self, path: Path) -> Info:
        """Returns the media.Info of a file.

        Raises:
            MediaError: it holds nothing that can be decoded, or might open other files.
            TooMuch: it is too long, or its pictures too large.
        """
        media.check_format(path)
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
            if now - begun.setdefault(stage, now) > self.timeout:
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
            _keep(sound, _sound_of(path), limits)
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


def _sound_of(path):
    return path.with_name("sound file")


class WorkQueue:
    """Where recordings are worked on, one after the other: a recogniser serves one at a time.

    Args:
        recognizer: Recognizer.
        limits: Limits.
    """

    def __init__(self, recognizer: Recognizer, limits: Limits):
        self.recognizer, self.limits = recognizer, limits
        self._look, self._turn, self._line = (threading.Lock() for _ in range(3))
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """int, recordings that are analysed or wait."""
        return self._waiting

    @contextmanager
    def turn(self, path: Path, progress: Progress | None = None) -> Iterator[tuple]:
        """Waits for the turn of a recording; in the block, no other uses the recogniser.

        Args:
            path: Path that `received` yielded.
            progress: as in `timeline.analyse`, or None.

        Yields:
            (info, sound, watched): media.Info of the recording; Path of the file that came with it
            as its sound, or None; and the `progress` to work with, which keeps the limits.

        Raises:
            Busy: too many are in line.
            TooMuch: a limit is exceeded.
            MediaError: nothing in it can be used.
        """
        watched, sound = self.limits.watch(progress), _sound_of(path)
        sound = sound if sound.exists() else None
        with self._line:
            if self._waiting > self.limits.queue_size:
                raise Busy(f"{self._waiting} recordings wait already; try again later.")
            self._waiting += 1
        try:
            with self._look:  # before its turn: what is refused is told so at once
                info = self.limits.check(path)
                if sound:
                    self.limits.check(sound)
                    check_sound(info, sound)
            with self._turn, media.picture_limit(1e6 * self.limits.megapixels):
                # The work reads the sound and counts it, except where the model does not use it.
                if sound and self.recognizer.preset.modality == "video":
                    for second, _ in enumerate(media.read_blocks(sound, 8000, 1.0)):
                        watched("reading the sound", second, info.duration)
                yield info, sound, watched
        finally:
            with self._line:
                self._waiting -= 1
