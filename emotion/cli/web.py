"""`web`: the recogniser as a page in a browser."""

from __future__ import annotations

import argparse
import importlib.util
import sys

from emotion.cli.model import certainty
from emotion.cli.serve import LIMITS, limits_of, listen, load


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("web", help="a page for recordings, camera and microphone")
    command.set_defaults(handler=run)
    add = command.add_argument
    add("--model", metavar="RUN", help="run or export (default: newest in saved_models/)")
    add("--port", type=int, default=8501, help="default: %(default)s")
    add("--host", default="127.0.0.1", help="default: %(default)s, for this computer alone")
    for option, kind in (("--max-mb", int), ("--max-seconds", float), ("--timeout", float)):
        name, what = LIMITS[option]
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
    limits = limits_of(options)
    if options.cameras < 0:
        raise ValueError(f"--cameras must be at least 0. Received: {options.cameras}.")
    with listen(options.host, options.port):
        recognizer = load(options)  # a mistake is told here, not to each visitor
    settings = {
        "server.port": options.port,
        "server.address": options.host,
        "server.maxUploadSize": int(limits.megabytes),
        "server.headless": True,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
    }
    model = options.model or recognizer.run.folder
    arguments = {"model": model, "cameras": options.cameras, "yunet": options.yunet}
    arguments |= {"threshold": options.threshold}
    arguments |= {name: getattr(limits, name) for name in ("megabytes", "seconds", "timeout")}
    from emotion.web import page

    sys.argv = [
        page.__file__,
        *(f"--{k}={value}" for k, value in arguments.items() if value is not None),
        *(["--any-sound"] if options.any_sound else []),
    ]
    sys.stdout.flush()
    page.app.run(config=settings)
    return 0
