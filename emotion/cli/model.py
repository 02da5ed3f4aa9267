"""The run that a command uses."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion.inference.recognizer import Recognizer


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


def arguments(options: argparse.Namespace) -> tuple:
    """Returns the arguments of the Recognizer of a command; raises where there is no run."""
    return chosen(options.model), options.yunet, options.threshold, options.any_sound


def load(options: argparse.Namespace) -> Recognizer:
    """Returns the Recognizer of a command's options; raises as it does."""
    from emotion.inference.recognizer import Recognizer

    return Recognizer(*arguments(options))


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
