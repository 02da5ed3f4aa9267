"""Writes a video back with what a trained run predicts of its faces, the original sound kept.

python run_inference.py --video_path clip.mp4
python run_inference.py --video_path talk.mp3 --predictions talk.csv
"""

import argparse
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
    add("--video_path", "--video-path", type=Path, required=True, help="a video, or a sound file")
    add("--model", type=Path, metavar="RUN", help="run folder (default: newest in saved_models/)")
    add("--output", type=Path, help="the .mp4 to write (default: <name>_annotated.mp4, here)")
    add(
        "--predictions", type=Path, metavar="FILE", help="also write each window to a .csv or .json"
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
        run(args)
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


def newest():
    """Returns the Path of the newest run in saved_models/, and says which it is."""
    from emotion import backend

    backend.start()
    from emotion.run import newest

    return newest(RUNS)


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
