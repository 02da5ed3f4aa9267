"""Decodes clips into signals, and caches the signals on disk.

`decode` is the one path from media to a `Signal`, for training and for inference. A `SignalCache`
keeps what it returns under a key made of the content and of every setting that decides it, so an
entry is never stale.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save
from tqdm import tqdm

from emotion import media
from emotion.clip import MediaError, Signal, cut
from emotion.data import feature_tables
from emotion.faces import crop, detect
from emotion.files import write_bytes

if TYPE_CHECKING:
    from emotion.clip import Arrays, Clip
    from emotion.faces.detect import Detector
    from emotion.processes import Pool

VERSION = 3  # of what `decode` computes: raise it when the same settings give other values
LONGEST_CLIP = 1800  # seconds of sound: more would fill the memory
LONGEST = 60  # seconds; a face is looked for no more often in a longer clip than in one of these
_BLOCK = 1 << 20
_STILL = 1.0  # seconds that a still image counts for
_UNTIMED = 3.5  # seconds that a clip without media counts for: where the mean-MFCC series ends


@dataclass(frozen=True)
class Spec:
    """How a clip is decoded for a preset.

    Attributes:
        sample_rate: int, Hz, or None where the model uses no sound.
        size: int, side of a face crop in pixels, or None where the model uses no crops.
        margin: float, added around the detected face, as a fraction of its side.
        detector: str, "yunet" or "haar".
        table_features: tuple of str, features taken from the clip's table where it has one.
    """

    sample_rate: int | None
    size: int | None = 112
    margin: float = 0.2
    detector: str = "haar"
    table_features: tuple = ()

    def settings(self, modality: str) -> tuple:
        """Returns the tuple of what decides a clip's "audio" or "video"; its first may be None."""
        if modality == "audio":
            return (self.sample_rate,)
        weights = self.size and detect.identify(self.detector)
        return (self.size, self.margin, self.detector, weights)


@dataclass(frozen=True)
class Facts:
    """Facts about a decoded clip.

    Attributes:
        duration: float, seconds.
        has_audio, has_face: bool, whether the model's inputs for sound and face come from the clip.
        reason: str, why the clip cannot be used, or None.
    """

    duration: float = 0.0
    has_audio: bool = False
    has_face: bool = False
    reason: str | None = None


def default_folder() -> Path:
    """Path of the cache: $EMOTION_CACHE, else the user's cache folder."""
    return Path(
        os.environ.get("EMOTION_CACHE") or platformdirs.user_cache_path("emotion") / "signals"
    )


def decode(
    clip: Clip,
    spec: Spec,
    span: tuple[float, float] | None = None,
    detector: Detector | None = None,
) -> Signal:
    """Decodes a clip: its sound, and the crops of its main face.

    Args:
        clip: Clip.
        spec: Spec.
        span: (start, end) in seconds, the stretch of the recording to take; None for all of it.
        detector: detect.Detector in place of the one that `spec` names, or None.

    Returns:
        Signal. `samples` is None where the clip has no sound, `frames` where no face was found.

    Raises:
        MediaError: a file cannot be read, or the clip holds nothing of what `spec` asks for.
        ValueError: the clip's table cannot be read, or lacks the clip.
    """
    if media.is_still(clip):
        return _signal(clip, spec, {}, _still(clip, spec))
    sound, picture = _sound(clip.audio, spec, span), _picture(clip.video, spec, span, detector)
    return _signal(clip, spec, sound, picture)


def usage(folder: Path) -> tuple[int, int]:
    """Returns (entries, bytes) of a cache: how many there are, and their size."""
    sizes = [path.stat().st_size for path in _entries(folder)]
    return len(sizes), sum(sizes)


def prune(folder: Path, days: float | None = None, size: float | None = None) -> tuple[int, int]:
    """Removes entries that were not used for some days, or the oldest beyond a size.

    An entry is used when it is written or read; digests of files that it no longer has are few and
    small, and stay.

    Args:
        folder: Path of the cache.
        days: float, or None.
        size: float, bytes that may stay, or None.

    Returns:
        (entries, bytes) that were removed.
    """
    stats = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in _entries(folder))
    total, now, removed = sum(weight for _, weight, _ in stats), datetime.now().timestamp(), []
    for used, weight, path in stats:
        old = days is not None and used < now - 86400 * days
        if old or (size is not None and total > size):
            path.unlink(missing_ok=True)
            total -= weight
            removed.append(weight)
    return len(removed), sum(removed)


