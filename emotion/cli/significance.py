"""`significance`: whether two systems differ, or whether chance would do."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("significance", help="whether the scores of two systems differ")
    command.set_defaults(handler=run)
    command.add_argument("first", metavar="A.csv")
    command.add_argument("second", metavar="B.csv")
    command.add_argument("--corpus", help="ravdess, cremad ...; guessed where left out")


def run(options: argparse.Namespace) -> None:
    """Prints the difference of UAR and of WAR, with its interval and its p-value."""
    from emotion import backend

    backend.start()
    from emotion import metrics
    from emotion.evaluation import fusion, scores
    from emotion.metrics import intervals

    systems = [scores.read(path, options.corpus) for path in (options.first, options.second)]
    fusion.agree(systems)
    speakers = [clip.speaker for clip in systems[0].clips]
    if len(set(speakers)) < 2:
        raise ValueError(
            "significance needs clips of several speakers, for it compares by speaker."
        )
    counts = [
        metrics.confusions(s.targets, s.probabilities.argmax(axis=1), speakers, len(s.labels))[1]
        for s in systems
    ]
    differences = intervals.difference(counts[0], counts[1])
    for name, difference in differences.items():
        values = [getattr(metrics, name)(system.sum(axis=0)) for system in counts]
        low, high = difference["interval"]
        print(
            f"{name.upper()} {values[0]:.3f} and {values[1]:.3f}: difference "
            f"{difference['difference']:+.3f} [{low:+.3f}, {high:+.3f}], p = {difference['p']:.2g}"
        )
    p = differences["uar"]["p"]
    print(_verdict(p, differences["uar"]["difference"], options, len(counts[0])))


def _verdict(p, difference, options, speakers):
    if p > 0.05:
        return (
            f"No difference in UAR is shown: if the two systems were alike, {p:.0%} of the ways to "
            f"swap them speaker by speaker ({speakers} speakers) would differ as much or more."
        )
    better, worse = options.first, options.second
    if difference < 0:
        better, worse = worse, better
    return (
        f"{better} is better than {worse}: were the two alike, only {p:.2%} of the ways to swap "
        f"them speaker by speaker ({speakers} speakers) would differ in UAR as much."
    )
