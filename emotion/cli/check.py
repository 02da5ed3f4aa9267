"""`check`: what a data folder holds, lacks, or has broken."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("check", help="what a data folder holds, lacks, or has broken")
    command.set_defaults(handler=run)
    command.add_argument("--data", default="dataset", help="folder or manifest (dataset/)")
    command.add_argument("--corpus", help="guessed where left out, see dataset/README.md")


def run(options: argparse.Namespace) -> int:
    """Prints the table; returns 1 where something is wrong."""
    from emotion.data.check import check

    text, problems = check(options.data, options.corpus)
    print(text)
    return 1 if problems else 0
