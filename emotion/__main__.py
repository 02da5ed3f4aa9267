"""The command line: `python -m emotion COMMAND`. Each command imports what it needs itself."""

import argparse
import sys

from emotion.cli import COMMANDS


def main(arguments=None):
    """Runs a command.

    Args:
        arguments: list of str, or None for the process's own.

    Returns:
        int, the exit code: 0 done; 1 `check` found problems; 2 a mistake in the input, told in one
        line on stderr; 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    from emotion.clip import MediaError

    try:
        return options.run(options) or 0
    except (ValueError, OSError, ModuleNotFoundError, MediaError) as error:
        print(f"emotion {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"emotion {options.command}: interrupted.", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(prog="python -m emotion", description="Emotion recognition.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
