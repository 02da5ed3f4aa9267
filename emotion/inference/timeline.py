"""Analyses a recording in one streaming pass: faces, sound and predictions over time."""

from __future__ import annotations

import contextlib
import heapq
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion import media
from emotion.clip import MediaError, Prediction, Signal, cut
from emotion.faces.crop import STEP, CropStream
from emotion.faces.tracking import Track

if TYPE_CHECKING:
    from emotion.clip import Arrays, Progress
    from emotion.inference.recognizer import Recognizer
    from emotion.media import Info

BATCH = 16  # windows predicted at once
SOUND_BLOCK = 0.25  # seconds


@dataclass(frozen=True, eq=False)
class Timeline:
    """A recording as the recogniser sees it; its size grows with its faces, not with its pixels.

    Attributes:
        info: media.Info of the recording.
        labels: tuple of str, class names.
        duration: float, seconds.
        times: float array (n,), when faces were looked for.
        tracks: list of tracking.Track with ids from 1; their `indices` count in `times`.
        predictions: list of Prediction, by start and then by track.
        sound: Path of the file whose sound takes the place of the recording's own, or None.
    """

    info: media.Info
    labels: tuple
    duration: float
    times: np.ndarray
    tracks: list
    predictions: list
    sound: Path | None = None


def analyse(
    path: str | Path,
    recognizer: Recognizer,
    window: float | None = None,
    hop: float | None = None,
    progress: Progress | None = None,
    features: Arrays | None = None,
    sound: str | Path | None = None,
) -> Timeline:
    """Follows the faces of a recording and predicts each in every window.

    A window with speech and faces gives a prediction a face, from both; without a face one from
    sound alone; without speech one a face, from the picture alone; without either none. A recording
    shorter than the window is one window, and the last window ends with the recording. What a table
    says of the recording, each window has: its values do not follow the windows.

    Args:
        path: str or Path.
        recognizer: Recognizer.
        window: float, seconds; None takes the recogniser's.
        hop: float, seconds from one window to the next; None is a third of the window.
        progress: function(stage str, seconds done, seconds in all or None), or None.
        features: dict of `Recognizer.table_features`, or None.
        sound: str or Path of a file whose sound takes the place of the recording's own, or None;
            it begins with the first frame.

    Returns:
        Timeline.

    Raises:
        FileNotFoundError, MediaError: no such file, or nothing in it that can be decoded.
        ValueError: `window` or `hop` out of range.
    """
    window, hop = spans(recognizer, window, hop)
    info = media.probe(path)
    if sound is not None:
        sound = check_sound(info, sound).path
    events = list(_events(info, recognizer, features, sound))
    if not events:
        needed = "action units (from a table)" if recognizer.detector is None else "picture"
        missing = needed if recognizer.preset.modality == "video" else "sound"
        raise MediaError(f"{path} has no {missing}, all that this run was trained on; use another.")
    recent = Recent(recognizer, features or {})
    predictions, waiting = [], []
    start = closed = now = 0.0
    count = 0

    def close(start, end):
        waiting.extend((start, end, *window) for window in recent.signals(start, end))
        if len(waiting) >= BATCH:
            predictions.extend(predict(recognizer, waiting))
            waiting.clear()

    with contextlib.ExitStack() as files:  # closed also where `progress` ends the analysis
        for each in events:
            files.enter_context(contextlib.closing(each))
        for time, kind, value in heapq.merge(*events, key=itemgetter(0)):
            while time >= start + window:
                close(start, start + window)
                recent.forget(start)
                closed, count = start + window, count + 1
                start = count * hop
            recent.take(kind, time, value)
            if kind == "sound":
                now = max(now, time + len(value) / recognizer.sample_rate)
            else:
                now = max(now, time + float(1 / info.rate))
            if progress:
                progress("analysing", time, info.duration)
    # Frames after the last that was looked at are not counted in `now`; what the file says is.
    said = info.duration and info.duration - (info.origin - info.start)
    duration = said if said and abs(said - now) < 2 * STEP else now
    if sound is not None:  # of which that file says nothing
        duration = max(duration, now)
    if duration - closed > 0.1 * hop:
        close(max(0.0, duration - window), duration)
    predictions.extend(predict(recognizer, waiting))
    return replace(_timeline(info, recognizer.labels, duration, recent, predictions), sound=sound)


