"""`cache`: the size of the cache of decoded clips, and the removal of old entries."""

from __future__ import annotations

import argparse
import re

_UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("cache", help="show or prune the cache of decoded clips")
    command.set_defaults(handler=run)
    command.add_argument("--cache", help="folder (default: EMOTION_CACHE, else the user cache)")
    command.add_argument(
        "--prune",
        metavar="AGE|SIZE",
        help="remove entries not used for an age such as 30d, or the oldest beyond a size as 5GB",
    )


def run(options: argparse.Namespace) -> None:
    """Prints the size of the cache, after pruning if that is asked for."""
    from emotion.signals.cache import default_folder, prune, usage

    folder = options.cache or default_folder()
    if options.prune:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(d|[KMGT]B)", options.prune)
        if match is None:
            raise ValueError(
                "--prune must be days such as 30d or a size such as 5GB. "
                f"Received: {options.prune}."
            )
        number, unit = float(match[1]), match[2]
        limit = {"days": number} if unit == "d" else {"size": number * _UNITS[unit]}
        count, size = prune(folder, **limit)
        print(f"removed {count} entries, {size / 1e6:.1f} MB")
    count, size = usage(folder)
    print(f"{folder}: {count} entries, {size / 1e6:.1f} MB")
