"""Writes a video back with what a trained run predicts of its faces, the original sound kept.

python run_inference.py --video_path clip.mp4
python run_inference.py --video_path talk.mp3 --predictions talk.csv
python run_inference.py --live
"""

import argparse
import functools
import sys
from pathlib import Path

RUNS = Path(__file__).parent / "saved_models"


def parser():
    """Returns the argparse.ArgumentParser of the command."""
    parser = argparse.ArgumentParser(
        prog="run_inference.py",
        description="Annotate a video with the emotions that a run predicts.",
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--video_path", "--video-path", type=Path, help="a video, or a sound file")
    what.add_argument("--live", action="store_true", help="camera and microphone, in a window")
    add("--model", type=Path, metavar="RUN", help="run folder (default: newest in saved_models/)")
    add("--output", type=Path, help="the .mp4 to write (default: <name>_annotated.mp4, here)")
    add(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="also write each window to a .csv, a .json, or a .vtt (subtitles)",
    )
    add(
        "--window",
        type=float,
        metavar="S",
        help="seconds a prediction looks at (default: the run's)",
    )
    add(
        "--features",
        type=Path,
        metavar="TABLE",
        help="action units of the recording, under its name (.pkl, .csv), for a run that uses them",
    )
    add("--hop", type=float, metavar="S", help="seconds between predictions (default: window / 3)")
    add(
        "--yunet",
        type=Path,
        metavar="PATH",
        help="YuNet's .onnx weights, for a run that needs them",
    )
    live = parser.add_argument_group("with --live").add_argument
    live("--camera", default="0", metavar="N", help="number, device, video file, or none")
    live("--microphone", metavar="NAME", help="default, name, number, sound file, or none")
    live("--record", type=Path, metavar="FILE", help="the .mp4 to record to; or press r")
    live("--no-window", action="store_true", help="print the predictions, a line each")
    return parser


def main(argv=None):
    """Runs the command.

    Args:
        argv: list of str, or None for the command line's.

    Returns:
        int, the exit code: 0, or 2 after one line on stderr.
    """
    args = parser().parse_args(argv)
    from emotion.clip import MediaError  # imports come after --help, which is to answer at once

    try:
        live(args) if args.live else run(args)
    except (MediaError, ValueError, OSError) as error:
        print(f"run_inference.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("run_inference.py: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def run(args):
    """Does what the arguments ask; raises MediaError, ValueError or OSError."""
    from emotion import annotate, media

    info = media.probe(args.video_path)
    output = args.output or Path(f"{args.video_path.stem}_annotated.mp4")
    if info.video:
        annotate.check_output(args.video_path, output)
    elif args.predictions is None:
        raise media.MediaError(
            f"{args.video_path} has sound only, so there is no video to annotate; add "
            "--predictions FILE.csv for what is heard."
        )
    if args.predictions:
        annotate.check_predictions(args.video_path, args.predictions)
    recognizer = load(args.model or newest(), args.yunet)
    given = args.features and recognizer.given(args.video_path, args.features)
    if not given and "action_units" in recognizer.spec.given:
        print("no --features TABLE is given: the action units count as absent", file=sys.stderr)
    with Progress() as progress:
        timeline = annotate.analyse(
            args.video_path, recognizer, args.window, args.hop, progress, given
        )
        if info.video:
            annotate.write_annotated(timeline, output, progress)
    if args.predictions:
        annotate.write_predictions(timeline, args.predictions)
    print(annotate.summary(timeline))
    print("written:", *([output] if info.video else []), *filter(None, [args.predictions]))


def live(args):
    """Predicts what a camera and a microphone take; raises as `run` does."""
    import cv2  # noqa: F401  first: a window of it hangs where PyAV has loaded its libxcb before

    from emotion import annotate, display, sources
    from emotion.live import Session

    if args.output or args.predictions or args.features:
        raise ValueError("--live takes no --output, --predictions or --features; use --record.")
    if args.record and args.camera == "none":
        raise ValueError("--record needs a camera. Received: --camera none.")
    if args.record:
        annotate.check_output(args.camera, args.record)
    recognizer = load(args.model or newest(), args.yunet)
    camera, microphone = sources.open_both(args.camera, args.microphone, recognizer.sample_rate)
    session = Session(recognizer, camera, microphone, args.window, args.hop)
    window = None if args.no_window or camera is None else display.Display()
    display.Player(session, window, args.record, functools.partial(print, flush=True)).run()


def newest():
    """Returns the Path of the newest run in saved_models/, and says which it is."""
    runs = [
        path.parent for path in RUNS.glob("*/model.keras") if (path.parent / "run.json").is_file()
    ]
    if not runs:
        raise FileNotFoundError(
            f"{RUNS} holds no trained run; train one with `python train_model.py`, or name one "
            "with --model RUN."
        )
    run = max(runs, key=lambda path: (path / "model.keras").stat().st_mtime)
    print(f"model: {run} (the newest in {RUNS.name}/)")
    return run


def load(folder, weights):
    """Returns the Recognizer of a run folder."""
    from emotion import backend

    backend.start()
    from emotion.recognizer import Recognizer

    return Recognizer(folder, detector_weights=weights)


class Progress:
    """A bar on stderr for each stage, with the time left."""

    def __init__(self):
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, stage, done, total):
        """Shows how far a stage is; the arguments are those `analyse` describes."""
        from tqdm import tqdm

        if self._bar is None or self._bar.desc != f"{stage}: ":
            self.__exit__()
            total = total and round(total, 1)
            self._bar = tqdm(desc=stage, total=total, unit="s", unit_scale=True, mininterval=0.2)
        self._bar.update(min(done, self._bar.total or done) - self._bar.n)


if __name__ == "__main__":
    sys.exit(main())