def _entries(folder):
    return Path(folder).glob("*.safetensors")


@dataclass(frozen=True)
class SignalCache:
    """The signals of a corpus as one Spec asks for them, decoded once and kept on disk.

    Attributes:
        spec: Spec.
        folder: Path; None for `default_folder()`.
    """

    spec: Spec
    folder: Path | None = None

    def __post_init__(self):
        object.__setattr__(self, "folder", Path(self.folder or default_folder()))

    def load(self, clip: Clip, features: Arrays | None = None) -> Signal:
        """Does what `decode` does, from disk where it was done before.

        Args:
            clip: Clip.
            features: dict of name to array, added to what a table gives; or None.

        Returns:
            Signal.

        Raises:
            MediaError, ValueError: as `decode`.
        """
        sound, picture = self._parts(clip, load_file)
        return _signal(clip, self.spec, sound, picture, features)

    def facts(self, clip: Clip) -> Facts:
        """Returns the Facts of a Clip, decoding it where that was not done before.

        Of what is in the cache the outlines are read, not the arrays.
        """
        try:
            signal = _signal(clip, self.spec, *self._parts(clip, _outline))
        except (MediaError, ValueError, FileNotFoundError) as error:  # of its table: ValueError
            return Facts(reason=str(error))
        return Facts(signal.duration, signal.has_audio, signal.has_face)

    def prepare(
        self, clips: list[Clip], pool: Pool | None = None, progress: bool = True
    ) -> dict[str, Facts]:
        """Decodes clips that are not in the cache yet, in parallel where there is a pool.

        Args:
            clips: list of Clip.
            pool: processes.Pool, or None to decode in this process.
            progress: bool, whether to show a bar with the time left on stderr.

        Returns:
            Dict of clip id to Facts.
        """
        facts = pool.map(self.facts, clips).result() if pool else map(self.facts, clips)
        shown = tqdm(facts, "prepare", len(clips), unit="clip") if progress else facts
        return {clip.id: held for clip, held in zip(clips, shown)}

    def computed(
        self,
        path: Path,
        settings: tuple,
        compute: Callable[[], Arrays],
        read: Callable[[Path], Any] = load_file,
    ) -> Any:
        """Returns what was computed from a file, from disk where it was done before.

        Args:
            path: Path of the file; its content and `settings` are the key.
            settings: tuple of plain values, whatever decides the result besides.
            compute: function without arguments that returns a dict of name to array.
            read: function of the Path of an entry that returns what is in it.

        Returns:
            dict of name to array.

        Raises:
            What `compute` raises.
        """
        key = hashlib.blake2b(digest_size=16)
        key.update(repr((VERSION, *settings)).encode())
        key.update(_content(path, self.folder))
        entry = self.folder / f"{key.hexdigest()}.safetensors"
        try:
            arrays = read(entry)
            with suppress(OSError):
                os.utime(entry)  # it is used: `prune` removes those that were not
            return arrays
        except FileNotFoundError:
            pass
        except (OSError, SafetensorError):
            entry.unlink(missing_ok=True)  # damaged: made anew
        arrays = {name: np.asarray(array, order="C") for name, array in compute().items()}
        write_bytes(entry, save(arrays))
        return read(entry)

    def _parts(self, clip, read) -> Iterator[Arrays]:
        """Yields the decoded sound and picture of a clip, each a dict of name to array."""
        if media.is_still(clip):  # which is read as fast as an entry
            yield from ({}, _still(clip, self.spec))
            return
        for modality, compute in (("audio", _sound), ("video", _picture)):
            path, settings = getattr(clip, modality), self.spec.settings(modality)
            if path is None or settings[0] is None:
                yield {}
            else:
                key = compute.__name__, settings
                yield self.computed(path, key, partial(compute, path, self.spec), read)


