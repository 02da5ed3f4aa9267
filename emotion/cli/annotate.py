"""`annotate`: writes recordings with boxes and labels; run_inference.py is this command too."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotion.cli import live
from emotion.cli.main import guarded, renamed, verbosity
from emotion.cli.model import certainty, chosen

if TYPE_CHECKING:
    from emotion.annotate.recordings import Settings
    from emotion.inference.recognizer import Recognizer

PROGRAM = "run_inference.py"


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("annotate", help="write videos with boxes, labels and sound")
    command.set_defaults(handler=run, live=False)
    command.add_argument(
        "video_path", type=Path, nargs="+", metavar="PATH", help="recordings, or folders of them"
    )
    arguments(command)


def arguments(parser: argparse._ActionsContainer) -> None:
    """Adds what `emotion annotate` and run_inference.py have in common."""
    add = parser.add_argument
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
        help="also plot the probabilities over the whole recording to a .png or .svg; for several "
        "the suffix alone: png",
    )
    spans(parser)
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
        "--workers",
        type=int,
        metavar="N",
        help="how many of several recordings are annotated at once (default: one per core)",
    )
    encoding(parser.add_argument_group("the video that is written"))
    engine_options(parser)


def encoding(parser: argparse._ActionsContainer) -> None:
    """Adds how the annotated video is encoded."""
    add = parser.add_argument
    codecs = ("libx264", "h264_nvenc", "h264_videotoolbox")
    add(
        "--video-codec",
        choices=codecs,
        default="libx264",
        help="H.264 by the processor, by NVIDIA's encoder, or by Apple's (default: libx264)",
    )
    add("--video-preset", metavar="NAME", help="the codec's speed: veryfast, medium, p1 to p7")
    add("--video-quality", type=int, metavar="N", help="as the codec counts it (libx264: crf, 21)")


def engine_options(parser: argparse._ActionsContainer) -> None:
    """Adds where the jobs of a command run."""
    add = parser.add_argument
    add(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where several recordings are annotated: here, or on a Ray cluster (docs/scale.md)",
    )
    add("--address", help="of the Ray cluster: auto, ray://HOST:PORT (default: $RAY_ADDRESS)")


def spans(parser: argparse._ActionsContainer) -> None:
    """Adds the length of a window, the detector's weights, and when a prediction is uncertain."""
    add = parser.add_argument
    add("--window", type=float, metavar="S", help="seconds of a window (default: the run's)")
    add("--hop", type=float, metavar="S", help="seconds between windows (default: window / 3)")
    add("--yunet", type=Path, metavar="PATH", help="YuNet's weights, for a run that needs them")
    certainty(parser)


def parser() -> argparse.ArgumentParser:
    """Returns the argparse.ArgumentParser of run_inference.py."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        allow_abbrev=False,
        description="Annotate a video with the emotions that a run predicts.",
    )
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
    arguments(parser)
    live.arguments(parser.add_argument_group("with --live"))
    verbosity(parser)
    parser.set_defaults(handler=run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs run_inference.py.

    Args:
        argv: list of str, or None for the command line's.

    Returns:
        int, the exit code: 0; 1 where some of several recordings failed, after a list of reasons;
        2 after one line on stderr.
    """
    argv = sys.argv[1:] if argv is None else list(map(str, argv))
    if refused := renamed(PROGRAM, PROGRAM, argv):
        return refused
    return guarded(f"{PROGRAM}: error", parser().parse_args(argv))


def run(args: argparse.Namespace) -> int | None:
    """Annotates recordings; returns the exit code."""
    if args.live:
        return live.run(args)
    many = len(args.video_path) > 1 or args.video_path[0].is_dir()
    try:
        return (run_many if many else run_single)(args)
    except KeyboardInterrupt:
        left = "the same command goes on from here" if many else "nothing was written"
        print(f"stopped; {left}", file=sys.stderr)
        return 130


def run_single(args: argparse.Namespace) -> int:
    """Annotates one recording."""
    from emotion.annotate import recordings

    if args.engine != "local" or args.address:
        raise ValueError("`--engine ray` is for several recordings; name a folder of them.")
    (path,) = args.video_path
    video = args.output or Path(f"{path.stem}_annotated.mp4")
    job = recordings.Job(path, video, args.predictions, args.timeline, args.audio_path)
    recordings.check(job)
    used = settings(args)
    recognizer = load(used)
    if not args.features and "action_units" in recognizer.spec.table_features:
        print("no --features TABLE: the action units count as absent", file=sys.stderr)
    with Progress() as progress:
        text, written = recordings.annotate(job, recognizer, used, progress)
    print(text)
    print("written:", *written)
    return 0


def run_many(args: argparse.Namespace) -> int:
    """Annotates several recordings into a folder; raises as `run` where none can be begun."""
    from tqdm import tqdm

    from emotion.annotate import batch, recordings
    from emotion.engines import Engine

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
    count = os.cpu_count() or 1 if args.workers is None else args.workers
    engine = Engine(args.engine, count, args.address)
    used = settings(args).absolute()
    if args.engine != "local":  # whose processes have another working directory
        listed = [job.absolute() for job in listed]
    todo = recordings.unfinished(listed, used, folder, recordings.shared(args.video_path))
    engine = replace(engine, count=min(count, max(1, len(todo))))
    failed, done = [], len(listed) - len(todo)
    with tqdm(total=len(listed), initial=done, desc="annotating", unit="file") as bar:
        for job, reason in batch.work(todo, used, engine, load):
            bar.update()
            if reason:
                failed.append(reason if str(job.path) in reason else f"{job.path}: {reason}")
                bar.set_postfix(failed=len(failed))
    print(f"{len(listed) - len(failed)} of {len(listed)} recordings annotated", end="")
    print(f" ({done} of them before)" if done else "", f"in {folder}")
    if failed:
        print(f"{len(failed)} failed:", *sorted(failed), sep="\n", file=sys.stderr)
    return 1 if failed else 0


def suffix(text: Path | None, option: str, allowed: tuple[str, ...]) -> str | None:
    """Returns the suffix that an option names for several recordings, such as ".csv", or None."""
    if text is None:
        return None
    kind = f".{str(text).lower().removeprefix('.')}"
    if kind not in allowed:
        raise ValueError(
            f"`{option}` must be a suffix alone for several recordings, one of "
            f"{', '.join(allowed)}; each gets a file of its own. Received: {text}."
        )
    return kind


def settings(args: argparse.Namespace) -> Settings:
    """Returns the recordings.Settings of the arguments."""
    from emotion.annotate.recordings import Settings
    from emotion.media import Codec

    codec = Codec(args.video_codec, args.video_preset, args.video_quality)
    if args.engine == "local":
        codec.check()
    return Settings(
        str(chosen(args.model)),
        args.yunet and str(args.yunet),
        args.window,
        args.hop,
        args.smooth,
        args.features and str(args.features),
        args.threshold,
        args.any_sound,
        codec,
    )


def load(settings: Settings) -> Recognizer:
    """Returns the Recognizer of recordings.Settings."""
    return settings.load()


class Progress:
    """A bar on stderr for each stage, with the time left."""

    def __init__(self):
        self._bar = self._stage = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, stage: str, done: float, total: float | None) -> None:
        """Shows how far a stage is; the arguments are those `analyse` describes."""
        from tqdm import tqdm

        if stage != self._stage:
            self.__exit__()
            self._stage, total = stage, total and round(total, 1)
            self._bar = tqdm(desc=stage, total=total, unit="s", unit_scale=True, mininterval=0.2)
        self._bar.update(min(done, self._bar.total or done) - self._bar.n)
