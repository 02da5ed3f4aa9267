"""The plain values that all packages use: a clip on disk, its signal, a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
Load = Callable[["Clip"], "Signal"]
UNCERTAIN = "uncertain"  # the label of a prediction whose confidence is below the threshold
# Called as work proceeds with the stage, the seconds done, and their total (None: not known).
Progress = Callable[[str, float, float | None], object]

# Which modality stands behind what was computed beforehand.
_FEATURES = {
    "audio": ("mean_mfcc_series", "log_mel", "audio_embedding"),
    "video": ("action_units", "video_embedding"),
}


def spread(duration: float, count: int) -> np.ndarray:
    """Spreads `count` times over a duration: the middles of as many equal parts.

    Args:
        duration: float, seconds.
        count: int.

    Returns:
        float64 array (count,), seconds.

    >>> spread(2.0, 4).tolist()
    [0.25, 0.75, 1.25, 1.75]
    """
    return (np.arange(count) + 0.5) * (duration / count)


def cut(
    samples: np.ndarray | None, rate: int, start: float, end: float, first: int = 0
) -> np.ndarray | None:
    """Cuts a stretch out of the sound of a recording.

    Args:
        samples: float32 array (n,).
        rate: int, Hz.
        start, end: float, seconds of the recording.
        first: int, the place of `samples[0]` in the whole recording.

    Returns:
        float32 array (round((end - start) * rate),), silent after the end of the sound; None where
        the sound covers less than a quarter of a second, or less than all of a shorter stretch.

    >>> cut(np.ones(5, np.float32), 4, 0.5, 1.5).tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    begin, length = max(0, round(start * rate) - first), round((end - start) * rate)
    part = samples[begin : begin + length]
    if len(part) < max(1, round(min(0.25, end - start) * rate)):
        return None
    return np.pad(part, (0, length - len(part)))


class MediaError(Exception):
    """A media file cannot be used; the message names the file, the reason and what to do."""


@dataclass(frozen=True)
class Clip:
    """A labelled stretch of media on disk.

    Attributes:
        id: str, unique in the corpus; one recording event (take) is one clip.
        label: str, the class name.
        speaker: str, the unit that splits never divide.
        audio: Path of the file the sound is read from, or None. It may be the video file itself.
        video: Path of the file the picture is read from, a video or a still image, or None.
        info: dict, what the corpus says besides: channel, intensity, statement, repetition, sex, as
            str; `label_target` where the label may not be what the actor intended; `votes`, those
            of raters (data/votes.py).
        split: "train", "validation" or "test" where the corpus fixes it, else None.
        table: Path of the table (data/feature_tables.py) with computed features, or None.
        index: int, which image of `video`, if that is an array or a table of images; or None.
    """

    id: str
    label: str
    speaker: str
    audio: Path | None = None
    video: Path | None = None
    info: dict = field(default_factory=dict, hash=False)
    split: str | None = None
    table: Path | None = None
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Signal:
    """A decoded clip or window.

    Attributes:
        samples: float32 array (n,), mono, in [-1, 1]; None where nothing is heard.
        sample_rate: int, Hz.
        frames: uint8 array (t, h, w, 3), RGB face crops; None where no face is seen.
        times: float64 array (t,), seconds of each frame from the start of the signal.
        duration: float, seconds.
        features: dict of name to array, computed beforehand: features that a table gives of
            the clip, embeddings that a frozen encoder makes of it.
    """

    samples: np.ndarray | None
    sample_rate: int
    frames: np.ndarray | None
    times: np.ndarray | None
    duration: float
    features: dict = field(default_factory=dict)

    @property
    def has_audio(self) -> bool:
        """bool, whether it has sound, or what was computed from it."""
        return self.samples is not None or any(name in self.features for name in _FEATURES["audio"])

    @property
    def has_face(self) -> bool:
        """bool, whether it has a face, or what was computed from it."""
        return self.frames is not None or any(name in self.features for name in _FEATURES["video"])

    def without(self, modality: str) -> Signal:
        """Returns the signal without its "audio" or its "video"."""
        features = {k: v for k, v in self.features.items() if k not in _FEATURES[modality]}
        if modality == "audio":
            return replace(self, samples=None, features=features)
        return replace(self, frames=None, times=None, features=features)


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of one window.

    Attributes:
        start, end: float, seconds from the start of the recording.
        labels: tuple of str, the class names in the run's order.
        probabilities: float32 array (len(labels),), sums to 1.
        has_audio, has_face: bool, whether sound and a face entered the model.
        track: int id of the face the window belongs to, or None where no face was followed.
        threshold: float in [0, 1], the confidence below which the prediction is uncertain.
    """

    start: float
    end: float
    labels: tuple
    probabilities: np.ndarray
    has_audio: bool
    has_face: bool
    track: int | None = None
    threshold: float = 0.0

    @property
    def label(self) -> str:
        """str, the most probable class, or UNCERTAIN."""
        return UNCERTAIN if self.uncertain else self.labels[int(np.argmax(self.probabilities))]

    @property
    def uncertain(self) -> bool:
        """bool, whether the confidence is below the threshold."""
        return self.confidence < self.threshold

    @property
    def confidence(self) -> float:
        """Float in [0, 1], the probability of the most probable class."""
        return float(np.max(self.probabilities))
