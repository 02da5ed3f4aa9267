"""Jobs: one recording each, from the file to all that is written of it, and lists of them."""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from emotion import media
from emotion.annotate import check_output, summary, write_annotated
from emotion.clip import MediaError
from emotion.smoothing import check_seconds, smooth
from emotion.timeline import analyse
from emotion.transcript import check_predictions, write_predictions

PICTURES = ".3gp .avi .flv .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .webm .wmv".split()
SOUNDS = ".aac .aif .aiff .flac .m4a .mp3 .oga .ogg .opus .wav .wma".split()
SETTINGS = "annotate.json"  # what the results of a folder were made with


@dataclass(frozen=True)
class Job:
    """A recording, and the files to write of it; None is not written.

    Attributes:
        path: Path of the recording.
        video: Path of the annotated .mp4.
        predictions: Path of the .csv, .json or .vtt.
        picture: Path of the timeline's .png or .svg.
    """

    path: Path
    video: Path | None
    predictions: Path | None = None
    picture: Path | None = None

    @property
    def outputs(self):
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

    Raises:
        ValueError: `smooth` is negative or no number.
    """

    model: str
    yunet: str | None = None
    window: float | None = None
    hop: float | None = None
    smooth: float = 0.0
    features: str | None = None

    def __post_init__(self):
        check_seconds(self.smooth)

    def load(self):
        """Returns the Recognizer; raises FileNotFoundError, ValueError where that cannot be."""
        from emotion.recognizer import Recognizer

        return Recognizer(self.model, detector_weights=self.yunet)


def check(job):
    """Says before any work whether it can be done.

    Args:
        job: Job.

    Returns:
        media.Info of the recording.

    Raises:
        FileNotFoundError, MediaError, ValueError: it cannot; the message says why.
    """
    info = media.probe(job.path)
    if info.video and job.video:
        check_output(job.path, job.video)
    if not info.video and not job.predictions and not job.picture:
        raise MediaError(
            f"{job.path} has sound only, so there is no video to annotate; add "
            "--predictions FILE.csv for what is heard."
        )
    if job.predictions:
        check_predictions(job.path, job.predictions)
    if job.picture:
        from emotion import storyline  # with matplotlib, which few calls need

        storyline.check_picture(job.picture)
    return info


def annotate(job, recognizer, settings, progress=None):
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
    given = settings.features and recognizer.given(job.path, settings.features)
    timeline = analyse(job.path, recognizer, settings.window, settings.hop, progress, given)
    timeline = smooth(timeline, settings.smooth)
    if job.predictions:
        write_predictions(timeline, job.predictions)
    if job.picture:
        from emotion import storyline

        storyline.draw(timeline, job.picture)
    if info.video and job.video:
        write_annotated(timeline, job.video, progress)
    return summary(timeline), [path for path in job.outputs if path != job.video or info.video]


def list_jobs(paths, folder, predictions=None, picture=None):
    """Lists what is to be done for files and folders.

    Args:
        paths: list of Path; of a folder, all media in it and below it, in order of name; sound
            only where more than a video is written.
        folder: Path, where results go; what lies in a folder keeps its place below it.
        predictions, picture: str, the suffix of further files (".csv", ".png"), or None.

    Returns:
        List of Job.

    Raises:
        FileNotFoundError: a path is not there, or a folder holds no media.
    """
    suffixes = PICTURES + SOUNDS * bool(predictions or picture)
    found = {}  # recording to the folder of its results, each once
    for path in paths:
        inside = [path]
        if path.is_dir():
            below = (one for one in sorted(path.rglob("*")) if one.suffix.lower() in suffixes)
            inside = [one for one in below if folder.resolve() not in one.resolve().parents]
        if not inside or not inside[0].exists():
            raise FileNotFoundError(f"{path} is not there or holds no recording; check the path.")
        for one in inside:
            place = one.parent.relative_to(path) if path.is_dir() else Path()
            found.setdefault(one.resolve(), (one, folder / place))
    names = Counter((place / one.stem).as_posix().lower() for one, place in found.values())
    listed = []
    for one, place in found.values():
        alone = names[(place / one.stem).as_posix().lower()] == 1
        name = one.stem if alone else one.name.replace(".", "_")  # a.mp4 beside a.mov
        video = None if one.suffix.lower() in SOUNDS else place / f"{name}_annotated.mp4"
        others = (kind and place / f"{name}_annotated{kind}" for kind in (predictions, picture))
        listed.append(Job(one, video, *others))
    return listed


def unfinished(listed, settings, folder):
    """Prepares a folder, and leaves out the jobs that are done and newer than their recording.

    Args:
        listed: list of Job.
        settings: Settings.
        folder: Path.

    Returns:
        List of Job.

    Raises:
        ValueError: what the folder holds was made with other settings.
        OSError: it cannot be written.
    """
    trained = (Path(settings.model) / "model.keras").stat().st_mtime
    record = json.dumps({**asdict(settings), "trained": trained}, indent=1) + "\n"
    for place in {folder, *(one.parent for job in listed for one in job.outputs)}:
        place.mkdir(parents=True, exist_ok=True)
        for part in place.glob(".*_annotated.*.part"):
            part.unlink(missing_ok=True)  # of a call that was killed
    path = folder / SETTINGS
    if path.exists() and path.read_text(encoding="utf-8") != record:
        raise ValueError(
            f"{folder} was begun with other settings or another model ({path.name} says which); "
            "repeat those, or choose another --output."
        )
    part = folder / f".{SETTINGS}.part"
    part.write_text(record, encoding="utf-8")
    os.replace(part, path)
    return [job for job in listed if not _done(job)]


def _done(job):
    try:
        newest = job.path.stat().st_mtime
        return bool(job.outputs) and all(one.stat().st_mtime >= newest for one in job.outputs)
    except OSError:
        return False
