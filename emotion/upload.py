"""Upload: a stranger's recording, received within limits, worked on in turn, gone afterwards.

What the sender calls the file never meets the file system: it lies under one fixed name in a
private folder of its own.
"""

import os
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from emotion import annotate, media
from emotion.clip import MediaError


class Busy(Exception):
    """Too many wait already; the message says to try again."""


class TooMuch(ValueError):
    """A recording, or the work on it, exceeds a limit that the message names."""


@dataclass(frozen=True)
class Limits:
    """What a stranger may ask for.

    Attributes:
        megabytes: float, of a file.
        seconds: float, of a recording.
        megapixels: float, of its pictures.
        patience: float, seconds of work on it.
        waiting: int, recordings in line, the one worked on not counted.
        transfer: float, seconds that sending a file here may take, and taking the answer.
    """

    megabytes: float = 200.0
    seconds: float = 300.0
    megapixels: float = 9.0
    patience: float = 600.0
    waiting: int = 8
    transfer: float = 300.0

    def check(self, path):
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

    def check_size(self, size):
        """Raises TooMuch where a file of that many bytes is too large."""
        if size > 1e6 * self.megabytes:
            raise TooMuch(f"a file may have {self.megabytes:g} MB; send a smaller one.")

    def check_seconds(self, seconds):
        """Raises TooMuch where a recording of that length is too long."""
        if seconds > self.seconds:
            raise TooMuch(
                f"a recording may last {self.seconds:g} seconds; cut it. Received: {seconds:.1f} s."
            )


@contextmanager
def received(chunks, limits, sound=None):
    """Keeps what is received in a private folder while the block runs.

    Args:
        chunks: iterable of bytes.
        limits: Limits.
        sound: iterable of bytes, a sound that takes the place of the recording's own, or None.

    Yields:
        Path of the file, alone in its folder.

    Raises:
        TooMuch: it is larger than allowed; no more than that is ever kept.
        MediaError: there is a `sound`, and one of the two cannot be decoded; or as the block
            raises it, without the folder's name.
    """
    with tempfile.TemporaryDirectory(prefix="emotion-") as folder:
        path = Path(folder, "recording")
        _keep(chunks, path, limits)
        try:
            if sound is not None:
                _keep(sound, path.with_name("sound"), limits)
                path = _join(path, path.with_name("sound"), limits)
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


def _join(film, sound, limits):
    info = limits.check(film)
    limits.check(sound)
    if not info.video:
        raise MediaError(f"{film} has no picture, so no sound can be put to it; send one of them.")
    joined, rate = film.with_name("joined"), 44100
    given = media.read_samples(sound, rate), rate
    with media.VideoWriter(joined, like=info, sound=given) as writer:
        for _, picture in media.read_pictures(film):
            writer.write(picture)
    return joined


class Desk:
    """Where recordings are worked on, one after the other: a recogniser serves one at a time.

    Args:
        recognizer: Recognizer.
        limits: Limits.
    """

    def __init__(self, recognizer, limits):
        self.recognizer, self.limits = recognizer, limits
        self._turn, self._line = threading.Lock(), threading.Lock()
        self._waiting = 0

    @property
    def waiting(self):
        """int, recordings at the desk and in line."""
        return self._waiting

    def analyse(self, path, progress=None):
        """Predicts a recording.

        Args:
            path: Path.
            progress: as in `timeline.analyse`.

        Returns:
            Timeline.

        Raises:
            Busy: too many are in line.
            TooMuch: a limit is exceeded.
            MediaError: nothing in it can be used.
        """
        self.limits.check(path)
        with self._my_turn() as watched:
            return annotate.analyse(path, self.recognizer, progress=watched(progress))

    def annotate(self, timeline, output, progress=None):
        """Writes the recording of a timeline with its predictions drawn.

        Args:
            timeline: Timeline.
            output: Path of the mp4.
            progress: as in `timeline.analyse`.

        Raises:
            Busy, TooMuch, MediaError: as `analyse`.
        """
        with self._my_turn() as watched:
            annotate.write_annotated(timeline, output, watched(progress))

    @contextmanager
    def _my_turn(self):
        with self._line:
            if self._waiting > self.limits.waiting:
                raise Busy(f"{self._waiting} recordings wait already; try again later.")
            self._waiting += 1
        try:
            with self._turn:
                yield self._watch(time.monotonic() + self.limits.patience)
        finally:
            with self._line:
                self._waiting -= 1

    def _watch(self, deadline):
        def watched(progress):
            def tell(stage, done, total):
                self.limits.check_seconds(done)
                if time.monotonic() > deadline:
                    raise TooMuch(
                        f"work on a recording may take {self.limits.patience:g} seconds; "
                        "send a shorter or smaller one."
                    )
                if progress:
                    progress(stage, done, total)

            return tell

        return watched
