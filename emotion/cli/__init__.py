"""The commands: each file has `add(commands)`, its arguments, and `run(options)`, what it does.

What a command needs is imported inside its `run`, so that --help stays fast.
"""

from emotion.cli import (
    check,
    compare,
    download,
    evaluate,
    explain,
    export,
    fuse,
    prepare,
    report,
    serve,
    significance,
    synthetic,
    web,
)

COMMANDS = (
    check,
    download,
    synthetic,
    prepare,
    compare,
    evaluate,
    report,
    explain,
    export,
    serve,
    web,
    fuse,
    significance,
)
