"""Tables of features computed by other programs, joined to clips by id.

Four kinds of file:

- a pickle, dict of clip id to 294 numbers: 35 action units, then the mean-MFCC series (259);
- a CSV with a row a clip: `clip` and the 35 columns of `ACTION_UNITS`, means over the clip;
- a CSV as OpenFace's FeatureExtraction writes it, a row a frame, named after its clip; also a
  folder of them;
- an .npz of log-mel spectrograms (log_mel_table.py).

A pickle is a program. The one that reads them here can build numbers, strings, containers and
arrays and nothing else; whatever else a file asks for is refused by name before it is looked up.
"""

from __future__ import annotations

import csv
import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion.data.log_mel_table import LogMelTable

if TYPE_CHECKING:
    from emotion.clip import Arrays, Clip

_BOTH = "01 02 04 05 06 07 09 10 12 14 15 17 20 23 25 26"
# OpenFace's columns, in its order: 17 intensities from 0 to 5, then 18 presences, 0 or 1.
ACTION_UNITS = (
    *(f"AU{unit}_r" for unit in f"{_BOTH} 45".split()),
    *(f"AU{unit}_c" for unit in f"{_BOTH} 28 45".split()),
)
SERIES = 259
NAMES = ("action_units", "mean_mfcc_series", "log_mel")
PICKLES = {".pickle", ".pkl"}

_TAKE = re.compile(r"0[123]-(\d\d(?:-\d\d){5})")
_NUMBERS = re.compile(r"[<>=]?[bfiuU]\d+")


def clip_id(stem: str) -> str:
    """Returns the id of the clip a table calls `stem`: a RAVDESS name loses its modality.

    >>> clip_id("01-01-05-02-01-02-12"), clip_id("anna_3")
    ('01-05-02-01-02-12', 'anna_3')
    """
    match = _TAKE.fullmatch(stem)
    return match[1] if match else stem


def read(path: str | Path) -> Mapping[str, Arrays]:
    """Reads a table.

    Args:
        path: str or Path of a file of one of the kinds above.

    Returns:
        Mapping of clip id to dict of feature name to float32 array: `action_units` (t, 35), t being
        1 where the file has means, and `mean_mfcc_series` (259,) where the file has it; or
        `log_mel` (112, t). Of an
        OpenFace CSV only the frames with `success` 1 are kept: the others have no face to measure.
        Of the files of one RAVDESS take, the first by name counts.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, breaks a rule, or asks to run something.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The table of features {path} does not exist.")
    if path.suffix.lower() == ".npz":
        return LogMelTable(path)
    if path.suffix.lower() not in (*PICKLES, ".csv"):
        raise ValueError(f"{path}: a table of features must be a .pkl, .csv or .npz file.")
    values = _pickled(path) if path.suffix.lower() in PICKLES else _listed(path)
    if not values:
        raise ValueError(f"{path} has no clips: a table of features has one entry a clip.")
    ordered = {}
    for stem in sorted(values):
        ordered.setdefault(clip_id(stem), values[stem])
    return ordered


def values(path: str | Path, id: str) -> Arrays:
    """Returns what a table has of one clip, dict of feature name to array; see `read`.

    A process reads a table once, and again when its size or its time of change is another.

    Raises:
        FileNotFoundError, ValueError: as `read`, or the table lacks the clip.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The table of features {path} does not exist.")
    status = path.stat()
    table = _read_once(path, status.st_size, status.st_mtime_ns)
    if clip_id(id) not in table:
        raise ValueError(f"{path} has no clip {id!r}; add it to the table, or leave the clip out.")
    return table[clip_id(id)]


@lru_cache(maxsize=64)  # as many files of a folder as a batch may use; one suffices for the others
def _read_once(path, size, changed):
    return read(path)


def index(path: Path) -> dict[str, Path]:
    """Returns dict of clip id to Path of the file that has its values; `path` may be a folder.

    Raises:
        FileNotFoundError, ValueError: as `read`, or the folder has no CSV.
    """
    path = Path(path)
    if not path.is_dir():
        return dict.fromkeys(read(path), path)
    files = sorted(path.glob("*.csv"))
    if not files:
        raise ValueError(f"{path} has no CSV of OpenFace: it must hold one a clip, named after it.")
    return {clip_id(file.stem): file for file in reversed(files)}


def join(clips: list[Clip], path: Path) -> list[Clip]:
    """Returns the clips, `given` naming the file of `path` that has their values, or None.

    Raises:
        FileNotFoundError, ValueError: as `read`, or no clip is in the table.
    """
    paths = index(path)
    joined = [replace(clip, table=paths.get(clip_id(clip.id))) for clip in clips]
    if not any(clip.table for clip in joined):
        raise ValueError(
            f"{path} has values of none of the clips: it names them like {min(paths)!r}, the "
            f"corpus like {clips[0].id!r}; name them alike."
        )
    return joined


def is_table(path: Path) -> bool:
    """Returns whether `path` is a pickle, or a CSV with action units and no labels."""
    path = Path(path)
    if path.suffix.lower() in PICKLES:
        return True
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    columns = sheet(path)[0]
    return "label" not in columns and any(column in ACTION_UNITS for column in columns)


