"""Score files: the scores of any system for each clip (docs/scores.md).

A clip's label and speaker are read from its id, so no media is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from emotion.data import feature_tables, splits
from emotion.data.corpora import crema_d, ravdess
from emotion.data.labels import SYNONYMS, label_set
from emotion.metrics.subgroups import ATTRIBUTES

if TYPE_CHECKING:
    from emotion.clip import Clip
    from emotion.data.splits import Split

# Corpus to the file that reads its names, and the channels it has.
CORPORA = {
    "ravdess": (ravdess, ("speech",)),
    "ravdess-song": (ravdess, ("song",)),
    "ravdess-all": (ravdess, ("speech", "song")),
    "cremad": (crema_d, ("speech",)),
}
IDS = ("id", "clip", "clip_id", "file", "filename", "name", "path")
# Columns that are no classes; label and speaker must be the corpus's. Row numbers have no name.
BESIDES = ("", "label", "predicted", "repetition", "fold", "split", *ATTRIBUTES)
_NEVER_PUBLISHED = {"cremad": 20}  # clips that were never published and are not in crema_d.BROKEN
_ROUNDING = 0.005  # of a probability in whole per cent


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a system for each clip.

    Attributes:
        path: Path of the file.
        corpus: str, a name of CORPORA.
        clips: list of Clip without media, sorted by id.
        labels: tuple of str.
        probabilities: float64 array (clips, labels); rows sum to 1.
        kind: "probabilities" or "logits", what the file held.
    """

    path: Path
    corpus: str
    clips: list
    labels: tuple
    probabilities: np.ndarray
    kind: str

    @property
    def targets(self) -> np.ndarray:
        """int64 array (clips,), the true classes as indices of `labels`."""
        return np.array([self.labels.index(clip.label) for clip in self.clips])


def published(corpus: str) -> list[Clip]:
    """Returns the list of all Clips of a corpus of CORPORA, by id, from their names alone."""
    if corpus not in CORPORA:
        raise ValueError(
            f"`corpus` must be one of {', '.join(CORPORA)}, whose clip ids tell label and speaker. "
            f"Received: {corpus!r}."
        )
    naming, channels = CORPORA[corpus]
    ids = {id for c in channels for actor in naming.ACTORS for id in naming.expected(c, actor)}
    return [naming.named(id) for id in sorted(ids)]


