"""Any other corpus: a CSV with one row per clip.

Columns: `label`, `speaker`, and `audio` and/or `video` (paths relative to the CSV); optional: `id`
(default: the path without its suffix) and `split` (train, validation or test); any further column
goes into the clip's info. A row without `audio` uses the sound of its video, if there is one.
"""

from __future__ import annotations

from pathlib import Path

from emotion.clip import Clip
from emotion.data import feature_tables

SPLITS = ("train", "validation", "test")


def clips(path: Path) -> list[Clip]:
    """Lists the clips of a manifest.

    Args:
        path: path of the CSV, UTF-8, separated by commas, column names in its first row.

    Returns:
        List of Clip, sorted by id.

    Raises:
        FileNotFoundError: the CSV or a file it names does not exist.
        ValueError: the CSV breaks a rule; the message gives the row, the header being row 1,
            blank lines counted.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"The manifest {path} does not exist.")
    columns, rows = feature_tables.sheet(path)
    for column in ("label", "speaker"):
        if column not in columns:
            raise ValueError(
                f"{path} must have a column `{column}`. Received: {', '.join(columns) or 'none'}."
            )
    if not {"audio", "video"} & set(columns):
        raise ValueError(
            f"{path} must have a column `audio`, `video` or both. Received: {', '.join(columns)}."
        )
    if not rows:
        raise ValueError(f"{path} has no rows: give it one row a clip, below the column names.")
    numbered = [(number, _clip(path, number, columns, row)) for number, row in rows]
    _check_together(path, numbered)
    return sorted((clip for _, clip in numbered), key=lambda clip: clip.id)


def _clip(path, number, columns, row):
    """Builds the Clip of a row (list of str); errors name the row."""
    where = f"{path}, row {number}"
    if "" in columns or len(row) > len(columns):
        raise ValueError(f"{where}: every cell needs a named column; quote a value with a comma.")
    if len(row) < len(columns):
        raise ValueError(
            f"{where}: it must have {len(columns)} cells, as the header has, and has {len(row)}; "
            "is the file whole?"
        )
    row = {column: value.strip() for column, value in zip(columns, row)}
    for column in ("label", "speaker"):
        if not row[column]:
            raise ValueError(f"{where}: `{column}` must not be empty.")
    fields = {column: row.pop(column, "") for column in ("audio", "video", "id", "split")}
    media = {kind: path.parent / fields[kind] for kind in ("audio", "video") if fields[kind]}
    if not media:
        raise ValueError(f"{where}: `audio`, `video` or both must name a file.")
    for file in media.values():
        if not file.is_file():
            raise FileNotFoundError(f"{where}: {file} does not exist; paths start at the CSV.")
    if fields["split"] and fields["split"] not in SPLITS:
        raise ValueError(
            f"{where}: `split` must be {', '.join(SPLITS)} or empty. Received: {fields['split']!r}."
        )
    return Clip(
        id=fields["id"] or Path(fields["video"] or fields["audio"]).with_suffix("").as_posix(),
        label=row.pop("label"),
        speaker=row.pop("speaker"),
        audio=media.get("audio", media.get("video")),
        video=media.get("video"),
        info=row,
        split=fields["split"] or None,
    )


def _check_together(path, numbered):
    """Raises where rows contradict one another; `numbered` holds (row number, Clip) pairs."""
    without = [number for number, clip in numbered if clip.split is None]
    if 0 < len(without) < len(numbered):
        raise ValueError(
            f"{path}, row {without[0]}: `split` is empty but other rows have one; "
            "fill it in every row or in none."
        )
    rows, splits = {}, {}
    for number, clip in numbered:
        if clip.id in rows:
            raise ValueError(
                f"{path}, row {number}: the id {clip.id!r} is that of row {rows[clip.id]} already; "
                "give each clip its own."
            )
        rows[clip.id] = number
        split = splits.setdefault(clip.speaker, clip.split)
        if split != clip.split:
            raise ValueError(
                f"{path}, row {number}: speaker {clip.speaker!r} is in split {clip.split!r} here "
                f"and in {split!r} above; all clips of a speaker share one split."
            )
