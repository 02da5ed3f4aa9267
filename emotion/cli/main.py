"""The command line: `emotion COMMAND`. Each command imports what it needs itself."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from functools import partial
from threading import current_thread, main_thread

# Options that were renamed, by command: what is typed, and what it is now.
RENAMED = {
    "compare": {"--out": "--output"},
    "serve": {"--patience": "--timeout", "--line": "--queue-size"},
    "web": {"--patience": "--timeout", "--line": "--queue-size"},
    "live": {"--no-window": "--no-display"},
    "run_inference.py": {"--no-window": "--no-display"},
    "evaluate": {"--predictions": "`emotion score FILE`", "--noise": "part of every evaluation"},
}


def main(arguments: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: list of str, or None for the process's own.

    Returns:
        int, the exit code: 0 done; 1 `check` found problems, or some recordings failed; 2 a mistake
        in the input, reported in one line on stderr; 130 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else list(map(str, arguments))
    command = next((text for text in arguments if not text.startswith("-")), "")
    if refused := renamed(f"emotion {command}", command, arguments):
        return refused
    options = _parser().parse_args(arguments)
    options.typed = arguments[arguments.index(options.command) + 1 :]
    return guarded(f"emotion {options.command}", options)


def renamed(program: str, command: str, arguments: list[str]) -> int:
    """Returns 2, after a line on stderr, where an argument is an old spelling; else 0."""
    for text in arguments:
        old = text.partition("=")[0]
        if new := RENAMED.get(command, {}).get(old):
            print(f"{program}: {old} is now {new}.", file=sys.stderr)
            return 2
    first = arguments[1] if len(arguments) > 1 else "-"
    if command in ("check", "prepare") and not first.startswith("-"):
        print(f"{program}: name the folder with --data {first}.", file=sys.stderr)
        return 2
    return 0


def guarded(program: str, options: argparse.Namespace) -> int:
    """Runs `options.handler`; a user's mistake is one line on stderr and the exit code 2."""
    from emotion.clip import MediaError

    if options.quiet:
        os.environ["TQDM_DISABLE"] = "1"  # tqdm reads it when it is imported, in workers too
    settable = main_thread() is current_thread()  # elsewhere Python refuses signal handlers
    before = settable and signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(_level(options))
    logger = logging.getLogger("emotion")
    logger.setLevel(_level(options))
    logger.addHandler(handler)
    try:
        return options.handler(options) or 0
    except (ValueError, OSError, ModuleNotFoundError, MediaError) as error:
        text = " ".join(str(error).split())
        if code := getattr(error, "exitcode", None):  # pebble.ProcessExpired
            text = (
                f"a worker process died (exit code {code}), for lack of memory or on a damaged "
                "file; try --workers 1, or 0 to see where."
            )
        print(f"{program}: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program}: interrupted.", file=sys.stderr)
        return 130
    finally:
        logger.removeHandler(handler)
        if settable:
            signal.signal(signal.SIGTERM, before)


def verbosity(parser: argparse.ArgumentParser) -> None:
    """Adds --quiet and --verbose."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quiet", action="store_true", help="print results and errors only")
    which.add_argument("--verbose", action="store_true", help="print details too")


def _level(options):
    return logging.ERROR if options.quiet else logging.DEBUG if options.verbose else logging.INFO


def _parser():
    from emotion.cli import COMMANDS  # each of which may import this file

    parser = argparse.ArgumentParser(
        prog="emotion", description="Audio-visual emotion recognition."
    )
    # Without abbreviations: they would accept old spellings of some commands.
    kind = partial(argparse.ArgumentParser, allow_abbrev=False)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=kind
    )
    for module in COMMANDS:
        module.add(commands)
    for command in commands.choices.values():
        verbosity(command)
    return parser
