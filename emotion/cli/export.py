"""`export`: a run as ONNX, LiteRT or SavedModel, with what is needed to feed it."""

from __future__ import annotations

import argparse

from emotion.inference.runtime import FILES


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("export", help="a run as ONNX, LiteRT or SavedModel")
    command.set_defaults(handler=run)
    command.add_argument("folder", metavar="RUN")
    command.add_argument("media", nargs="*", metavar="MEDIA", help="recordings to check it on")
    command.add_argument("--format", choices=tuple(FILES), required=True)
    command.add_argument("--output", metavar="DIR", help="default: RUN/FORMAT, RUN/FORMAT-int8")
    weights = command.add_mutually_exclusive_group()
    for name, text in (
        ("float16", "weights stored with 16 bits: half the size"),
        ("int8", "8-bit weights; what that costs on the test clips"),
    ):
        weights.add_argument(
            f"--{name}", dest="weights", action="store_const", const=name, help=text
        )
    command.set_defaults(weights="float32")
    command.add_argument("--data", help="test clips to check it on (default: those of the run)")
    command.add_argument("--features", help="table joined to them, or to MEDIA")
    command.add_argument("--cache", help="folder of decoded clips")


def run(options: argparse.Namespace) -> None:
    """Writes the export; prints what the check found."""
    from pathlib import Path

    from emotion import backend

    backend.start()
    from emotion.inference import export
    from emotion.inference.recognizer import Recognizer

    recognizer = Recognizer(options.folder, use_export=False)
    form = f"{options.format}-int8" if options.weights == "int8" else options.format
    folder = Path(options.output or Path(options.folder, form))
    windows, source, targets = _windows(options, recognizer)
    check = export.export_run(
        recognizer, options.format, folder, windows, source, targets, options.weights
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 1e6:.2f} MB")
    print(f"Checked on {check.windows} windows ({check.source}): largest difference in a "
          f"probability {check.difference:.1e}.")  # fmt: skip
    if check.uar:
        print(f"UAR {check.uar[0]:.4f} of the run, {check.uar[1]:.4f} of this.")


def _windows(options, recognizer):
    """Iterable of Signal, what they are, and their true classes where int8 needs them."""
    from emotion.inference import export

    if options.media:
        if options.weights == "int8" or options.data:
            raise ValueError("MEDIA stands for the test clips, which --int8 and --data need.")
        signals = (recognizer.read(path, options.features) for path in options.media)
        return signals, "recordings", None
    try:
        split, load = recognizer.run.data(options.data, options.features, options.cache)
    except (ValueError, OSError) as error:
        if options.weights == "int8" or options.data:
            raise
        return export.noise(recognizer), f"noise, since there are no test clips: {error}", None
    clips, labels = split.test, recognizer.labels
    if options.weights != "int8":
        count = min(len(clips), export.WINDOWS)
        clips = [clips[i * len(clips) // count] for i in range(count)]
        return map(load, clips), "test clips", None
    return map(load, clips), "test clips", [labels.index(clip.label) for clip in clips]
