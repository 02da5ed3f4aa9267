"""`live`: predicts what a camera and a microphone take."""

from __future__ import annotations

import argparse
from pathlib import Path

from emotion.cli.model import certainty, load


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("live", help="predict from a camera and a microphone")
    command.set_defaults(handler=run)
    command.add_argument("--model", type=Path, metavar="RUN", help="default: newest run")
    arguments(command)
    command.add_argument("--window", type=float, metavar="S", help="seconds (default: the run's)")
    command.add_argument("--hop", type=float, metavar="S", help="seconds (default: window / 3)")
    command.add_argument("--yunet", type=Path, metavar="PATH", help="YuNet's .onnx weights")
    certainty(command)


def arguments(parser: argparse._ActionsContainer) -> None:
    """Adds what `emotion live` and `run_inference.py --live` have in common."""
    add = parser.add_argument
    add("--camera", default="0", metavar="N", help="number, device, video file, or none")
    add("--microphone", metavar="NAME", help="default, name, number, sound file, or none")
    add("--record", type=Path, metavar="FILE", help="the .mp4 to record to; or press r")
    add("--no-display", action="store_true", help="print the predictions, a line each")


def run(options: argparse.Namespace) -> int:
    """Predicts until the camera ends or the display is closed."""
    import functools

    import cv2  # noqa: F401  first: a window of it hangs where PyAV has loaded its libxcb before

    from emotion.annotate import render
    from emotion.live import sources
    from emotion.live.player import Display, Player
    from emotion.live.session import Session

    of_files = ("output", "predictions", "timeline", "features", "smooth", "audio_path")
    if any(getattr(options, name, None) for name in of_files):
        raise ValueError(
            "live takes no --audio_path, --output, --predictions, --timeline, --features or "
            "--smooth; use --microphone and --record."
        )
    if options.record and options.camera == "none":
        raise ValueError("--record needs a camera. Received: --camera none.")
    if options.record:
        render.check_output(options.camera, options.record)
    recognizer = load(options)
    rate = recognizer.sample_rate
    camera, microphone = sources.open_both(options.camera, options.microphone, rate)
    session = Session(recognizer, camera, microphone, options.window, options.hop)
    display = None if options.no_display or camera is None else Display()
    Player(session, display, options.record, functools.partial(print, flush=True)).run()
    return 0
