"""Live sources: a camera and a microphone, or files in place of them.

A source is open once it is made. Its `read(start)` yields (time, value), time in seconds since
`start` on `clock`, until the source ends or the reader stops, and closes it. It is read once, by
one thread. Nothing else is asked of one, besides a camera's `rate`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Protocol

import cv2

from emotion import backend, media
from emotion.clip import MediaError

if TYPE_CHECKING:
    import numpy as np

BLOCK = 0.05  # seconds of sound at a time: a window waits for its end no longer than that


class Source(Protocol):
    """A camera, a microphone or a file that yields its frames or its sound in real time."""

    def read(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yields as the module says, with times (s) from `start` on the clock."""


def open_both(
    camera: str,
    microphone: str | None,
    sample_rate: int,
    clock: Callable[[], float] = monotonic,
    wait: Callable[[float], object] = sleep,
) -> tuple[Source | None, Source | None]:
    """Opens what is to be seen and what is to be heard.

    Args:
        camera: str as `open_camera` takes it, or "none".
        microphone: str as `open_microphone` takes it, "none", or None: the sound of the camera's
            file, or with a true camera the default microphone.
        sample_rate, clock, wait: as there.

    Returns:
        (source or None, source or None).

    Raises:
        MediaError: as they do.
    """
    if microphone is None:
        is_file = Path(camera).is_file()
        microphone = "default" if not is_file else camera if media.probe(camera).audio else "none"
    return (
        None if camera == "none" else open_camera(camera, clock, wait),
        None if microphone == "none" else open_microphone(microphone, sample_rate, clock, wait),
    )


def open_camera(
    name: str, clock: Callable[[], float] = monotonic, wait: Callable[[float], object] = sleep
) -> Source:
    """Opens what is to be seen.

    Args:
        name: str, a camera's number or device, or a video file, which is read at its own pace.
        clock: function giving seconds that never go back.
        wait: function that waits for so many seconds.

    Returns:
        A source of frames, uint8 arrays (h, w, 3) RGB, with `rate`, float, frames a second.

    Raises:
        MediaError: no such camera, or the file has no picture.
    """
    return FileCamera(name, clock, wait) if Path(name).is_file() else Camera(name, clock)


def open_microphone(
    name: str,
    sample_rate: int,
    clock: Callable[[], float] = monotonic,
    wait: Callable[[float], object] = sleep,
) -> Source:
    """Opens what is to be heard.

    Args:
        name: str, "default", a microphone's number or a part of its name, or a file with sound,
            which is read at its own pace.
        sample_rate: int, Hz.
        clock, wait: as in `open_camera`.

    Returns:
        A source of sound, float32 arrays (n,), mono, in [-1, 1], each with the time of its start.

    Raises:
        MediaError: no such microphone, no library to read it with, or the file has no sound.
    """
    if Path(name).is_file():
        return Recording(name, sample_rate, clock, wait)
    return Microphone(name, sample_rate, clock)


class Camera:
    """A camera, read with OpenCV; the arguments are those of `open_camera`."""

    def __init__(self, name: str, clock: Callable[[], float] = monotonic):
        self._name, self._clock = name, clock
        with backend.quiet():
            self._device = cv2.VideoCapture(int(name) if name.isdigit() else name)
        if not self._device.read()[0]:
            raise MediaError(
                "--camera must name a camera that gives pictures, or a video file; plug one in, "
                f"allow its use, or leave it out with `--camera none`. Received: {name}."
            )
        self.rate = self._device.get(cv2.CAP_PROP_FPS) or 30.0

    def read(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yields as the module says; raises MediaError when the camera gives no more pictures."""
        try:
            while True:
                there, frame = self._device.read()
                if not there:
                    raise MediaError(
                        f"The camera {self._name} stopped giving pictures; plug it in again."
                    )
                yield self._clock() - start, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._device.release()


class FileCamera:
    """A video file in a camera's place; the arguments are those of `open_camera`."""

    def __init__(
        self,
        path: str | Path,
        clock: Callable[[], float] = monotonic,
        wait: Callable[[float], object] = sleep,
    ):
        info = media.probe(path)
        if not info.video:
            raise MediaError(f"--camera must name a video. Received: {path}, which has sound only.")
        self._clock, self._wait = clock, wait
        self.rate = float(info.rate)
        frames = media.read_frames(path)
        self._frames = itertools.chain([next(frames)], frames)  # decoding has begun at the start

    def read(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yields as the module says."""
        for time, frame in self._frames:
            self._wait(max(0.0, start + time - self._clock()))
            yield time, frame


class Microphone:
    """A microphone, read with sounddevice; the arguments are those of `open_microphone`."""

    def __init__(self, name: str, sample_rate: int, clock: Callable[[], float] = monotonic):
        self._name, self._clock, self._rate = name, clock, sample_rate
        device = None if name == "default" else int(name) if name.isdigit() else name
        try:
            with backend.quiet():
                import sounddevice

                self._lost = sounddevice.PortAudioError
                self._stream = sounddevice.InputStream(
                    sample_rate, round(BLOCK * sample_rate), device, 1, "float32"
                )
        except (ImportError, OSError) as error:
            system = " and `apt install libportaudio2`" if sys.platform == "linux" else ""
            raise MediaError(
                f"A microphone needs sounddevice and PortAudio ({error}); run `pip install "
                f"sounddevice`{system}, or leave it out with `--microphone none`."
            ) from error
        except (ValueError, sounddevice.PortAudioError) as error:
            raise MediaError(
                f"--microphone must name a microphone ({_reason(error)}) or a file with sound; "
                "plug one in, allow its use, or leave it out with `--microphone none`. "
                f"Received: {name}."
            ) from error

    def read(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yields as the module says; raises MediaError when the microphone is gone."""
        size = self._stream.blocksize
        try:
            with self._stream:
                while True:
                    block = self._stream.read(size)[0][:, 0]
                    # What has arrived since is still in the buffer.
                    age = (size + self._stream.read_available) / self._rate
                    yield self._clock() - start - age, block
        except self._lost as error:
            raise MediaError(
                f"The microphone {self._name} stopped ({_reason(error)}); plug it in again."
            ) from error


class Recording:
    """A file's sound in a microphone's place; the arguments are those of `open_microphone`."""

    def __init__(
        self,
        path: str | Path,
        sample_rate: int,
        clock: Callable[[], float] = monotonic,
        wait: Callable[[float], object] = sleep,
    ):
        if not media.probe(path).audio:
            raise MediaError(f"--microphone must name a file with sound. Received: {path}.")
        self._clock, self._wait, self._rate = clock, wait, sample_rate
        blocks = media.read_blocks(path, sample_rate, BLOCK)
        self._blocks = itertools.chain([next(blocks)], blocks)

    def read(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yields as the module says; a block comes when its last sample would have been heard."""
        read = 0
        for block in self._blocks:
            first, read = read, read + len(block)
            self._wait(max(0.0, start + read / self._rate - self._clock()))
            yield first / self._rate, block


def _reason(error):
    """Returns the error text of PortAudio or sounddevice in one line, without its number."""
    return str(error.args[0]).partition("\n")[0].partition(" [")[0].rstrip(".")
