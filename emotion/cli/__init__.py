"""The commands: each file has `add(commands)`, its arguments, and `run(options)`, what it does.

What a command needs is imported inside its `run`, so that --help stays fast.
"""

from emotion.cli import (
    analyze,
    annotate,
    cache,
    check,
    compare,
    download,
    evaluate,
    explain,
    export,
    fuse,
    live,
    prepare,
    report,
    score,
    serve,
    significance,
    starter,
    synthetic,
    train,
    web,
)

COMMANDS = (
    analyze,
    annotate,
    train,
    live,
    evaluate,
    score,
    compare,
    report,
    explain,
    export,
    serve,
    web,
    fuse,
    significance,
    check,
    download,
    synthetic,
    prepare,
    cache,
    starter,
)
