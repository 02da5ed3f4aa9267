"""`serve`: a run over HTTP."""

from __future__ import annotations

import argparse
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from emotion.cli.model import arguments, certainty

if TYPE_CHECKING:
    from emotion.web.uploads import Limits

# Option to the attribute of uploads.Limits and what it says.
LIMITS = {
    "--max-mb": ("megabytes", "megabytes of a file"),
    "--max-total-mb": ("total", "megabytes of all files that are here at once"),
    "--max-seconds": ("seconds", "length of a recording"),
    "--max-megapixels": ("megapixels", "size of its pictures"),
    "--timeout": ("timeout", "seconds to analyse a recording, and as many to draw on it"),
    "--transfer": ("transfer", "seconds to receive a file, and as many to send the answer"),
    "--queue-size": ("queue_size", "recordings that may wait for their turn"),
}


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("serve", help="predictions and annotated videos over HTTP")
    command.set_defaults(handler=run)
    add = command.add_argument
    add("--model", metavar="RUN", help="run folder (default: newest in saved_models/)")
    add("--yunet", metavar="PATH", help="YuNet's .onnx weights, for a run that needs them")
    certainty(command)
    add("--host", default="127.0.0.1", help="default: %(default)s, for this computer alone")
    add("--port", type=int, default=8000, help="default: %(default)s; 0 takes a free one")
    add_token(command)
    for option, (name, what) in LIMITS.items():
        kind = int if name == "queue_size" else float
        add(option, type=kind, dest=name, metavar="N", help=f"{what} (default: see docs/serve.md)")


def run(options: argparse.Namespace) -> None:
    """Serves until it is stopped."""
    import signal

    try:
        import python_multipart  # noqa: F401  what takes uploads apart
        import uvicorn

        from emotion.processes import Worker
        from emotion.web import api, uploads, work
        from emotion.web.access import AccessControl
        from emotion.web.connections import BoundedConnection
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"serve needs {error.name}, which is not installed: "
            "run `pip install -e '.[serve]'` in the project's folder."
        ) from error

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again at its end
    limits = limits_of(options)
    with (
        listen(options.host, options.port) as listening,
        Worker(partial(work.load_recognizer, *arguments(options))) as worker,
        Worker(work.load_nothing) as checker,
    ):
        app = api.create_app(
            uploads.WorkQueue(worker, checker, limits), model=worker.call(work.describe)
        )
        # Work that outlasts the grace is broken off. Connections beyond 512 are turned away.
        config = uvicorn.Config(
            AccessControl(app, options.host, token_of(options)),
            http=BoundedConnection,
            timeout_graceful_shutdown=5,
            limit_concurrency=512,
            server_header=False,
        )
        address = address_of(options, listening, "docs")
        print(f"{address} tells how to use it; Ctrl-C ends it", flush=True)
        uvicorn.Server(config).run([listening])


def add_token(command: argparse.ArgumentParser) -> None:
    """Adds the option --token."""
    command.add_argument(
        "--token",
        nargs="?",
        const="",
        metavar="TEXT",
        help="what each request must have; without TEXT, a new one (default: none on this computer "
        "alone, a new one where others reach it)",
    )


def token_of(options: argparse.Namespace) -> str | None:
    """Returns the token of a server, which is kept in the options; warns where others reach it."""
    from emotion.web.access import token_for

    options.token, warning = token_for(options.host, options.token)
    if warning:
        print(warning, file=sys.stderr)
    return options.token


def address_of(options: argparse.Namespace, listening: socket.socket, path: str = "") -> str:
    """Returns the address of a server, with its token."""
    host, port = listening.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    token = f"?token={options.token}" if options.token else ""
    return f"http://{host}:{port}/{path}{token}"


def limits_of(options: argparse.Namespace) -> Limits:
    """Returns the uploads.Limits of a command's options, of which it may lack some.

    Raises:
        ValueError: one is no limit.
    """
    from emotion.web.uploads import Limits

    values = {name: getattr(options, name, None) for name, _ in LIMITS.values()}
    for option, (name, _) in LIMITS.items():
        value, least = values[name], -1 if name == "queue_size" else 0
        if value is not None and not value > least:
            rule = "at least 0" if name == "queue_size" else "positive"
            raise ValueError(f"{option} must be {rule}. Received: {value}.")
    return Limits(**{name: value for name, value in values.items() if value is not None})


def listen(host: str, port: int) -> socket.socket:
    """Opens the port before the model is loaded, which takes seconds.

    Returns:
        socket.socket that listens.

    Raises:
        ValueError: it cannot be taken.
    """
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"--host {host} --port {port} cannot be used ({reason}); choose another."
        ) from error
