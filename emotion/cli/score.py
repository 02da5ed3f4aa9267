"""`score`: what the scores of any system are worth on the test speakers of a protocol."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("score", help="score a file of any system's predictions")
    command.set_defaults(handler=run)
    command.add_argument("file", metavar="FILE", help="CSV: a row per clip, a column per class")
    command.add_argument("--corpus", help="ravdess, cremad ...; guessed from the ids")
    command.add_argument("--protocol", help="default: the corpus's own (docs/protocols.md)")
    command.add_argument("--output", metavar="DIR", help="also write metrics.json and plots there")


def run(options: argparse.Namespace) -> None:
    """Prints the scores of all folds together."""
    from pathlib import Path

    from emotion import backend

    backend.start()
    from emotion.cli import printing
    from emotion.evaluation import evaluate, plots, scores

    system = scores.read(options.file, options.corpus)
    scored = evaluate.score(system, options.protocol)
    print(printing.report(f"{options.file} holds {system.kind}", scored))
    if options.output:
        plots.draw(scored, Path(options.output))
        scored.save(options.output)
        print(f"{options.output} holds this as metrics.json, predictions.csv and plots.")
