"""The work on an upload, as it runs in the process that a server keeps for it.

Each function takes what that process has loaded and a `report`, as `processes.Worker.call` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion import media
from emotion.clip import MediaError
from emotion.inference.timeline import analyse, check_sound, moment

if TYPE_CHECKING:
    from emotion.clip import Prediction, Progress
    from emotion.inference.recognizer import Recognizer
    from emotion.inference.timeline import Timeline
    from emotion.web.uploads import Limits

ANNOTATED = "annotated.mp4"
SOUND = "sound file"  # beside the recording: the file whose sound takes the place of its own


def load_recognizer(*arguments: Any) -> Recognizer:
    """Returns Recognizer(*arguments), which has predicted: the first time takes seconds."""
    from emotion.inference.export import noise
    from emotion.inference.recognizer import Recognizer

    recognizer = Recognizer(*arguments)
    (signal,) = noise(recognizer, 1)
    recognizer.spoken(signal.samples)
    recognizer.predict([signal])
    return recognizer


def load_nothing() -> None:
    """Loads nothing: a process that only looks at files starts in a second."""


def describe(recognizer: Recognizer, report: Progress) -> dict[str, Any]:
    """Returns a dict of the run: "preset", "labels", "modality", "window" (s)."""
    name, modality = recognizer.preset.name, recognizer.preset.modality
    labels = list(recognizer.labels)
    return dict(preset=name, labels=labels, modality=modality, window=recognizer.window)


def check(loaded: Any, report: Progress, path: Path, limits: Limits) -> None:
    """Checks a recording, and the sound that came with it.

    Raises:
        MediaError: nothing in one of them can be used.
        TooMuch: one is beyond a limit.
    """
    info = limits.check(path)
    if (sound := path.with_name(SOUND)).exists():
        limits.check(sound)
        check_sound(info, sound)


def predict(recognizer: Recognizer, report: Progress, path: Path, limits: Limits) -> dict[str, Any]:
    """Returns the predictions of a recording, as `predictions.record`."""
    from emotion.annotate import predictions

    with _analysed(recognizer, report, path, limits) as (timeline, _):
        return predictions.record(timeline)


def annotate(recognizer: Recognizer, report: Progress, path: Path, limits: Limits) -> None:
    """Writes the annotated video beside a recording; raises MediaError where it has sound only."""
    from emotion.annotate import render

    if not media.probe(path).video:
        raise MediaError("the recording has sound only; send it to /predict.")
    with _analysed(recognizer, report, path, limits) as (timeline, report):
        render.write_annotated(timeline, path.with_name(ANNOTATED), report)


def show(recognizer: Recognizer, report: Progress, path: Path, limits: Limits) -> Timeline:
    """Returns the Timeline; writes the page's pictures, tables and video beside the recording."""
    from emotion.annotate import predictions, render, timeline_plot

    with _analysed(recognizer, report, path, limits) as (timeline, report):
        if timeline.info.video:
            render.write_annotated(timeline, path.with_name(ANNOTATED), report)
        timeline_plot.draw(timeline, path.with_name("timeline.png"))
        for name in ("predictions.csv", "subtitles.vtt"):
            predictions.write_predictions(timeline, path.with_name(name))
        return timeline


def explain(
    recognizer: Recognizer, report: Progress, path: Path, limits: Limits, prediction: Prediction
) -> dict[str, Any]:
    """Returns `explanations.explain_clip` of a prediction; writes its pictures beside the file."""
    from emotion.explain.explanations import explain_clip

    with media.picture_limit(1e6 * limits.megapixels):
        signal = moment(path, recognizer, prediction, _sound(path))
    return explain_clip(
        recognizer.model, recognizer.preset, recognizer.labels, signal, "This moment", path.parent
    )


@contextmanager
def _analysed(recognizer, report, path, limits) -> Iterator[tuple[Timeline, Progress]]:
    """Yields the Timeline, and the `report` to work on with, which keeps the limits."""
    watched, sound = limits.watch(report), _sound(path)
    with media.picture_limit(1e6 * limits.megapixels):
        # The analysis reads the sound and counts it, except where the model does not use it.
        if sound and recognizer.preset.modality == "video":
            for second, _ in enumerate(media.read_blocks(sound, 8000, 1.0)):
                watched("reading the sound", second, None)
        yield analyse(path, recognizer, progress=watched, sound=sound), watched


def _sound(path):
    sound = path.with_name(SOUND)
    return sound if sound.exists() else None
