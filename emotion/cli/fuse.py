"""`fuse`: the scores of several systems as one."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("fuse", help="fuse files of scores late")
    command.set_defaults(handler=run)
    command.add_argument("files", nargs="+", metavar="FILE", help="scores of the same clips")
    command.add_argument(
        "--output",
        default="fused.csv",
        metavar="FILE",
        help="CSV that `evaluate` reads (default: fused.csv)",
    )
    command.add_argument(
        "--validation",
        nargs="+",
        metavar="FILE",
        help="scores of other speakers, a file of each system in the same order, to fit weights",
    )
    command.add_argument("--corpus", help="ravdess, cremad ...; guessed where left out")


def run(options: argparse.Namespace) -> None:
    """Writes the fused scores."""
    if len(options.files) < 2:
        raise ValueError("fuse takes at least two files of scores.")
    from emotion import backend

    backend.start()
    from emotion.evaluation import fusion, scores
    from emotion.files import write_csv

    systems = [scores.read(path, options.corpus) for path in options.files]
    fusion.agree(systems)
    scales = None
    if options.validation:
        held_out = [scores.read(path, options.corpus) for path in options.validation]
        scales = fusion.fit(held_out, systems)
        for path, weight in zip(options.files, scales / scales.sum()):
            print(f"weight {weight:.3f} for {path}")
        print(f"temperature {1 / scales.sum():.3f}")
    clips, labels = systems[0].clips, systems[0].labels
    fused = scores.table(clips, fusion.fuse(systems, scales), labels)
    write_csv(options.output, fused)
    print(f"{options.output} holds {len(systems)} systems as one, on {len(clips)} clips.")