def analyse_image(image: np.ndarray, recognizer: Recognizer, name: str = "image") -> Timeline:
    """Predicts the faces of a still image, as identical frames without sound.

    Args:
        image: uint8 array (h, w, 3), RGB.
        recognizer: Recognizer.
        name: str, what the image is called.

    Returns:
        Timeline of one window.

    Raises:
        MediaError: the run uses no face crops.
    """
    if recognizer.detector is None:
        raise MediaError(f"{name} is an image, and this run uses no face crops; use another run.")
    window, (height, width) = recognizer.window, image.shape[:2]
    rate = Fraction(1 / STEP).limit_denominator(1000)
    info = media.Info(Path(name), window, True, False, width, height, rate)
    recent = Recent(recognizer, {})
    for index in range(math.ceil(window / STEP)):
        recent.add_frame(index * STEP, image)
    windows = [(0.0, window, *signal) for signal in recent.signals(0.0, window)]
    return _timeline(info, recognizer.labels, window, recent, predict(recognizer, windows))


def moment(
    path: str | Path, recognizer: Recognizer, prediction: Prediction, sound: Path | None = None
) -> Signal:
    """Computes anew what a prediction of `analyse` was made from.

    Args:
        path: str or Path of the recording.
        recognizer: Recognizer, the one that predicted.
        prediction: Prediction.
        sound: as in `analyse`.

    Returns:
        Signal.

    Raises:
        FileNotFoundError, MediaError: as `analyse`.
    """
    recent, (start, end) = Recent(recognizer, {}), (prediction.start, prediction.end)
    events = _events(media.probe(path), recognizer, None, sound)
    for time, kind, value in heapq.merge(*events, key=itemgetter(0)):
        if time >= end:
            break
        recent.take(kind, time, value)
        recent.forget(min(time, start))
    windows = [(start, end, *window) for window in recent.signals(start, end)]
    apart = [
        np.abs(window.probabilities - prediction.probabilities).max()
        for window in predict(recognizer, windows)
    ]
    return windows[int(np.argmin(apart))][-1]


def spans(
    recognizer: Recognizer, window: float | None = None, hop: float | None = None
) -> tuple[float, float]:
    """Returns the (window, hop) that `analyse` takes, in seconds; raises ValueError as it does."""
    window = recognizer.window if window is None else window
    hop = window / 3 if hop is None else hop
    if not 0.2 <= window <= 60:
        raise ValueError(f"`window` must be between 0.2 and 60 seconds. Received: window={window}.")
    if not 0 < hop <= window:
        raise ValueError(
            f"`hop` must be positive and at most `window` ({window} s). Received: hop={hop}."
        )
    return window, hop


def check_sound(info: Info, sound: str | Path | None) -> Info:
    """Checks whether the sound of another file can replace a recording's own.

    Args:
        info: media.Info of the recording.
        sound: str or Path.

    Returns:
        media.Info of `sound`.

    Raises:
        FileNotFoundError, MediaError: no such file, no sound in it, or no picture in the recording.
    """
    if not info.video:
        raise MediaError(
            f"{info.path} has no picture, so it takes no sound of another file; give a video, or "
            "the sound alone."
        )
    info_of_sound = media.probe(sound)
    if not info_of_sound.audio:
        raise MediaError(f"{sound} has no sound that can be decoded; give a file with sound.")
    return info_of_sound


def _events(info, recognizer, features, sound=None):
    """Streams of (seconds, kind, value), each in order of time, of what the run hears and sees.

    Where that is neither, but there are features, the pictures tell how long the recording is.
    """
    listens = (sound is not None or info.audio) and recognizer.preset.modality != "video"
    if listens:
        blocks = media.read_blocks(sound or info.path, recognizer.sample_rate, SOUND_BLOCK)
        size = round(SOUND_BLOCK * recognizer.sample_rate) / recognizer.sample_rate
        yield ((i * size, "sound", block) for i, block in enumerate(blocks))
    if info.video and (recognizer.detector is not None or features and not listens):
        pictures = media.ahead(media.read_frames(info.path, step=STEP))
        yield ((time, "frame", frame) for time, frame in pictures)


