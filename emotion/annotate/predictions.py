"""Writes the predictions of a timeline as CSV, JSON or subtitles (WebVTT).

docs/annotate.md describes what is in them.
"""

from __future__ import annotations

import csv
import errno
import html
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion import __version__
from emotion.clip import MediaError
from emotion.files import atomic_write, without_formula

if TYPE_CHECKING:
    from emotion.inference.timeline import Timeline

CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS = ("start", "end", "track", *CORNERS, "has_audio", "has_face", "label", "confidence")


def check_place(path: str | Path) -> None:
    """Raises MediaError unless a file can be written at `path`; what is there stays as it is."""
    try:
        if Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        with tempfile.TemporaryFile(dir=Path(path).parent):
            pass
    except OSError as error:
        raise _refusal(path, error) from error


def check_predictions(path: Path, output: Path) -> None:
    """Raises ValueError unless `output` ends in .csv, .json or .vtt and is not `path`.

    Raises MediaError where it cannot be written.
    """
    if Path(output).suffix.lower() not in (".csv", ".json", ".vtt"):
        raise ValueError(f"Predictions must end in .csv, .json or .vtt. Received: {output}.")
    if Path(output).resolve() == Path(path).resolve():
        raise ValueError(f"Predictions must not replace the input. Received: {output}.")
    check_place(output)


def write_predictions(timeline: Timeline, path: str | Path) -> None:
    """Writes one row a window and face; the file has its name only once it is whole.

    Args:
        timeline: Timeline.
        path: str or Path ending in .csv, .json or .vtt.

    Raises:
        ValueError: another suffix.
        MediaError: the file cannot be written.
    """
    path = Path(path)
    check_predictions(timeline.info.path, path)
    form = {".csv": _table, ".json": _json, ".vtt": _subtitles}[path.suffix.lower()]
    with whole(path) as part:
        part.write_text(form(timeline), encoding="utf-8", newline="")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields the Path to write a file at, which has the name `path` once the block has ended.

    Raises:
        MediaError: it cannot be written.
    """
    try:
        with atomic_write(path) as part:
            yield part
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path, error):
    return MediaError(f"{path} cannot be written ({error.strerror}); choose another place.")


def rows(timeline: Timeline) -> Iterator[dict]:
    """Yields a dict for each prediction of a timeline: COLUMNS, and each class's probability."""
    tracks = {track.id: track for track in timeline.tracks}
    for prediction in timeline.predictions:
        row = {
            "start": round(prediction.start, 3),
            "end": round(prediction.end, 3),
            "track": prediction.track,
        }
        row |= dict.fromkeys(CORNERS)
        if prediction.track is not None:
            track, middle = tracks[prediction.track], (prediction.start + prediction.end) / 2
            nearest = np.argmin(np.abs(timeline.times[track.indices] - middle))
            row |= zip(CORNERS, track.boxes[nearest].round(1).tolist(), strict=True)
        row |= {
            "has_audio": prediction.has_audio,
            "has_face": prediction.has_face,
            "label": prediction.label,
        }
        row |= {"confidence": round(prediction.confidence, 4)}
        shares = (round(float(value), 4) for value in prediction.probabilities)
        yield row | dict(zip(prediction.labels, shares, strict=True))


def _table(timeline):
    table = io.StringIO(newline="")
    writer, names = csv.writer(table), (*COLUMNS, *timeline.labels)
    writer.writerow(map(without_formula, names))
    for row in rows(timeline):
        writer.writerow(without_formula(row[name]) for name in names)
    return table.getvalue()


def record(timeline: Timeline) -> dict:
    """Returns the content of a .json file: version, duration (s), and `rows` as windows."""
    windows = list(rows(timeline))
    return {"version": __version__, "duration": timeline.duration, "windows": windows}


def _json(timeline):
    return json.dumps(record(timeline), indent=1) + "\n"


def _subtitles(timeline):
    """A cue a row, shown while its window's middle is the nearest; the row itself in a comment.

    Its times are the annotated video's, whose 0 is the file's first timestamp, be it the sound's.
    """
    ahead = max(0.0, timeline.info.origin - timeline.info.start)
    spans, parts = _spans(timeline.predictions), ["WEBVTT"]
    for prediction, row in zip(timeline.predictions, rows(timeline), strict=True):
        comment = json.dumps(row).replace(">", "\\u003e")  # an arrow ends a comment
        start, end = (_clock(time + ahead) for time in spans[prediction.start, prediction.end])
        text = f"{prediction.label} {100 * prediction.confidence:.0f} %"
        if not (prediction.has_audio and prediction.has_face):
            text += " (sound alone)" if prediction.has_audio else " (picture alone)"
        text = text if prediction.track is None else f"{prediction.track}: {text}"
        text = html.escape(" ".join(text.split()), quote=False)
        parts.append(f"NOTE {comment}\n\n{start} --> {end}\n{text}")
    return "\n\n".join(parts) + "\n"


def _spans(predictions):
    """Returns a dict of (start, end) of each window to the part of it that it alone speaks for.

    The border of two windows is half way between their middles; neither leaves its window.
    """
    windows = sorted({(prediction.start, prediction.end) for prediction in predictions})
    spans = {window: list(window) for window in windows}
    for first, second in pairwise(windows):
        border = (sum(first) + sum(second)) / 4
        spans[first][1], spans[second][0] = min(first[1], border), max(second[0], border)
    return spans


def _clock(seconds):
    """Returns a time as WebVTT writes it.

    >>> _clock(3723.0456)
    '01:02:03.046'
    """
    thousandths = round(1000 * seconds)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
