"""Annotates recordings one by one: what to read, what to write, and lists of both."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotion import media
from emotion.annotate import timeline_plot
from emotion.annotate.predictions import check_place, check_predictions, write_predictions
from emotion.annotate.render import check_output, summary, write_annotated
from emotion.clip import MediaError
from emotion.files import write_text
from emotion.inference import runtime
from emotion.inference.smoothing import check_seconds, smooth
from emotion.inference.timeline import analyse, check_sound
from emotion.media import suffixes

if TYPE_CHECKING:
    from emotion.clip import Progress
    from emotion.inference.recognizer import Recognizer
    from emotion.media import Info

SETTINGS = "annotate.json"  # what the results of a folder were made with


@dataclass(frozen=True)
class Job:
    """A recording, and the files to write of it; None is not written.

    Attributes:
        path: Path of the recording.
        video: Path of the annotated .mp4.
        predictions: Path of the .csv, .json or .vtt.
        picture: Path of the timeline's .png or .svg.
        sound: Path of the file whose sound takes the place of the recording's own; None keeps that.
    """

    path: Path
    video: Path | None
    predictions: Path | None = None
    picture: Path | None = None
    sound: Path | None = None

    def absolute(self) -> Job:
        """Returns the Job with paths that mean the same in any working directory."""
        return Job(*(path and path.absolute() for path in vars(self).values()))

    @property
    def outputs(self) -> list[Path]:
        """List of Path."""
        return [path for path in (self.video, self.predictions, self.picture) if path]


@dataclass(frozen=True)
class Settings:
    """How recordings are annotated.

    Attributes:
        model: str, the run folder.
        yunet: str, path of YuNet's weights, or None.
        window, hop: float, seconds, or None, as in `timeline.analyse`.
        smooth: float, seconds, as in `smoothing.smooth`.
        features: str, path of a table, or None.
        threshold: float, any_sound: bool, as in `Recognizer`.
        codec: media.Codec.

    Raises:
        ValueError: `smooth` is negative or no number.
    """

    model: str
    yunet: str | None = None
    window: float | None = None
    hop: float | None = None
    smooth: float = 0.0
    features: str | None = None
    threshold: float | None = None
    any_sound: bool = False
    codec: media.Codec = field(default_factory=media.Codec)

    def __post_init__(self):
        check_seconds(self.smooth)

    def absolute(self) -> Settings:
        """Returns the Settings with paths that mean the same in any working directory."""
        names = ("model", "yunet", "features")
        paths = {name: getattr(self, name) for name in names}
        return replace(self, **{n: path and os.path.abspath(path) for n, path in paths.items()})

    def load(self) -> Recognizer:
        """Returns the Recognizer; raises FileNotFoundError, ValueError where that cannot be."""
        from emotion.inference.recognizer import Recognizer

        return Recognizer(self.model, self.yunet, self.threshold, self.any_sound)


def check(job: Job) -> Info:
    """Checks a job before any work.

    Args:
        job: Job.

    Returns:
        media.Info of the recording.

    Raises:
        FileNotFoundError, MediaError, ValueError: it cannot; the message says why.
    """
    info = media.probe(job.path)
    if job.sound:
        check_sound(info, job.sound)
    if info.video and job.video:
        for source in filter(None, (job.path, job.sound)):
            check_output(source, job.video)
    if not info.video and not job.predictions and not job.picture:
        raise MediaError(
            f"{job.path} has sound only, so there is no video to annotate; add "
            "--predictions FILE.csv for its emotions."
        )
    if job.predictions:
        check_predictions(job.path, job.predictions)
    if job.picture:
        timeline_plot.check_picture(job.picture)
        check_place(job.picture)
    return info


def annotate(
    job: Job, recognizer: Recognizer, settings: Settings, progress: Progress | None = None
) -> tuple[str, list[Path]]:
    """Does one job; the video comes last, so that where it is there, all is.

    Args:
        job: Job.
        recognizer: Recognizer.
        settings: Settings.
        progress: as in `timeline.analyse`.

    Returns:
        (str, list of Path): a sentence on what was predicted, and what was written.

    Raises:
        FileNotFoundError, MediaError, ValueError: the recording cannot be used.
    """
    info = check(job)
    features = None
    if settings.features:
        features = recognizer.table_features(job.path, settings.features)
    window, hop = settings.window, settings.hop
    timeline = analyse(job.path, recognizer, window, hop, progress, features, job.sound)
    timeline = smooth(timeline, settings.smooth)
    if job.predictions:
        write_predictions(timeline, job.predictions)
    if job.picture:
        timeline_plot.draw(timeline, job.picture)
    if info.video and job.video:
        write_annotated(timeline, job.video, progress, settings.codec)
    return summary(timeline), [path for path in job.outputs if path != job.video or info.video]


def shared(paths: list[Path]) -> Path:
    """Returns the Path of the innermost folder that files and folders lie in."""
    folders = [os.path.abspath(path if path.is_dir() else path.parent) for path in paths]
    if len({os.path.splitdrive(place)[0].lower() for place in folders}) > 1:
        raise ValueError("recordings must lie on one drive; make a call for each.")
    return Path(os.path.commonpath(folders))


def list_jobs(
    paths: list[Path], folder: Path, predictions: str | None = None, picture: str | None = None
) -> list[Job]:
    """Lists what is to be done for files and folders.

    Args:
        paths: list of Path; of a folder, all media in it and below it, in order of name; sound
            only where more than a video is written.
        folder: Path, where results go; each has the place there that its recording has in `shared`.
        predictions, picture: str, the suffix of further files (".csv", ".png"), or None.

    Returns:
        List of Job; no two write the same file.

    Raises:
        FileNotFoundError: a path is not there, or a folder holds no media.
    """
    wanted = suffixes.VIDEO | (suffixes.AUDIO if predictions or picture else set())
    root, recordings = shared(paths), {}  # each recording once
    for path in paths:
        inside = [path]
        if path.is_dir():
            below = (
                recording
                for recording in sorted(path.rglob("*"))
                if recording.suffix.lower() in wanted
            )
            inside = [recording for recording in below if not _result(recording, folder)]
        if not inside or not inside[0].exists():
            fix = "" if predictions or picture else ", or add --predictions csv for files of sound"
            raise FileNotFoundError(
                f"{path} is not there or holds no recording to annotate; check the path{fix}."
            )
        recordings |= {recording.resolve(): recording for recording in inside}
    relative = [
        Path(os.path.abspath(recording)).relative_to(root) for recording in recordings.values()
    ]
    names = Counter(
        name for place in relative for name in {_folded(place.with_suffix("")), _folded(place)}
    )
    listed = []
    for recording, place in zip(recordings.values(), relative, strict=True):
        if names[_folded(place.with_suffix(""))] == 1:  # else a.mp4 lies beside a.mov
            place = place.with_suffix("")
        start = f"{folder / place}_annotated"
        video = None if recording.suffix.lower() in suffixes.AUDIO else Path(f"{start}.mp4")
        others = [Path(f"{start}{kind}") if kind else None for kind in (predictions, picture)]
        listed.append(Job(recording, video, *others))
    return listed


def _result(path, folder):
    return path.stem.endswith("_annotated") and folder.resolve() in path.resolve().parents


def _folded(path):
    return path.as_posix().lower()  # as a file system may take it that knows no case


def unfinished(listed: list[Job], settings: Settings, folder: Path, root: Path) -> list[Job]:
    """Prepares a folder, and leaves out the jobs that are done and newer than their recording.

    Args:
        listed: list of Job.
        settings: Settings.
        folder: Path.
        root: Path, `shared` of what was listed.

    Returns:
        List of Job.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: what the folder holds was made with other settings or of other recordings.
        OSError: it cannot be written.
    """
    model = runtime.find(settings.model) or Path(settings.model, "model.keras")
    model = model / "saved_model.pb" if model.is_dir() else model
    chosen = asdict(settings)
    if not model.is_file():
        raise FileNotFoundError(
            f"{settings.model} holds no trained model; name a run or an export with --model."
        )
    if settings.codec == media.Codec():
        del chosen["codec"]  # which results of earlier versions do not name
    made = {**chosen, "trained": model.stat().st_mtime, "recordings": str(root)}
    record = json.dumps(made, indent=1) + "\n"
    for place in {folder, *(output.parent for job in listed for output in job.outputs)}:
        place.mkdir(parents=True, exist_ok=True)
        for part in place.glob(".*_annotated.*.part.mp4"):
            part.unlink(missing_ok=True)  # of a call that was killed
    path = folder / SETTINGS
    if path.exists() and path.read_text(encoding="utf-8") != record:
        raise ValueError(
            f"{folder} was begun with other settings, another model or recordings from elsewhere "
            f"({path.name} says which); repeat those, or choose another --output."
        )
    write_text(path, record)
    return [job for job in listed if not done(job)]


def done(job: Job) -> bool:
    """Whether all results of a job are there, and newer than its recording."""
    try:
        newest = job.path.stat().st_mtime
        lacking = [
            output
            for output in job.outputs
            if not output.exists() or output.stat().st_mtime < newest
        ]
        if lacking == [job.video] != job.outputs:
            return not media.probe(job.path).video  # named like a video, it may hold sound only
        return bool(job.outputs) and not lacking
    except (OSError, MediaError):
        return False
