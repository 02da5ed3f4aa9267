"""The run that a command uses."""

from __future__ import annotations

import argparse
from pathlib import Path


def chosen(model: Path | None) -> Path:
    """Returns the Path of a run: `model`, or without one the newest, which is then printed."""
    if model:
        return Path(model)
    from emotion.run import newest
    from emotion.shipped import starter

    folder = newest()
    if folder == starter():
        print(f"model: the starter, since no run was trained ({folder / 'model_card.md'})")
    else:
        print(f"model: {folder} (the newest in {folder.parent.name}/)")
    return folder


def certainty(parser: argparse._ActionsContainer) -> None:
    """Adds the options that decide when a prediction is uncertain, and when sound is used."""
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="below this probability a prediction is uncertain; 0 for none (default: the run's)",
    )
    parser.add_argument(
        "--any-sound", action="store_true", help="use sound in which nobody speaks, too"
    )
