"""The commands: each file has `add(commands)`, its arguments, and `run(options)`, what it does.

What a command needs is imported inside its `run`, so that --help stays fast.
"""

from emotion.commands import evaluate, explain, fuse, significance

COMMANDS = (evaluate, explain, fuse, significance)
