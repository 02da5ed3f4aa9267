"""Reads the sound and the frames of a file; time 0 is the first frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np

from emotion.clip import MediaError
from emotion.media import decode
from emotion.media.decode import probe


def read_samples(path: str | Path, sample_rate: int) -> np.ndarray:
    """Reads the whole sound of a file.

    Args:
        path: str or Path.
        sample_rate: int, Hz, of the result.

    Returns:
        float32 array (n,), mono (the mean of the channels), in [-1, 1]. Sample 0 is time 0 of the
        video, or of the sound itself where there is no video; gaps are silence.

    Raises:
        FileNotFoundError, MediaError: no such file, or no sound that can be decoded.
    """
    return np.concatenate(list(read_blocks(path, sample_rate, 10.0)))


def read_blocks(path: str | Path, sample_rate: int, seconds: float) -> Iterator[np.ndarray]:
    """Reads the sound of a file block by block, in constant memory.

    Args:
        path: str or Path.
        sample_rate: int, Hz.
        seconds: float, length of a block.

    Yields:
        float32 array (round(seconds * sample_rate),) as in `read_samples`; the last is shorter.

    Raises:
        FileNotFoundError, MediaError: as `read_samples`.
    """
    info = probe(path)
    if not info.audio:
        raise MediaError(f"{path} has no sound that can be decoded; give a file with audio.")
    size = round(seconds * sample_rate)
    held = np.zeros(0, np.float32)
    with decode.open_file(path) as container:
        for piece in decode.sound(container, sample_rate, info.origin):
            held = np.concatenate([held, piece.mean(axis=0)])
            while len(held) >= size:
                yield held[:size]
                held = held[size:]
    if len(held):
        yield held


def read_frames(
    path: str | Path,
    times: Iterable[float] | None = None,
    size: tuple[int, int] | None = None,
    step: float | None = None,
) -> Generator[tuple[float, np.ndarray], None, None]:
    """Reads the pictures of a file in order, upright, holding one or two at a time.

    Args:
        path: str or Path.
        times: increasing float array, seconds; for each, the frame shown then is yielded (the
            first before the start, the last past the end). None: every frame.
        size: (height, width) in pixels to scale to, or None.
        step: float, seconds; the first frame at or after each multiple of it.

    Yields:
        (time, frame): float seconds since the first frame, and uint8 array (h, w, 3) RGB.

    Raises:
        FileNotFoundError, MediaError: no such file, or no frame that can be decoded.
    """
    if times is not None:
        yield from _frames_at(path, times, size)
        return
    due = 0.0
    for time, frame in decode.frames(path):
        if time + 1e-6 >= due:
            yield time, decode.rgb(frame, size)
            due = (time // step + 1) * step if step else 0.0


def _frames_at(path, times, size):
    wanted = iter(times)
    due = next(wanted, None)
    shown = image = None
    for time, frame in decode.frames(path):
        while due is not None and shown is not None and due < time - 1e-6:
            image = decode.rgb(shown[1], size) if image is None else image
            yield shown[0], image
            due = next(wanted, None)
        if due is None:
            return
        shown, image = (time, frame), None
    image = decode.rgb(shown[1], size)
    while due is not None:
        yield shown[0], image
        due = next(wanted, None)


def read_pictures(path: str | Path) -> Generator[tuple[float, av.VideoFrame], None, None]:
    """Reads every frame in the form `VideoWriter` takes, cheaper than RGB to draw on and to write.

    Args:
        path: str or Path.

    Yields:
        (time, picture): float seconds since the first frame, and an upright av.VideoFrame in
        yuv420p, of even size, with its timestamp; `planes(picture)` may be written to.

    Raises:
        FileNotFoundError, MediaError: no such file, or no frame that can be decoded.
    """
    for time, frame in decode.frames(path):
        yield time, decode.picture(frame)


def ahead(values: Generator[Any, None, None], count: int = 4) -> Iterator[Any]:
    """Yields what a generator yields, computed in a thread of its own, at most `count` ahead."""
    step, end = partial(copy_context().run, next, values), object()
    with closing(values), ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(step, end) for _ in range(count))
        try:
            while (value := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(step, end))
                yield value
        finally:
            for future in waiting:
                future.cancel()


def resampled(rate: int, sample_rate: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function of the blocks of a mono sound, in order, that gives each one's samples.

    Blocks are float32 (n,) at `rate` Hz, samples float32 (m,) at `sample_rate` Hz; a few of a block
    may come with the next.
    """
    resampler = av.AudioResampler("fltp", "mono", sample_rate)

    def samples(block):
        frame = av.AudioFrame.from_ndarray(block[None], "fltp", "mono")
        frame.sample_rate = rate
        parts = [part.to_ndarray()[0] for part in resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    return samples
