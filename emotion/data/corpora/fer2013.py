"""FER2013: 35 887 grey faces of 48 x 48 pixels, seven classes, found by web searches.

Goodfellow et al. 2013, Challenges in representation learning, arXiv:1307.0414; the data of the
challenge is at https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
(research use). It comes in three forms:

- the challenge's `fer2013.csv` (or `icml_face_data.csv`): columns emotion, pixels and Usage;
- arrays, `train.npz` and `validation.npz` or `test.npz`, each with `images` (n, 48, 48) uint8 and
  `labels` (n,), the classes of LABELS in alphabetical order;
- folders, `train/angry/*.png` and `test/angry/*.png`. They are read as the corpus `images`: some
  that are passed around join PublicTest and PrivateTest in one folder.

`fer2013-votes` is the same with the votes of FER+ as training targets (Barsoum et al. 2016,
arXiv:1608.01041): its `fer2013new.csv`, a row for each of the CSV's, lies beside the CSV. Votes for
contempt, an unknown emotion or no face do not count.

Protocol `fer2013`: Training is trained on, one image in ten of it, by digest, validates; PublicTest
(`validation.npz`) is the test. PrivateTest is left alone: `fer2013-private`
tests on it. The corpus does not know its speakers.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from emotion import media
from emotion.clip import Clip
from emotion.data.corpora import images
from emotion.files import read_arrays

LABELS = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
_CSV = ("angry", "disgust", "fearful", "happy", "sad", "surprised", "neutral")  # by number
_USAGES = {"Training": "train", "PublicTest": "test", "PrivateTest": "private"}
_FER_PLUS = "fer2013new.csv"
_VOTES = {  # the names that FER+ has for LABELS
    **{"anger": "angry", "disgust": "disgust", "fear": "fearful", "happiness": "happy"},
    **{"neutral": "neutral", "sadness": "sad", "surprise": "surprised"},
}
_ARRAYS = {"train.npz": "train", "validation.npz": "test", "test.npz": "private"}


def laid_out(root: Path) -> bool:
    """Returns whether a path is FER2013's CSV, or a folder with it or with its arrays."""
    return bool(_file(root)) or (Path(root) / "train.npz").is_file()


def clips(root: Path, test: str = "test", votes: bool = False) -> list[Clip]:
    """Lists the images.

    Args:
        root: Path of the CSV, or of a folder that holds it or the arrays.
        test: "test" for PublicTest, "private" for PrivateTest.
        votes: bool, whether the votes of FER+ become training targets (`info["votes"]`, see
            data/votes.py).

    Returns:
        List of Clip, sorted by id; without those that `left_out` names.

    Raises:
        FileNotFoundError, ValueError: there is no such data, or a row breaks the form.
    """
    usable = images.usable(*_listed(root, test))[0]
    return _voted(usable, root) if votes else usable


def left_out(root: Path, test: str = "test") -> list[str]:
    """Returns a list of str, a line for each reason why `clips` leaves images out."""
    return images.usable(*_listed(root, test))[1]


def listed(root: Path) -> list[Clip]:
    """Returns a Clip for each image; `split` is "train", "test" (PublicTest) or "private"."""
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; name FER2013's CSV or folder.")
    if path := _file(root):
        return _rows(path)
    arrays = [(root / name, split) for name, split in _ARRAYS.items() if (root / name).is_file()]
    if not arrays:
        raise ValueError(
            f"{root} holds neither FER2013's CSV nor its arrays; read folders of images with "
            "--corpus images."
        )
    return [each for path, split in arrays for each in _array(path, split)]


def _listed(root, test):
    chosen = {"train": "train", test: "test"}
    entries = listed(root)
    if test not in {each.split for each in entries}:
        raise ValueError(f"{root} holds no {test} images of FER2013; get the whole data.")
    parts = [each for each in entries if each.split in chosen]
    protocol = "fer2013" if test == "test" else f"fer2013-{test}"
    return [replace(each, split=chosen[each.split]) for each in parts], protocol


def _voted(listed, root):
    """Returns clips with the votes of FER+, row by row of FER2013's CSV."""
    path = _file(root)
    if path is None:
        raise ValueError(f"{root} must hold FER2013's CSV, to whose rows the votes of FER+ belong.")
    path = path.with_name(_FER_PLUS)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; put FER+'s table of votes there.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, restval=""))
    if len(rows) <= max(clip.index for clip in listed):
        raise ValueError(f"{path} must have a row for each of FER2013's. Received: {len(rows)}.")
    voted = []
    for clip in listed:
        counts = [rows[clip.index].get(name, "") for name in _VOTES]
        if not all(count.isdecimal() for count in counts):
            raise ValueError(
                f"{path}, row {clip.index + 2}: {', '.join(_VOTES)} must be counts. "
                f"Received: {', '.join(counts)}."
            )
        votes = {"video": dict(zip(_VOTES.values(), map(int, counts)))}
        voted.append(replace(clip, info={**clip.info, "votes": votes}))
    return voted


def _file(root):
    root = Path(root)
    candidates = [root] if root.is_file() else sorted(root.glob("*.csv"))
    for path in candidates:
        if path.suffix.lower() == ".csv":
            with open(path, encoding="utf-8-sig", errors="replace") as file:
                names = {name.strip() for name in file.readline(200).split(",")}
            if {"emotion", "pixels"} <= names:
                return path
    return None


def _rows(path):
    faces, entries = media.read_images(path), []
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        for index, row in enumerate(csv.DictReader(file, skipinitialspace=True)):
            usage, label = row.get("Usage"), row.get("emotion")
            if usage not in _USAGES or label not in map(str, range(len(_CSV))):
                raise ValueError(
                    f"{path}, row {index + 2}: `Usage` must be one of {', '.join(_USAGES)}, "
                    f"`emotion` 0 to 6. Received: {usage!r}, {label!r}."
                )
            split, content = _USAGES[usage], faces[index].tobytes()
            name = f"{split}-{index:05d}"
            entries.append(images.clip(name, _CSV[int(label)], content, path, index, split))
    return entries


def _array(path, split):
    faces = media.read_images(path)
    (numbers,) = read_arrays(path, "labels")
    if numbers.shape != (len(faces),) or not np.isin(numbers, range(len(LABELS))).all():
        raise ValueError(
            f"{path} must have `labels`, one of 0 to {len(LABELS) - 1} for each of `images`."
        )
    return [
        images.clip(f"{split}-{index:05d}", LABELS[number], face.tobytes(), path, index, split)
        for index, (face, number) in enumerate(zip(faces, numbers))
    ]
