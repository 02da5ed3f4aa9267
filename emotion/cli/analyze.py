"""`analyze`: prints the emotions of recordings or images."""

from __future__ import annotations

import argparse

from emotion.cli.model import certainty, chosen


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("analyze", help="print the emotions of recordings or images")
    command.set_defaults(handler=run)
    command.add_argument("files", nargs="+", metavar="FILE", help="video, sound or image")
    command.add_argument("--model", metavar="RUN", help="run or export (default: newest run)")
    command.add_argument("--window", type=float, metavar="S", help="seconds (default: the run's)")
    command.add_argument("--hop", type=float, metavar="S", help="seconds (default: window / 3)")
    command.add_argument("--smooth", type=float, default=0.0, metavar="S", help="seconds (0)")
    certainty(command)
    command.add_argument(
        "--output", metavar="FILE", help="also write each window and face to this .csv"
    )


def run(options: argparse.Namespace) -> None:
    """Prints a line for each person of each file."""
    from pathlib import Path

    import pandas as pd

    from emotion.annotate.analysis import analyze
    from emotion.files import write_csv
    from emotion.inference.recognizer import Recognizer

    if options.output and Path(options.output).suffix.lower() != ".csv":
        raise ValueError(f"--output must end in .csv. Received: {options.output}.")
    settings = dict(window=options.window, hop=options.hop, smooth=options.smooth, progress="bar")
    model, certain = chosen(options.model), (options.threshold, options.any_sound)
    analyses = analyze(options.files, Recognizer(model, None, *certain), **settings)
    for file, analysis in zip(options.files, analyses):
        print(f"{file}\n{analysis}")
    if options.output:
        tables = [a.to_pandas().assign(file=file) for file, a in zip(options.files, analyses)]
        write_csv(options.output, pd.concat(tables))
        print(f"written: {options.output}")
