"""Clips that a feature table lists under RAVDESS names; no media is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emotion.data import feature_tables
from emotion.data.corpora import ravdess

if TYPE_CHECKING:
    from emotion.clip import Clip


def clips(path: Path) -> list[Clip]:
    """Lists the clips of a table, with label and speaker as their names tell.

    Args:
        path: path of a table, see emotion/data/feature_tables.py.

    Returns:
        List of Clip without sound and picture, `given` being the table.

    Raises:
        FileNotFoundError: `path` does not exist.
        ValueError: the table breaks a rule, or a name in it is not one RAVDESS can have.
    """
    listed = []
    for id, place in feature_tables.index(path).items():
        name = ravdess.parse(f"01-{id}.mp4")
        if name is None:
            raise ValueError(
                f"{path}: the label of {id!r} is unknown, since it is not named like RAVDESS's "
                "01-01-05-02-01-02-12; leave it out, or list the clips in a manifest and join this "
                "table with --features."
            )
        listed.append(ravdess.clip(name, table=place))
    return listed
