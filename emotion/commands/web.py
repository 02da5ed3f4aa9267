"""`web`: the recogniser as a page in a browser."""

import importlib.util
import subprocess
import sys


def add(commands):
    """Adds the command's arguments."""
    command = commands.add_parser("web", help="a page for recordings, camera and microphone")
    command.set_defaults(run=run)
    command.add_argument("--model", metavar="RUN", help="run folder (default: the newest)")
    command.add_argument("--port", type=int, default=8501, help="default: %(default)s")
    command.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for all (%(default)s)")
    command.add_argument("--max-mb", type=int, default=200, help="of a file (%(default)s)")
    command.add_argument(
        "--max-seconds", type=float, default=300, help="of a recording (%(default)s)"
    )
    command.add_argument("--patience", type=float, default=600, help="seconds of work on one")
    command.add_argument("--cameras", type=int, default=2, help="live at once (%(default)s)")
    command.add_argument("--stun", action="append", default=[], metavar="stun:HOST:PORT")
    command.add_argument("--yunet", metavar="PATH", help="YuNet's weights, for a run that needs it")


def run(options):
    """Serves the page until it is stopped."""
    from pathlib import Path

    from emotion.run import load_run, newest

    for name in ("streamlit", "streamlit_webrtc"):
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f"web needs {name}: run `pip install -e .[web]` in the project's folder."
            )
    model = options.model or newest(Path("saved_models"))
    load_run(model)
    page = Path(__file__).parents[1] / "web.py"
    settings = {
        "server.port": options.port,
        "server.address": options.host,
        "server.maxUploadSize": options.max_mb,
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    own = {
        n: getattr(options, n) for n in ("max_mb", "max_seconds", "patience", "cameras", "yunet")
    }
    command = [sys.executable, "-m", "streamlit", "run", str(page)]
    command += [f"--{name}={value}" for name, value in settings.items()]
    command += ["--", f"--model={model}"]
    command += [f"--{name}={value}" for name, value in own.items() if value is not None]
    command += [f"--stun={url}" for url in options.stun]
    subprocess.run(command, check=True)