def _listed(path):
    columns, rows = sheet(path)
    of_frames = "frame" in columns or "success" in columns
    needed = ("success" if of_frames else "clip", *ACTION_UNITS)
    missing = [column for column in needed if column not in columns]
    if missing:
        raise ValueError(
            f"{path} lacks {len(missing)} of the columns of a table of features: "
            f"{', '.join(missing[:4])}{', ...' if len(missing) > 4 else ''}; write them "
            "(OpenFace: FeatureExtraction -aus)."
        )
    first = columns.index(needed[0])
    position = {column: columns.index(column) for column in ACTION_UNITS}
    values, frames, faces = {}, [], set()
    for number, row in rows:
        if len(row) != len(columns):
            raise ValueError(
                f"{path}, row {number}: it must have {len(columns)} cells, as the header has, and "
                f"has {len(row)}; is the file whole?"
            )
        if of_frames and row[first].strip() not in ("1", "1.0"):
            continue
        cells = (_number(path, number, column, row[place]) for column, place in position.items())
        units = np.fromiter(cells, np.float32, len(position))
        if of_frames:
            frames.append(units)
            faces.add(row[columns.index("face_id")].strip() if "face_id" in columns else "")
        elif row[first].strip() in values:
            raise ValueError(f"{path}, row {number}: {row[first]!r} is there twice; keep one row.")
        else:
            values[row[first].strip()] = {"action_units": units[None]}
    if len(faces) > 1:
        raise ValueError(
            f"{path} has {len(faces)} faces; keep the rows of one, by the column `face_id`."
        )
    if of_frames and rows and not frames:
        raise ValueError(f"{path} has no frame with `success` 1, that is no face; leave it out.")
    return {path.stem: {"action_units": np.stack(frames)}} if frames else values


def sheet(path: str | Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Returns the columns of a CSV and its (number, row) pairs, the header being row 1."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        if "\0" in text:
            raise csv.Error("it holds NUL bytes")
        reader = csv.reader(io.StringIO(text, newline=""))
        columns = [column.strip() for column in next(reader, [])]
        return columns, [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 ({error}); write it anew.") from None


def _number(path, number, column, text):
    try:
        value = np.float32(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{path}, row {number}: `{column}` must be a number. Received: {text!r}.")
    return value


def _pickled(path):
    with open(path, "rb") as file:
        try:
            content = _Unpickler(file, encoding="latin1").load()
        except _Refused as refused:
            raise ValueError(
                f"{path} asks for `{refused}`, which a table of features has no use for; nothing "
                "of it was run. Do not trust the file: make it anew, a dict of id to NumPy array."
            ) from None
        except _DAMAGE as error:
            raise ValueError(f"{path} is not a whole pickle ({error}); fetch it again.") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{path} must hold a dict of clip id (str) to array; make it anew.")
    length = len(ACTION_UNITS) + SERIES
    values = {}
    for stem, value in content.items():
        row = value.values if isinstance(value, _Array) else value
        try:
            row = np.asarray(row, np.float32)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{path}: {stem!r} must hold an array of numbers.") from None
        if row.shape != (length,) or not np.isfinite(row).all():
            kind = f"shape {row.shape}" if row.shape != (length,) else "NaN or infinity"
            raise ValueError(
                f"{path}: {stem!r} must hold {length} finite numbers, 35 action units and the "
                f"mean-MFCC series. Received: {kind}."
            )
        units, series = row[: len(ACTION_UNITS)], row[len(ACTION_UNITS) :]
        values[stem] = dict(zip(NAMES, (units[None], series)))
    return values


class _Refused(pickle.UnpicklingError):
    pass


# What the unpickler raises on bytes that are no pickle, or half of one; its manual says that the
# list has no end.
_DAMAGE = (
    pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError,
    MemoryError, OverflowError, TypeError, ValueError,
)  # fmt: skip


class _Unpickler(pickle.Unpickler):
    """Builds numbers, strings, containers and arrays.

    NumPy's own constructors are not called either: stand-ins take what a pickle would give them,
    so a file can reach no state of NumPy's that its Python interface would not let it.
    """

    def find_class(self, module, name):
        place = module.replace("numpy._core", "numpy.core")  # NumPy 2 writes it so, NumPy 1 not
        try:
            return _STAND_INS[place, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


class _Dtype:
    def __init__(self, code, *ignored):
        self.code = code

    def __setstate__(self, state):
        self.code = state[1].replace("|", "") + self.code


class _Array:
    def __init__(self, *ignored):
        self.values = None

    def __setstate__(self, state):
        _, shape, dtype, by_column, raw = state
        self.values = _array(raw, dtype, shape, "F" if by_column else "C").values


def _array(raw, dtype, shape, order):
    if not _NUMBERS.fullmatch(dtype.code):
        raise ValueError(f"an array of type {dtype.code!r}")
    made = _Array()
    raw = raw.encode("latin1") if isinstance(raw, str) else raw  # Python 2 wrote bytes as str
    made.values = np.frombuffer(raw, np.dtype(dtype.code)).reshape(shape, order=order)
    return made


_STAND_INS = {
    ("numpy", "ndarray"): None,  # only ever the argument of _reconstruct
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): lambda d, raw: _array(raw, d, 1, "C").values[0].item(),
    ("numpy.core.numeric", "_frombuffer"): _array,
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),  # bytes, in protocols below 3
}
