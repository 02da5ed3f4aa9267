"""Writes a video back with what a trained run predicts of its faces, the original sound kept.

python run_inference.py --video_path clip.mp4
python run_inference.py --video_path clip.mp4 --audio_path clip.wav
python run_inference.py --video_path talk.mp3 --predictions talk.csv
python run_inference.py --video_path folder --output annotated --predictions vtt
python run_inference.py --live
"""

import argparse
import functools
import os
import sys
from pathlib import Path


def parser():
    """Returns the argparse.ArgumentParser of the command."""
    parser = argparse.ArgumentParser(
        prog="run_inference.py",
        description="Annotate a video with the emotions that a run predicts.",
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--video_path",
        "--video-path",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="a video or a sound file, several of them, or folders of them",
    )
    what.add_argument("--live", action="store_true", help="camera and microphone, in a window")
    add(
        "--audio_path",
        "--audio-path",
        type=Path,
        metavar="PATH",
        help="a file whose sound takes the place of the video's own, from its first frame on",
    )
    add("--model", type=Path, metavar="RUN", help="run or export (default: newest run)")
    add(
        "--output",
        type=Path,
        help="the .mp4 to write (default: <name>_annotated.mp4, here); for several recordings "
        "the folder (default: annotated)",
    )
    add(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="also write each window to a .csv, a .json, or a .vtt (subtitles); for several "
        "recordings the suffix alone: csv",
    )
    add(
        "--timeline",
        type=Path,
        metavar="FILE",
        help="also draw the probabilities over the whole recording to a .png or .svg; for several "
        "the suffix alone: png",
    )
    add(
        "--window",
        type=float,
        metavar="S",
        help="seconds a prediction looks at (default: the run's)",
    )
    add("--hop", type=float, metavar="S", help="seconds between predictions (default: window / 3)")
    add(
        "--smooth",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds over which the probabilities of a face are averaged (default: 0, not at all)",
    )
    add(
        "--features",
        type=Path,
        metavar="TABLE",
        help="action units of the recording, under its name (.pkl, .csv), for a run that uses them",
    )
    add(
        "--yunet",
        type=Path,
        metavar="PATH",
        help="YuNet's .onnx weights, for a run that needs them",
    )
    add(
        "--workers",
        type=int,
        metavar="N",
        help="how many of several recordings are annotated at once (default: one a core)",
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
        int, the exit code: 0; 1 where some of several recordings failed, after a list of reasons;
        2 after one line on stderr.
    """
    args = parser().parse_args(argv)
    from emotion.clip import MediaError  # imports come after --help, which is to answer at once

    many = not args.live and (len(args.video_path) > 1 or args.video_path[0].is_dir())
    try:
        if args.live:
            return live(args)
        return (run_many if many else run)(args)
    except (MediaError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f"run_inference.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        left = "the same command goes on from here" if many else "nothing was written"
        print(f"run_inference.py: stopped; {left}", file=sys.stderr)
        return 130


def run(args):
    """Annotates one recording; raises what `main` tells in one line."""
    from emotion.annotate import recordings

    (path,) = args.video_path
    video = args.output or Path(f"{path.stem}_annotated.mp4")
    job = recordings.Job(path, video, args.predictions, args.timeline, args.audio_path)
    recordings.check(job)
    chosen = settings(args)
    recognizer = load(chosen)
    if not args.features and "action_units" in recognizer.spec.given:
        print("no --features TABLE is given: the action units count as absent", file=sys.stderr)
    with Progress() as progress:
        told, written = recordings.annotate(job, recognizer, chosen, progress)
    print(told)
    print("written:", *written)
    return 0


def run_many(args):
    """Annotates several recordings into a folder; raises as `run` where none can be begun."""
    from tqdm import tqdm

    from emotion.annotate import crew, recordings

    if args.audio_path:
        raise ValueError(
            "`--audio_path` is the sound of one video; give one file as --video_path. "
            f"Received: {args.audio_path}."
        )
    folder = args.output or Path("annotated")
    kinds = (
        suffix(args.predictions, "--predictions", (".csv", ".json", ".vtt")),
        suffix(args.timeline, "--timeline", (".png", ".svg")),
    )
    listed = recordings.list_jobs(args.video_path, folder, *kinds)
    chosen = settings(args)
    todo = recordings.unfinished(listed, chosen, folder, recordings.shared(args.video_path))
    count = os.cpu_count() or 1 if args.workers is None else args.workers
    count = min(count, max(1, len(todo)))
    failed, done = [], len(listed) - len(todo)
    with tqdm(total=len(listed), initial=done, desc="annotating", unit="file") as bar:
        for job, reason in crew.work(todo, chosen, count, load):
            bar.update()
            if reason:
                failed.append(reason if str(job.path) in reason else f"{job.path}: {reason}")
                bar.set_postfix(failed=len(failed))
    print(f"{len(listed) - len(failed)} of {len(listed)} recordings annotated", end="")
    print(f" ({done} of them before)" if done else "", f"in {folder}")
    if failed:
        print(
            f"run_inference.py: {len(failed)} failed:", *sorted(failed), sep="\n", file=sys.stderr
        )
    return 1 if failed else 0


def suffix(given, option, allowed):
    """Returns the suffix that an option names for several recordings, such as ".csv", or None."""
    if given is None:
        return None
    found = f".{str(given).lower().removeprefix('.')}"
    if found not in allowed:
        raise ValueError(
            f"`{option}` must be a suffix alone for several recordings, one of "
            f"{', '.join(allowed)}; each gets a file of its own. Received: {given}."
        )
    return found


def settings(args):
    """Returns the recordings.Settings of the arguments."""
    from emotion.annotate.recordings import Settings

    return Settings(
        str(args.model or newest()),
        args.yunet and str(args.yunet),
        args.window,
        args.hop,
        args.smooth,
        args.features and str(args.features),
    )


def live(args):
    """Predicts what a camera and a microphone take; raises as `run` does."""
    import cv2  # noqa: F401  first: a window of it hangs where PyAV has loaded its libxcb before

    from emotion.annotate import render
    from emotion.live import sources
    from emotion.live.player import Display, Player
    from emotion.live.session import Session

    recorded = (args.output, args.predictions, args.timeline, args.features, args.smooth)
    if any((*recorded, args.audio_path)):
        raise ValueError(
            "--live takes no --audio_path, --output, --predictions, --timeline, --features or "
            "--smooth; use --microphone and --record."
        )
    if args.record and args.camera == "none":
        raise ValueError("--record needs a camera. Received: --camera none.")
    if args.record:
        render.check_output(args.camera, args.record)
    recognizer = load(settings(args))
    camera, microphone = sources.open_both(args.camera, args.microphone, recognizer.sample_rate)
    session = Session(recognizer, camera, microphone, args.window, args.hop)
    window = None if args.no_window or camera is None else Display()
    Player(session, window, args.record, functools.partial(print, flush=True)).run()
    return 0


def newest():
    """Returns the Path of the newest run, and says which it is."""
    from emotion.run import newest

    return newest()


def load(chosen):
    """Returns the Recognizer of recordings.Settings."""
    return chosen.load()


class Progress:
    """A bar on stderr for each stage, with the time left."""

    def __init__(self):
        self._bar = self._stage = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, stage, done, total):
        """Shows how far a stage is; the arguments are those `analyse` describes."""
        from tqdm import tqdm

        if stage != self._stage:
            self.__exit__()
            self._stage, total = stage, total and round(total, 1)
            self._bar = tqdm(desc=stage, total=total, unit="s", unit_scale=True, mininterval=0.2)
        self._bar.update(min(done, self._bar.total or done) - self._bar.n)


if __name__ == "__main__":
    sys.exit(main())
