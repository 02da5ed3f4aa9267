"""`web`: the recogniser as a page in a browser."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

from emotion.cli import serve
from emotion.cli.model import certainty, load


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("web", help="a page for recordings, camera and microphone")
    command.set_defaults(handler=run)
    add = command.add_argument
    add("--model", metavar="RUN", help="run or export (default: newest in saved_models/)")
    add("--port", type=int, default=8501, help="default: %(default)s")
    add("--host", default="127.0.0.1", help="default: %(default)s, for this computer alone")
    serve.add_token(command)
    for option in ("--max-mb", "--max-total-mb", "--max-seconds", "--timeout"):
        name, what = serve.LIMITS[option]
        kind = int if option == "--max-mb" else float
        add(option, type=kind, dest=name, metavar="N", help=f"{what} (default: see docs/web.md)")
    add("--cameras", type=int, default=2, metavar="N", help="live at once (%(default)s)")
    add("--yunet", metavar="PATH", help="YuNet's .onnx weights, for a run that needs them")
    certainty(command)


def run(options: argparse.Namespace) -> int:
    """Serves the page until it is stopped."""
    if importlib.util.find_spec("streamlit") is None:
        raise ModuleNotFoundError(
            "web needs streamlit: run `pip install -e '.[web]'` in the project's folder."
        )
    limits = serve.limits_of(options)
    if options.cameras < 0:
        raise ValueError(f"--cameras must be at least 0. Received: {options.cameras}.")
    with serve.listen(options.host, options.port) as listening:
        recognizer = load(options)  # a mistake is told here, not to each visitor
        options.port = listening.getsockname()[1]
        token = serve.token_of(options)
        print(f"{serve.address_of(options, listening)} is the page; Ctrl-C ends it", flush=True)
    model = options.model or recognizer.run.folder
    settings = {
        "server.port": options.port,
        "server.address": options.host,
        "server.maxUploadSize": int(limits.megabytes),
        "server.maxMessageSize": 2 * int(limits.megabytes) + 1,  # what is recorded comes as text
        "server.disconnectedSessionTTL": 20,
        "server.headless": True,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "logger.hideWelcomeMessage": True,  # for which Streamlit asks an outside server
    }
    arguments = {"model": model, "cameras": options.cameras, "yunet": options.yunet}
    arguments |= {"threshold": options.threshold, "host": options.host, "token": token}
    names = ("megabytes", "total", "seconds", "timeout")
    arguments |= {name: getattr(limits, name) for name in names}
    sys.argv = [
        str(Path(__file__).parents[1] / "web" / "page.py"),
        *(f"--{k}={value}" for k, value in arguments.items() if value is not None),
        *(["--any-sound"] if options.any_sound else []),
    ]
    from emotion.web import page  # which reads those arguments

    page.app.run(config=settings)
    return 0
