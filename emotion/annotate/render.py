"""Writes a recording with boxes and labels drawn on it; sound and timing stay as they are.

Two streaming passes: `analyse` gathers boxes and predictions, then the frames are decoded again and
drawn on as they pass, so a box knows where its face goes next and memory does not grow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion import media
from emotion.annotate.overlay import Face, compose, draw_frame, paint
from emotion.annotate.predictions import check_place, check_predictions, write_predictions
from emotion.clip import MediaError
from emotion.faces.crop import STEP
from emotion.inference.timeline import Timeline, analyse

if TYPE_CHECKING:
    from emotion.clip import Arrays, Progress
    from emotion.inference.recognizer import Recognizer
    from emotion.inference.timeline import Track
    from emotion.media import Codec

MISSED = 3  # looks from one detection to the next between which a face is taken to have stayed

__all__ = ["Face", "Timeline", "analyse", "annotate_video", "check_output", "check_predictions"]
__all__ += ["draw_frame", "lasting", "summary", "write_annotated", "write_predictions"]


def annotate_video(
    path: str | Path,
    output: str | Path,
    recognizer: Recognizer,
    window: float | None = None,
    hop: float | None = None,
    progress: Progress | None = None,
    features: Arrays | None = None,
    sound: Path | None = None,
) -> Timeline:
    """Annotates a video.

    Args:
        path: str or Path.
        output: str or Path of the mp4; it appears only when complete.
        recognizer: Recognizer.
        window, hop, progress, features, sound: as in `analyse`.

    Returns:
        Timeline.

    Raises:
        FileNotFoundError, MediaError: no such file, no picture in it, or `output` is not writable.
        ValueError: `window` or `hop` out of range, or `output` is `path`.
    """
    check_output(path, output)
    if not media.probe(path).video:
        raise MediaError(f"{path} has sound only, so there is no video to annotate; use `analyse`.")
    timeline = analyse(path, recognizer, window, hop, progress, features, sound)
    write_annotated(timeline, output, progress)
    return timeline


def check_output(path: str | Path, output: str | Path) -> None:
    """Raises ValueError unless `output` is an .mp4 other than `path`, MediaError if unwritable."""
    if Path(output).suffix.lower() != ".mp4":
        raise ValueError(f"`output` must end in .mp4. Received: {output}.")
    if Path(output).resolve() == Path(path).resolve() or (
        Path(output).exists() and Path(path).exists() and Path(output).samefile(path)
    ):
        raise ValueError(f"`output` must be another file than the input. Received: {output}.")
    check_place(output)


def summary(timeline: Timeline) -> str:
    """Summarises a timeline: the emotion of each person, and the modalities that were used.

    Args:
        timeline: Timeline.

    Returns:
        str of one or more lines: "person 1: happy, 14 of 20 s" for each of `lasting`, then a
        sentence on how many predictions are from sound, faces, or both.
    """
    count, predicted = len(timeline.tracks), timeline.predictions
    faces = f"{count} face{'' if count == 1 else 's'}" if count else "no face"
    basis_names = ("face", "the picture") if count else ("action units", "action units")
    kinds = (
        (f"from sound and {basis_names[0]}", sum(p.has_audio and p.has_face for p in predicted)),
        ("from sound alone", sum(p.has_audio and not p.has_face for p in predicted)),
        (f"from {basis_names[1]} alone", sum(p.has_face and not p.has_audio for p in predicted)),
    )
    parts = [f"{number} {name}" for name, number in kinds if number]
    lines = [
        f"{name}: {label}, {lasted:.{digits}f} of {total:.{digits}f} s"
        for name, label, lasted, total in lasting(timeline)
        for digits in [0 if total >= 10 else 1]
    ]
    basis = f"{faces}; predictions: {', '.join(parts) or 'none (neither speech nor face)'}"
    return "\n".join([*lines, basis])


def lasting(timeline: Timeline) -> list[tuple[str, str, float, float]]:
    """Finds the emotion that lasted longest for each person, and for the rest of the recording.

    At each moment a person has the label of the prediction whose window's centre is nearest, and
    the time without a face that of the nearest window without one: what `scenes` draws.

    Args:
        timeline: Timeline.

    Returns:
        List of (name, label, lasted, total): str "person N", by number, then "sound" (or what else
        is not from a face) for the windows without one; str; seconds with that label; seconds in
        which the person is there, or those windows are drawn. Of labels that lasted equally long
        the first counts. What was never predicted is not in the list.
    """
    listed = []
    for key, seconds in label_seconds(timeline).items():
        if label := max(filter(None, seconds), key=seconds.get, default=None):
            listed.append((person(key), label, seconds[label], sum(seconds.values())))
    return listed


def label_seconds(timeline: Timeline) -> dict[int | str, dict[str | None, float]]:
    """Counts the seconds of each label for each person, as `lasting` describes.

    Returns:
        dict of the number of a face, or of what else a prediction is from such as "sound alone",
        to dict of label to seconds; the label is None where nothing was predicted. Faces come
        first.
    """
    describe, seconds = scenes(timeline), {}
    edges = _edges(timeline)
    for start, end in zip(edges, edges[1:]):
        for face in describe((start + end) / 2)[0]:
            key = face.name.rpartition("from ")[2] if face.box is None else int(face.name)
            of_key = seconds.setdefault(key, {})
            of_key[face.label] = of_key.get(face.label, 0.0) + end - start
    order = sorted(seconds, key=lambda key: (isinstance(key, str), key))
    return {key: seconds[key] for key in order}


def person(key: int | str) -> str:
    """Returns str, the name of a key of `label_seconds`: "person 1", or "sound"."""
    return key.removesuffix(" alone") if isinstance(key, str) else f"person {key}"


def _edges(timeline):
    """Sorted float array, seconds between which what `scenes` draws keeps its faces and labels."""
    edges, centres, times = [0.0, timeline.duration], {}, timeline.times
    for prediction in timeline.predictions:
        edges += prediction.start, prediction.end
        centres.setdefault(prediction.track, []).append((prediction.start + prediction.end) / 2)
    for values in map(np.sort, centres.values()):
        edges.extend((values[1:] + values[:-1]) / 2)
    between = np.append((times[1:] + times[:-1]) / 2, times[-1:] + STEP)  # after each look
    for track in timeline.tracks:
        looks = track.indices
        away = np.flatnonzero(np.diff(looks) > MISSED)
        edges.extend(between[looks[[*away, -1]]])
        edges.extend(between[i - 1] if i else times[0] for i in looks[[0, *(away + 1)]])
    return np.unique(np.clip(edges, 0.0, timeline.duration))


def write_annotated(
    timeline: Timeline,
    output: str | Path,
    progress: Progress | None = None,
    codec: Codec | None = None,
) -> None:
    """Writes the recording of a timeline with its faces, predictions and sound.

    Args:
        timeline: Timeline of a recording with video.
        output: str or Path of the mp4.
        progress: as in `analyse`.
        codec: media.Codec, or None for the default one.

    Raises:
        FileNotFoundError, MediaError: the recording is gone, or `output` is not writable.
    """
    describe = scenes(timeline)
    cards, positions = {}, {}
    sound = None if timeline.sound is None else media.probe(timeline.sound)
    with media.VideoWriter(output, like=timeline.info, sound=sound, codec=codec) as writer:
        for time, picture in media.ahead(media.read_pictures(timeline.info.path)):
            paint(media.planes(picture), *describe(time), cards, positions)
            writer.write(picture)
            if progress:
                progress("writing", time, timeline.duration)


def scenes(timeline: Timeline) -> Callable[[float], tuple[list[Face], str | None]]:
    """Prepares what is to be drawn, so that a frame costs the same in a long recording.

    Returns:
        Function of a time (s), giving (list of Face, note str or None): each face that is there,
        with the prediction whose window's centre is nearest; without any, that of no face.
    """
    centres, by_track = {}, {}
    for prediction in timeline.predictions:
        centres.setdefault(prediction.track, []).append((prediction.start + prediction.end) / 2)
        by_track.setdefault(prediction.track, []).append(prediction)
    centres = {id: np.array(values) for id, values in centres.items()}
    times_of = [timeline.times[track.indices] for track in timeline.tracks]
    spans = np.array([(times[0], times[-1]) for times in times_of]).reshape(-1, 2)
    pictured = len(timeline.times) > 0  # a run without pictures looks for no face
    slack = 2 * np.diff(timeline.times).max(initial=STEP)

    def nearest(id, time):
        if id not in centres:
            return None
        return by_track[id][int(np.argmin(np.abs(centres[id] - time)))]

    def describe(time):
        tracked = []
        there = (spans[:, 0] - slack <= time) & (time <= spans[:, 1] + slack)
        for index in np.flatnonzero(there):
            track = timeline.tracks[index]
            box = box_at(track, timeline.times, times_of[index], time)
            if box is not None:
                tracked.append((box, track.id, nearest(track.id, time)))
        alone = nearest(None, time)
        if alone is not None and not alone.start <= time <= alone.end:
            alone = None
        return compose(tracked, alone, pictured)

    return describe


def box_at(track: Track, times: np.ndarray, detected: np.ndarray, time: float) -> np.ndarray | None:
    """Interpolates the box of a face between its detections.

    A face missed at one or two looks in a row is taken to have stayed; otherwise its box ends half
    way to the look that did not find it.

    Args:
        track: tracking.Track.
        times: float array (n,), when faces were looked for.
        detected: float array (k,), `times[track.indices]`.
        time: float, seconds.

    Returns:
        float array (4,), xyxy, or None where the face is not there.
    """
    after = int(np.searchsorted(detected, time, side="right"))
    last = track.indices[after - 1] if after > 0 else None
    following = track.indices[after] if after < len(track.indices) else None
    if last is not None and following is not None and following - last <= MISSED:
        share = (time - times[last]) / (times[following] - times[last])
        return (1 - share) * track.boxes[after - 1] + share * track.boxes[after]
    if last is not None:
        until = times[last + 1] if last + 1 < len(times) else times[last] + 2 * STEP
        if time <= (times[last] + until) / 2:
            return track.boxes[after - 1]
    if (
        following is not None
        and following > 0
        and time >= times[following - 1 : following + 1].mean()
    ):
        return track.boxes[after]
    return None