def read(path: Path, corpus: str | None = None) -> Scores:
    """Reads a file of scores; rows of clips that the corpus leaves out as broken are ignored.

    Args:
        path: path of a CSV, UTF-8: a row a clip, a column of ids (a name of IDS), and a column a
            class, in any order. Class names may be those of `labels.SYNONYMS`, in any case. Other
            columns must be among BESIDES.
        corpus: str, a name of CORPORA; None guesses it from the ids.

    Returns:
        Scores. Rows without a negative number that sum to 1 within 0.005 a class, as rounding may
        leave them, are probabilities, and are divided by their sums; others are logits.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: the file breaks a rule; the message names file, row (the header is row 1) and
            column. So does one that might hold either probabilities or logits.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The score file {path} does not exist.")
    columns, rows = feature_tables.sheet(path)
    if not rows:
        raise ValueError(f"{path} has no rows: give it a row a clip, below the column names.")
    ids = next((c for name in IDS for c in columns if c.lower() == name), None)
    if ids is None:
        received = ", ".join(columns)
        raise ValueError(
            f"{path} must have a column `id` with the names of the clips. Received: {received}."
        )
    for number, cells in rows:
        if len(cells) > len(columns):
            raise ValueError(
                f"{path}, row {number}: more cells than columns; give each cell a named column."
            )
    named = [(number, dict(zip_longest(columns, cells, fillvalue=""))) for number, cells in rows]
    corpus = corpus or _guess(row[ids] for _, row in named)
    known = {clip.id: clip for clip in published(corpus)}
    labels = label_set(clip.label for clip in known.values())
    classes = _classes(path, [column for column in columns if column != ids], labels)
    scored = {}
    for number, row in named:
        where = f"{path}, row {number}"
        clip = _clip(where, row, row[ids].strip(), corpus, known)
        if clip is None:
            continue
        if clip.id in scored:
            raise ValueError(
                f"{where}: the clip {clip.id} is that of row {scored[clip.id][0]} already; "
                "give each clip one row."
            )
        scored[clip.id] = number, clip, [_number(where, row, classes[label]) for label in labels]
    if not scored:
        raise ValueError(f"{path} has no clip that {corpus} uses: its rows are all left out.")
    numbers, clips, values = zip(*(scored[id] for id in sorted(scored)))
    return Scores(path, corpus, list(clips), labels, *_probabilities(path, numbers, values))


def tests(system: Scores, protocol: str | None = None) -> list[tuple[Split, Scores]]:
    """Lists the test clips of each fold of a protocol.

    Args:
        system: Scores.
        protocol: str; None takes the corpus's own. Of a published protocol the speakers that the
            file has are tested, and `absent` of each Split names the others; `speaker-kfold` and
            `random` deal those of the file.

    Returns:
        List of pairs: splits.Split, and Scores of its test clips.

    Raises:
        ValueError: the protocol does not fit the corpus, or a clip that it tests has no row.
    """
    everyone, present = published(system.corpus), {clip.speaker for clip in system.clips}
    protocol = protocol or splits.default_protocol(system.clips)
    if protocol.startswith(("speaker-kfold", "random")):
        everyone = [clip for clip in everyone if clip.speaker in present]
    numbers = splits.fold_count(everyone, protocol)
    parts = [splits.split(everyone, protocol, number) for number in numbers]
    absent = {name for split in parts for name in split.speakers["test"]} - present
    position = {clip.id: place for place, clip in enumerate(system.clips)}
    ids = [[clip.id for clip in s.test if clip.speaker in present] for s in parts]
    missing = [
        (id, split.fold)
        for split, clip_ids in zip(parts, ids)
        for id in clip_ids
        if id not in position
    ]
    if len(missing) > _NEVER_PUBLISHED.get(system.corpus, 0):
        (id, fold), more = missing[0], len(missing) - 1
        raise ValueError(
            f"{system.path} has no row for the clip {id}, which fold {fold} of {protocol} tests"
            f"{f', nor for {more} more' if more else ''}; give each clip of a speaker its row."
        )
    tested = []
    for split, clip_ids in zip(parts, ids):
        rows = [position[id] for id in clip_ids if id in position]
        if rows:
            tested.append((replace(split, absent=tuple(sorted(absent))), _part(system, rows)))
    if not tested:
        raise ValueError(
            f"{system.path} has none of the speakers that {protocol} tests: "
            f"{', '.join(sorted(absent))}."
        )
    return tested


def table(clips: Sequence[Clip], probabilities: np.ndarray, labels: Sequence[str]) -> pd.DataFrame:
    """Builds the table of predictions.csv, which `read` reads.

    Args:
        clips: list of Clip.
        probabilities: float array (clips, labels).
        labels: sequence of str.

    Returns:
        pandas.DataFrame, a row a clip: id, speaker, label, predicted, a column a class with its
        probability, and of groups.ATTRIBUTES those that some clip's info tells.
    """
    attributes = [name for name in ATTRIBUTES if any(name in clip.info for clip in clips)]
    return pd.DataFrame(
        {
            "id": [clip.id for clip in clips],
            "speaker": [clip.speaker for clip in clips],
            "label": [clip.label for clip in clips],
            "predicted": [labels[index] for index in np.argmax(probabilities, axis=1)],
            **{label: probabilities[:, index] for index, label in enumerate(labels)},
            **{name: [clip.info.get(name) or None for clip in clips] for name in attributes},
        }
    )


def _part(system, rows):
    clips = [system.clips[row] for row in rows]
    return replace(system, clips=clips, probabilities=system.probabilities[rows])


def _guess(ids):
    channels = {clip.info["channel"] for id in ids if (clip := ravdess.named(id.strip()))}
    if len(channels) == 2:
        return "ravdess-all"
    return {"speech": "ravdess", "song": "ravdess-song"}[channels.pop()] if channels else "cremad"


def _classes(path, columns, labels):
    """Returns dict of label to the column that holds it, or raises."""
    column_of = {}
    for column in columns:
        name = column.lower()
        if name in BESIDES or name in IDS:
            continue
        label = SYNONYMS.get(name, name)
        if label not in labels:
            raise ValueError(
                f"{path}, column {column!r}: no class of the corpus, which are "
                f"{', '.join(labels)}; name it as one of them, or leave it out."
            )
        if label in column_of:
            raise ValueError(
                f"{path}, column {column!r}: {column_of[label]!r} is {label} already; "
                "leave one out."
            )
        column_of[label] = column
    lacking = [label for label in labels if label not in column_of]
    if lacking:
        raise ValueError(
            f"{path} lacks a column for {', '.join(lacking)}; "
            "each class needs one, if only of zeros."
        )
    return column_of


def _clip(where, row, id, corpus, known):
    """Returns the Clip of a row, or None where the corpus leaves it out, or raises."""
    naming = CORPORA[corpus][0]
    named = naming.named(id)
    if named is None or named.id not in known.keys() | crema_d.BROKEN.keys():
        raise ValueError(
            f"{where}: {id!r} is no clip of {corpus}. {naming.NAMING}; "
            "correct it, or name another --corpus."
        )
    for column, value in row.items():
        named_value = {"label": named.label, "speaker": named.speaker}.get(column.lower())
        written = value.strip().lower() if named_value else ""
        if written and SYNONYMS.get(written, written).lstrip("0") != named_value.lstrip("0"):
            raise ValueError(
                f"{where}, column {column!r}: the name {id} says {named_value}. "
                f"Received: {value!r}; "
                "correct it, or leave the column out."
            )
    return known.get(named.id)


def _number(where, row, column):
    try:
        value = float(row[column])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(
            f"{where}, column {column!r}: must be a finite number. Received: {row[column]!r}."
        )
    return value


def _probabilities(path, numbers, values):
    """Returns probabilities, float64 (n, c), and what `values`, a row of each number, were."""
    values = np.array(values)
    sums, positive = values.sum(axis=1), (values >= 0).all(axis=1)
    most = _ROUNDING * values.shape[1] + 1e-9
    fit = positive & (abs(sums - 1) <= most)
    if fit.all():
        return values / sums[:, None], "probabilities"
    if positive.all() or fit.mean() > 0.5:
        row = int(np.argmin(fit))
        raise ValueError(
            f"{path}, row {numbers[row]}: sums to {sums[row]:.4g}, in a file that looks like "
            f"probabilities, at least 0 and of the sum 1 within {most:.2g}; correct it, or give "
            "logits, each less the mean of its row."
        )
    return special.softmax(values, axis=1), "logits"
