"""Analyses recordings and images: `emotion.analyze` and the `Analysis` that it returns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from emotion import media
from emotion.annotate import predictions, render, timeline_plot
from emotion.annotate.overlay import draw_frame
from emotion.clip import UNCERTAIN, Progress
from emotion.files import atomic_write
from emotion.inference.recognizer import Recognizer, as_image
from emotion.inference.smoothing import smooth as smoothed
from emotion.inference.timeline import Timeline, analyse, analyse_image
from emotion.media import suffixes
from emotion.run import newest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Source = str | Path | np.ndarray | Image.Image


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """The predictions of a recording or an image.

    Attributes:
        timeline: Timeline, faces and predictions over time.
        image: uint8 array (h, w, 3), RGB, of a still image; None for a recording.
    """

    timeline: Timeline
    image: np.ndarray | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names, in the order of the model."""
        return self.timeline.labels

    def __repr__(self) -> str:
        """Returns a line with the file, its duration and what was predicted."""
        faces, windows = len(self.timeline.tracks), len(self.timeline.predictions)
        name, seconds = self.timeline.info.path.name, self.timeline.duration
        return f"Analysis({name!r}, {seconds:.1f} s, faces={faces}, predictions={windows})"

    def to_pandas(self) -> pd.DataFrame:
        """Returns a row for each window and face.

        Returns:
            DataFrame: start, end (float64, seconds); track (Int64, the number of the face, missing
            without one); x1, y1, x2, y2 (float64, pixels, the box in the middle of the window);
            has_audio, has_face (bool, what the model used); label (category, a class or
            "uncertain"); confidence and a column for each class (float32, probabilities).
        """
        columns = [*predictions.COLUMNS, *self.labels]
        table = pd.DataFrame(list(predictions.rows(self.timeline)), columns=columns)
        whole = self.timeline.predictions  # the rows are rounded, for files
        table["confidence"] = [prediction.confidence for prediction in whole]
        probabilities = [prediction.probabilities for prediction in whole]
        table[list(self.labels)] = np.reshape(probabilities, (len(whole), len(self.labels)))
        kinds = dict.fromkeys(("start", "end", *predictions.CORNERS), "float64")
        kinds |= dict.fromkeys(("has_audio", "has_face"), "bool") | {"track": "Int64"}
        kinds |= dict.fromkeys(("confidence", *self.labels), "float32")
        kinds["label"] = pd.CategoricalDtype([*self.labels, UNCERTAIN])
        return table.astype(kinds)

    def summary(self) -> pd.DataFrame:
        """Returns a row for each person, and one for the time without a face.

        Returns:
            DataFrame, indexed by "person 1", "person 2", ... and what is not from a face, such as
            "sound": label, the one that lasted longest; seconds, in which the person is there; a
            column for each class, its mean probability; and LABEL_seconds, how long it lasted.
        """
        table, rows, names = self.to_pandas(), {}, (*self.labels, UNCERTAIN)
        for key, seconds in render.label_seconds(self.timeline).items():
            of_person = table["track"].isna() if isinstance(key, str) else table["track"].eq(key)
            means = table.loc[of_person.fillna(False), list(self.labels)].mean()
            lasted = {f"{name}_seconds": seconds.get(name, 0.0) for name in names}
            known = {label: value for label, value in seconds.items() if label}
            row = {"label": max(known, key=known.__getitem__) if known else None}
            row |= {"seconds": sum(seconds.values()), **means, **lasted}
            rows[render.person(key)] = row
        columns = ["label", "seconds", *self.labels, *(f"{name}_seconds" for name in names)]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def annotate(self, path: str | Path) -> Path:
        """Writes the recording, or the image, with boxes and labels; a recording keeps its sound.

        Args:
            path: of the .mp4, or for an image of the .png or .jpg.

        Returns:
            The path.

        Raises:
            ValueError: another suffix, or the path of the recording itself.
            FileNotFoundError, MediaError: the recording is gone, or the path cannot be written.
        """
        path = Path(path)
        if self.image is None:
            render.check_output(self.timeline.info.path, path)
            render.write_annotated(self.timeline, path)
            return path
        if path.suffix.lower() not in suffixes.IMAGES:
            raise ValueError(f"`path` must end in .png or .jpg for an image. Received: {path}.")
        if path.resolve() == Path(self.timeline.info.path).resolve():
            raise ValueError(f"`path` must be another file than the image. Received: {path}.")
        predictions.check_place(path)
        drawn = draw_frame(self.image, *render.scenes(self.timeline)(self.timeline.duration / 2))
        with atomic_write(path) as part:
            Image.fromarray(drawn).save(part)
        return path

    def plot(self) -> Figure:
        """Returns a figure of the probability of each emotion over time, a row for each face."""
        return timeline_plot.plot(self.timeline)

    def __str__(self) -> str:
        """One line for each person: "person 1: happy, 14 of 20 s"; then what it rests on."""
        return render.summary(self.timeline)


