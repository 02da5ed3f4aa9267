"""`synthetic`: draws and speaks a small artificial corpus."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("synthetic", help="draw and speak a small artificial corpus")
    command.set_defaults(handler=run)
    command.add_argument("folder")
    command.add_argument("--clip", help="also write a longer video of a speaker of its own")
    for name in ("speakers", "takes", "seed"):
        command.add_argument(f"--{name}", type=int)


def run(options: argparse.Namespace) -> None:
    """Writes the corpus."""
    from emotion.synthetic import generate

    settings = {"speakers": options.speakers, "takes": options.takes, "seed": options.seed}
    generate.write(options.folder, **{k: v for k, v in settings.items() if v is not None})
    if options.clip:
        generate.write_demo_clip(options.clip)
    print(f"The synthetic corpus is in {options.folder}. It says nothing about people.")