class Recent:
    """The sound and the faces of the last window, and the boxes of the whole recording.

    Args:
        recognizer: Recognizer.
        features: dict of `Recognizer.table_features`; may be empty.
    """

    def __init__(self, recognizer: Recognizer, features: Arrays | None):
        self.recognizer, self.features = recognizer, features
        self.faces = CropStream(recognizer.detector, recognizer.crop_size, recognizer.crop_margin)
        self.samples, self.first = np.zeros(0, np.float32), 0
        self.times, self.boxes = [], {}

    def take(self, kind: str, time: float, value: np.ndarray) -> None:
        """Adds "sound" or a "frame", as `add_sound` or `add_frame`."""
        self.add_sound(value) if kind == "sound" else self.add_frame(time, value)

    def add_sound(self, block: np.ndarray) -> None:
        """Adds the next samples, float32 (n,); the first is at time 0."""
        self.samples = np.concatenate([self.samples, block])

    def add_frame(self, time: float, frame: np.ndarray) -> None:
        """Detects faces in a frame, uint8 (h, w, 3) RGB; its time (s) must increase."""
        if self.recognizer.detector is None:
            return
        for id, box in self.faces.add(time, frame):
            self.boxes.setdefault(id, []).append((len(self.times), *box))
        self.times.append(time)

    def forget(self, before: float) -> None:
        """Drops what was heard and seen before a time (s)."""
        drop = max(0, round(before * self.recognizer.sample_rate) - self.first)
        drop = min(drop, len(self.samples))  # what is not heard yet is not to be dropped
        self.samples, self.first = self.samples[drop:], self.first + drop
        self.faces.forget(before)

    def signals(self, start: float, end: float) -> list[tuple[int | None, Signal]]:
        """Returns a list of (track id or None, Signal) for the window, in seconds."""
        rate = self.recognizer.sample_rate
        samples = self.recognizer.spoken(cut(self.samples, rate, start, end, self.first))
        signals = [
            (id, Signal(samples, rate, crops, times - start, end - start))
            for id, (times, _, crops) in self.faces.tracks(start, end).items()
        ]
        if not signals and (samples is not None or self.features):
            signals.append((None, Signal(samples, rate, None, None, end - start, self.features)))
        return signals


def predict(
    recognizer: Recognizer, waiting: list[tuple[float, float, int | None, Signal]]
) -> list[Prediction]:
    """Returns a Prediction for each (start, end, track id or None, Signal)."""
    if not waiting:
        return []
    rows = recognizer.predict([signal for *_, signal in waiting])
    return [
        Prediction(
            start,
            end,
            tuple(recognizer.labels),
            row,
            has_audio=signal.has_audio,
            has_face=signal.has_face,
            track=id,
            threshold=recognizer.threshold(signal),
        )
        for (start, end, id, signal), row in zip(waiting, rows, strict=True)
    ]


def _timeline(info, labels, duration, recent, predictions):
    same, boxes = recent.faces.same, {}
    for id, detections in recent.boxes.items():
        boxes.setdefault(same.get(id, id), []).extend(detections)
    tracks, renamed = [], {None: None}
    for id, detections in sorted(boxes.items()):
        if len(detections) >= min(2, len(recent.times)):
            detections = np.array(sorted(detections), float)
            renamed[id] = len(tracks) + 1
            tracks.append(Track(renamed[id], detections[:, 0].astype(int), detections[:, 1:]))
    followed = {}
    for p in predictions:
        id = same.get(p.track, p.track)
        if id in renamed:  # one a window: a face may have been re-identified only after it
            followed.setdefault((p.start, id), replace(p, track=renamed[id]))
    followed = sorted(followed.values(), key=lambda p: (p.start, p.track or 0))
    return Timeline(info, tuple(labels), duration, np.array(recent.times), tracks, followed)