@overload
def analyze(
    source: Source,
    model: str | Path | Recognizer | None = None,
    *,
    window: float | None = None,
    hop: float | None = None,
    smooth: float = 0.0,
    audio: str | Path | None = None,
    progress: Progress | str | None = None,
) -> Analysis: ...
@overload
def analyze(
    source: list[Source] | tuple[Source, ...],
    model: str | Path | Recognizer | None = None,
    *,
    window: float | None = None,
    hop: float | None = None,
    smooth: float = 0.0,
    audio: str | Path | None = None,
    progress: Progress | str | None = None,
) -> list[Analysis]: ...
def analyze(
    source: Source | list[Source] | tuple[Source, ...],
    model: str | Path | Recognizer | None = None,
    *,
    window: float | None = None,
    hop: float | None = None,
    smooth: float = 0.0,
    audio: str | Path | None = None,
    progress: Progress | str | None = None,
) -> Analysis | list[Analysis]:
    """Recognises the emotions in a recording or an image.

    Args:
        source: path of a video, a sound file or an image; an image as uint8 array (h, w, 3), RGB,
            or as PIL.Image; or a list of these. An image counts as identical frames without sound.
        model: folder of a run or an export, or a Recognizer; None takes the newest run.
        window: seconds; None takes the median duration of the training clips.
        hop: seconds from one window to the next; None is a third of the window.
        smooth: seconds, time constant of the smoothing of probabilities; 0 for none.
        audio: path of a file whose sound takes the place of the recording's.
        progress: "bar" for a progress bar, function(stage, seconds done, seconds in all or None),
            or None.

    Returns:
        Analysis, or a list of Analysis for a list.

    Raises:
        FileNotFoundError: there is no such file, no such run, or no run at all.
        MediaError: a file cannot be decoded, or holds nothing that the model uses.
        ValueError: an argument is out of range.
        TypeError: `source` is of another type.
    """
    recognizer = model if hasattr(model, "predict") else Recognizer(model or newest())
    several = isinstance(source, (list, tuple))
    with _reporter(progress) as report:
        analyses = [
            _analyze(each, recognizer, window, hop, smooth, audio, report)
            for each in (source if several else [source])
        ]
    return analyses if several else analyses[0]


def _analyze(source, recognizer, window, hop, smooth, audio, report) -> Analysis:
    image, name = _image(source)
    if image is not None:
        if (window, hop, audio) != (None, None, None) or smooth:
            raise ValueError(
                "`window`, `hop`, `smooth` and `audio` are for recordings, not images."
            )
        return Analysis(analyse_image(image, recognizer, name), image)
    timeline = analyse(source, recognizer, window, hop, report, sound=audio)
    return Analysis(smoothed(timeline, smooth))


def _image(source) -> tuple[np.ndarray | None, str]:
    """The image, uint8 (h, w, 3) RGB, and its name; None for the path of a recording."""
    if isinstance(source, (str, Path)):
        if Path(source).suffix.lower() not in suffixes.IMAGES:
            return None, ""
        return media.read_image(Path(source)), str(source)
    if isinstance(source, (np.ndarray, Image.Image)):
        return as_image(source), "image"
    raise TypeError(
        "`source` must be a path, an image as array or PIL.Image, or a list of these. "
        f"Received: {type(source).__name__}."
    )


@contextmanager
def _reporter(progress) -> Iterator[Progress | None]:
    if progress is None or callable(progress):
        yield progress
        return
    if progress != "bar":
        raise ValueError(f'`progress` must be None, a function or "bar". Received: {progress!r}.')
    with tqdm(unit="s", bar_format="{desc} {percentage:3.0f}%|{bar}| {n:.0f} s{postfix}") as bar:

        def report(stage: str, seconds: float, total: float | None) -> None:
            bar.set_description(stage, refresh=False)
            bar.total = total
            bar.update(max(seconds - bar.n, 0) if seconds >= bar.n else seconds - bar.n)

        yield report
