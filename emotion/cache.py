"""From files to signals, and the decoded signals kept on disk.

`decode` is the one path from media to a `Signal`, for training and for inference. `load` keeps
what it returns under a key made of the content and of every setting that decides it, so an entry
can be stale in no way but by being deleted.
"""

import hashlib
import os
import tempfile
import threading
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pooch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from tqdm import tqdm

from emotion import faces, media, tables, tracks
from emotion.clip import MediaError, Signal, spread

_VERSION = 2  # of what `decode` computes: raise it when the same settings give other values
_BLOCK = 16384
_UNTIMED = 3.5  # seconds that a clip without media counts for: where the mean-MFCC series ends


@dataclass(frozen=True)
class Spec:
    """What a preset asks of a signal.

    Attributes:
        sample_rate: int, Hz, or None where the model hears nothing.
        frames: int, face crops spread over the clip, or None where it sees nothing.
        size: int, side of a crop in pixels.
        margin: float, added around the detected face, as a fraction of its side.
        detector: str, "yunet" or "haar".
        given: tuple of str, features taken from the clip's table where it has one.
    """

    sample_rate: int | None
    frames: int | None
    size: int = 112
    margin: float = 0.2
    detector: str = "haar"
    given: tuple = ()

    def settings(self, modality):
        """Returns the tuple of what decides a clip's "audio" or "video"; its first may be None."""
        if modality == "audio":
            return (self.sample_rate,)
        return (self.frames, self.size, self.margin, self.detector)


def default_folder():
    """Path of the cache: $EMOTION_CACHE, else the user's cache folder."""
    return Path(os.environ.get("EMOTION_CACHE") or Path(pooch.os_cache("emotion")) / "signals")


def decode(clip, spec):
    """Decodes a clip: its sound, and its main face in `spec.frames` crops spread over the clip.

    Args:
        clip: Clip.
        spec: Spec.

    Returns:
        Signal. `samples` is None where the clip has no sound, `frames` where no face was found.

    Raises:
        MediaError: a file cannot be read, or the clip holds nothing of what `spec` asks for.
        ValueError: the clip's table cannot be read, or lacks the clip.
    """
    return _signal(clip, spec, _sound(clip.audio, spec), _picture(clip.video, spec))


def load(clip, spec, folder=None, given=None):
    """Does what `decode` does, from disk where it was done before.

    Args:
        clip: Clip.
        spec: Spec.
        folder: Path of the cache; None for `default_folder()`.
        given: dict of name to array, added to what a table gives; or None.

    Returns:
        Signal.

    Raises:
        MediaError, ValueError: as `decode`.
    """
    sound = _part(_sound, clip.audio, spec, spec.settings("audio"), folder)
    picture = _part(_picture, clip.video, spec, spec.settings("video"), folder)
    return _signal(clip, spec, sound, picture, given)


def kept(path, settings, compute, folder=None):
    """Returns what was computed from a file, from disk where it was done before.

    Args:
        path: Path of the file; its content and `settings` are the key.
        settings: tuple of plain values, whatever decides the result besides.
        compute: function without arguments that returns a dict of name to array.
        folder: Path of the cache; None for `default_folder()`.

    Returns:
        dict of name to array.

    Raises:
        What `compute` raises.
    """
    folder = Path(folder or default_folder())
    key = hashlib.blake2b(digest_size=16)
    key.update(repr((_VERSION, *settings)).encode())
    key.update(_content(path))
    entry = folder / f"{key.hexdigest()}.safetensors"
    try:
        return load_file(entry)
    except FileNotFoundError:
        pass
    except (OSError, SafetensorError):
        entry.unlink(missing_ok=True)  # damaged: made anew
    arrays = compute()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(save({kind: np.asarray(a, order="C") for kind, a in arrays.items()}))
        os.replace(name, entry)  # two processes may both get here: the same bytes win
    except BaseException:
        os.unlink(name)
        raise
    return arrays


def prepare(clips, spec, folder=None, pool=None, progress=True):
    """Fills the cache, in parallel where there is a pool.

    Args:
        clips: list of Clip.
        spec: Spec.
        folder: Path of the cache; None for `default_folder()`.
        pool: workers.Pool, or None to decode in this process.
        progress: bool, whether to show a bar with the time left on stderr.

    Returns:
        List of (Clip, str): the clips that could not be used, each with the reason.
    """
    reasons = (pool.map if pool else map)(partial(_reason, spec=spec, folder=folder), clips)
    shown = tqdm(reasons, total=len(clips), desc="prepare", unit="clip", disable=not progress)
    return [(clip, reason) for clip, reason in zip(clips, shown) if reason]


def _reason(clip, spec, folder):
    try:
        load(clip, spec, folder)
    except (MediaError, ValueError, FileNotFoundError) as error:  # one of its table is a ValueError
        return str(error)
    return None


def _part(compute, path, spec, settings, folder):
    if path is None or settings[0] is None:
        return {}
    return kept(path, (compute.__name__, settings), partial(compute, path, spec), folder)


def _sound(path, spec):
    if path is None or spec.sample_rate is None or not media.probe(path).audio:
        return {}
    return {"samples": media.read_samples(path, spec.sample_rate)}


def _picture(path, spec):
    if path is None or spec.frames is None:
        return {}
    info = media.probe(path)
    if not info.video:
        return {}
    duration = info.duration
    if duration is None:
        duration = max(time for time, _ in media.read_frames(path)) + float(1 / info.rate)
    times = spread(duration, spec.frames)
    frames = [frame for _, frame in media.read_frames(path, times)]
    detect = _detector(spec.detector)
    track = tracks.main_face(tracks.link([detect(frame) for frame in frames]))
    if track is None:
        return {"duration": np.float64(duration)}
    crops = [
        faces.crop(frames[index], box, spec.size, spec.margin)
        for index, box in zip(track.indices, track.boxes)
    ]
    return {
        "duration": np.float64(duration),
        "frames": np.stack(crops),
        "times": times[track.indices],
    }


def _signal(clip, spec, sound, picture, given=None):
    samples, frames = sound.get("samples"), picture.get("frames")
    given = dict(given or {})
    if clip.given and spec.given:
        values = tables.values(clip.given, clip.id)
        given |= {name: values[name] for name in spec.given if name in values}
    if samples is None and frames is None and not given:
        kinds = (
            ("sound", spec.sample_rate),
            ("face", spec.frames),
            ("action units (from a table)", "action_units" in spec.given),
        )
        missing = " and no ".join(name for name, asked in kinds if asked)
        path = clip.video or clip.audio or clip.given
        raise MediaError(f"{path}: no {missing} in it; leave the clip out.")
    duration = _UNTIMED
    if picture:
        duration = float(picture["duration"])
    elif samples is not None:
        duration = len(samples) / spec.sample_rate
    return Signal(samples, spec.sample_rate or 0, frames, picture.get("times"), duration, given)


def _detector(name):
    """A Detector of this thread's own: OpenCV's keep what they work on within themselves."""
    return _detector_of_thread(name, threading.get_ident())


@lru_cache(maxsize=16)
def _detector_of_thread(name, thread):
    return faces.Detector(name)


def _content(path):
    """Digest of a file's size and of its first, middle and last 16 KiB: media never agree there."""
    digest = hashlib.blake2b()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(str(size).encode())
        for start in (0, size // 2, max(0, size - _BLOCK)):
            file.seek(start)
            digest.update(file.read(_BLOCK))
    return digest.digest()
