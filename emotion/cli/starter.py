"""`starter`: joins a face run and a voice run into the model that works at once."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("starter", help="join a face run and a voice run into one")
    command.set_defaults(handler=run)
    command.add_argument("face", metavar="FACE", help="run of the preset face_expression")
    command.add_argument("voice", metavar="VOICE", help="run of face_voice with --modality audio")
    command.add_argument("--output", required=True, metavar="DIR", help="folder to write into")
    command.add_argument("--cache", type=Path, help="folder of decoded clips")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")


def run(options: argparse.Namespace) -> None:
    """Joins the two runs."""
    from emotion import backend

    backend.start()
    from emotion import processes
    from emotion.experiments import starter
    from emotion.run import load_run

    with processes.pool(options.workers) as pool:
        joined = starter.join(
            load_run(options.face), load_run(options.voice), options.output, options.cache, pool
        )
    fitted = ", ".join(f"{name} {value:.2f}" for name, value in joined.record.temperatures.items())
    print(f"{joined.folder} holds the model and its card; temperatures: {fitted}.")
