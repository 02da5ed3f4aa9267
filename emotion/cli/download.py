"""`download`: fetches RAVDESS, or the YuNet face detector."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("download", help="fetch RAVDESS, or the YuNet face detector")
    command.set_defaults(handler=run)
    command.add_argument("what", choices=("ravdess", "yunet"))
    command.add_argument("--actors", default="1-24", help="such as 1-24 (default) or 1,5,7-9")
    command.add_argument("--audio-only", action="store_true", help="leave out the videos")
    command.add_argument("--channel", choices=("speech", "song", "all"), default="speech")
    command.add_argument("--output", default="dataset", help="folder (default: dataset)")


def run(options: argparse.Namespace) -> None:
    """Fetches what was asked for."""
    if options.what == "yunet":
        from emotion.faces.detect import fetch_yunet

        print(f"YuNet's weights are at {fetch_yunet()}.")
        return
    from emotion.data import download

    actors = _actors(options.actors)
    added = download.ravdess(actors, options.audio_only, options.output, options.channel)
    print(f"{len(added)} actor folders added to {options.output}. See dataset/README.md, licence.")


def _actors(text):
    """Reads "1-4,7" as ("01", "02", "03", "04", "07").

    >>> _actors("1-3,24")
    ('01', '02', '03', '24')
    """
    numbers = set()
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(f"--actors must be like 1-24 or 1,5,7-9. Received: {text!r}.")
        numbers |= set(range(int(ends[0]), int(ends[-1]) + 1))
    if not numbers or not numbers <= set(range(1, 25)):
        raise ValueError(f"--actors must lie in 1 to 24. Received: {text!r}.")
    return tuple(f"{number:02d}" for number in sorted(numbers))