def _still(clip, spec):
    """An image as a face crop of one frame; it is not searched for a face."""
    if spec.size is None:
        return {}
    image = media.read_image(clip.video, clip.index)
    larger = max(image.shape[:2]) > spec.size
    form = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
    frame = cv2.resize(image, (spec.size, spec.size), interpolation=form)
    return {"frames": frame[None], "times": np.array([_STILL / 2]), "duration": np.float64(_STILL)}


def _sound(path, spec, span=None):
    if path is None or spec.sample_rate is None or not media.probe(path).audio:
        return {}
    start, end = span or (0.0, LONGEST_CLIP)
    blocks, position = [np.zeros(0, np.float32)], 0
    first = None  # the position of the first sample that is held
    for block in media.read_blocks(path, spec.sample_rate, 10.0):
        if position >= end * spec.sample_rate:
            if span:
                break
            raise MediaError(
                f"{path} has more than {LONGEST_CLIP // 60} minutes of sound, too long for a clip; "
                "cut it."
            )
        position += len(block)
        if position > start * spec.sample_rate:
            first = position - len(block) if first is None else first
            blocks.append(block)
    samples = np.concatenate(blocks)
    if span:
        samples = cut(samples, spec.sample_rate, *span, first or 0)
    return {} if samples is None else {"samples": samples}


def _picture(path, spec, span=None, detector=None):
    if path is None or spec.size is None or not media.probe(path).video:
        return {}
    start, end = span or (0.0, media.length(path))
    step = max(crop.STEP, crop.STEP * (end - start) / LONGEST)
    stream = crop.CropStream(detector or _detector(spec.detector), spec.size, spec.margin)
    for time, frame in media.read_frames(path, step=step):
        if time >= end:
            break
        if time >= start:
            stream.add(time, frame)
    face = crop.main_face(stream.tracks(start, end))
    content = {"duration": np.float64(end - start)}
    return content if face is None else {**content, "times": face[0] - start, "frames": face[2]}


def _signal(clip, spec, sound, picture, features=None):
    samples, frames = sound.get("samples"), picture.get("frames")
    features = dict(features or {})
    if clip.table and spec.table_features:
        values = feature_tables.values(clip.table, clip.id)
        features |= {name: values[name] for name in spec.table_features if name in values}
    if samples is None and frames is None and not features:
        kinds = (
            ("sound", spec.sample_rate),
            ("face", spec.size),
            ("action units (from a table)", "action_units" in spec.table_features),
            ("log-mel spectrogram (from a table)", "log_mel" in spec.table_features),
        )
        missing = " and no ".join(name for name, asked in kinds if asked)
        path = clip.video or clip.audio or clip.table
        raise MediaError(f"{path}: no {missing} in it; leave the clip out.")
    duration = _UNTIMED
    if picture:
        duration = float(picture["duration"])
    elif samples is not None:
        duration = len(samples) / spec.sample_rate
    return Signal(samples, spec.sample_rate or 0, frames, picture.get("times"), duration, features)


def _outline(entry):
    """Arrays of the shapes that are in an entry; only what has one value is read."""
    with safe_open(entry, "numpy") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}
        return {
            name: np.broadcast_to(np.float32(0), part.get_shape())
            if part.get_shape()
            else file.get_tensor(name)
            for name, part in parts.items()
        }


def _detector(name):
    """A Detector of this thread's own: OpenCV's keep what they work on within themselves."""
    return _detector_of_thread(name, threading.get_ident())


@lru_cache(maxsize=16)
def _detector_of_thread(name, thread):
    return detect.Detector(name)


def _content(path, folder):
    """Digest of a file's content; files that did not change since are not read again."""
    path = Path(path).resolve()
    status = path.stat()
    return _content_once(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, folder)


@lru_cache(maxsize=1 << 16)
def _content_once(path, size, modified, changed, folder):
    key = repr((str(path), size, modified, changed)).encode()
    memo = folder / "digests" / hashlib.blake2b(key, digest_size=16).hexdigest()
    try:
        digest = memo.read_bytes()
    except FileNotFoundError:
        digest = b""
    if len(digest) != 16:
        made = hashlib.blake2b(digest_size=16)
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                made.update(block)
        digest = made.digest()
        write_bytes(memo, digest)
    return digest
