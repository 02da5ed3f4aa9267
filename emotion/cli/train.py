"""`train`: trains a preset on a folder of clips; train_model.py is this command too."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path

from emotion.cli.main import guarded, verbosity

PROGRAM = "train_model.py"

NO_DATA = """\
{data} holds no clips yet. Do one of these:
  python -m emotion download ravdess --audio-only     the sound of RAVDESS, 0.2 GB
  python -m emotion download ravdess                  sound and pictures, 13 GB
  put your own in place as dataset/README.md says, or name a folder or manifest with --data
  make demo                                           try it all on an artificial corpus
"""

# What tells which training it is, and its default.
TRAINING = {
    "preset": "cnn3d_mfcc",
    "data": Path("dataset"),
    "features": None,
    "corpus": None,
    "modality": None,
    "protocol": None,
    "fold": "0",
    "batch_size": None,
    "learning_rate": None,
    "set": [],
    "seed": 0,
    "face_detector": "auto",
    "encoder_weights": [],
    "labels": None,
    "extra_data": [],
    "init": None,
    "init_audio": None,
    "init_video": None,
    "freeze_encoders": False,
}
# The other options that a run records.
OTHERS = {"folds": None, "corpus_guessed": None, "cache": None, "tensorboard": False}


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("train", help="train a preset on a folder of clips")
    command.set_defaults(handler=run)
    arguments(command)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments; what the command line does not say is None until `_settle`."""
    add = parser.add_argument
    add("--preset", help=f"the design to train (default: {TRAINING['preset']})")
    add("--data", type=Path, help="folder, manifest or table (default: dataset/)")
    add("--features", type=Path, help="table of action units to join to the clips (.pkl, .csv)")
    add("--corpus", help="how to read --data (ravdess, cremad-crowd ...); guessed if left out")
    add("--modality", choices=("audio", "video", "both"), help="default: all that the preset has")
    add("--protocol", help="how speakers are split; default: the corpus's own (docs/protocols.md)")
    add("--fold", help="number of the fold, or all (default: 0)")
    add("--epochs", type=int, help="at most; default: the preset's")
    add("--batch-size", type=int, help="clips; default: the preset's")
    add("--learning-rate", type=float, help="default: the preset's")
    add(
        "--set",
        action="append",
        metavar="SECTION.FIELD=VALUE",
        help="another value of the preset, such as recipe.patience=25; may be repeated",
    )
    add("--seed", type=int, help="default: 0")
    add("--run", type=Path, help="folder of the run; default: saved_models/PRESET-MODALITY-...")
    add(
        "--resume",
        action="store_true",
        help="continue the run in --run, or the newest unfinished one, as it was begun",
    )
    add("--workers", type=int, default=2, help="processes that make batches (default: 2)")
    add("--face-detector", choices=("auto", "yunet", "haar"), help="default: auto")
    add("--cache", type=Path, help="folder of decoded clips; default: the user's cache folder")
    add(
        "--encoder-weights",
        action="append",
        metavar="[ENCODER=]SOURCE",
        help="what an encoder starts from: imagenet, an id of a hub, a path, or none",
    )
    add(
        "--labels",
        type=lambda text: [name.strip() for name in text.split(",")],
        metavar="NAME,...",
        help="the classes to train, such as neutral,happy,sad; calm counts as neutral without it",
    )
    add(
        "--extra-data",
        type=Path,
        action="append",
        help="a further corpus, whose clips are trained on alone; may be repeated",
    )
    add("--init", type=Path, help="run to begin with, of any corpus and labels")
    add("--init-audio", type=Path, help="run with sound alone, whose branch to begin with")
    add("--init-video", type=Path, help="run with picture alone, likewise; both or neither")
    add(
        "--freeze-encoders",
        action="store_const",
        const=True,
        help="do not train those two branches further",
    )
    add("--tensorboard", action="store_const", const=True, help="also log to RUN/tensorboard")
    add("--list-presets", action="store_true", help="name the presets and end")
    add("--summary", action="store_true", help="print the model's layers and end")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line of train_model.py."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        allow_abbrev=False,
        description="Trains an emotion recogniser.",
        epilog="A run that was stopped, even by a kill, goes on with --resume as if it had not.",
    )
    arguments(parser)
    verbosity(parser)
    parser.set_defaults(handler=run)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Runs train_model.py; returns its exit code."""
    options = parse(argv)
    options.typed = sys.argv[1:] if argv is None else list(map(str, argv))
    return guarded(f"{PROGRAM}: error", options)


def run(options: argparse.Namespace) -> int | None:
    """Trains; returns the exit code."""
    try:
        return _run(options)
    except KeyboardInterrupt:
        print(
            "\nStopped. What was decoded is kept, and every epoch that was finished. It goes on "
            f"with\n  {_again(options)}",
            file=sys.stderr,
        )
        return 130


def _again(options):
    """The command line that goes on where this one was stopped."""
    from emotion.run import load_runs, program, resume_command

    folder = options.request.run if getattr(options, "request", None) else options.run
    try:
        if folder and not options.resume:
            run = load_runs(folder)[0]
            return resume_command(run.folder, run.record)
    except FileNotFoundError:  # it has not begun
        pass
    return shlex.join([*program(), *options.typed])


def _run(options):
    from emotion.files import locked
    from emotion.run import runs_folder

    if options.resume and not (options.list_presets or options.summary):
        asked = [name for name in TRAINING if getattr(options, name) is not None]
        if not options.run and not asked:
            from emotion.experiments import resume

            options.run = resume.unfinished(runs_folder())
            if options.run is None:
                print(_all_ended(runs_folder()), file=sys.stderr)
                return 2
            print(f"{options.run}: the newest unfinished run is continued", file=sys.stderr)
        if options.run:
            if not options.run.is_dir():
                raise FileNotFoundError(
                    f"{options.run} holds no run to resume; start one without --resume."
                )
            with locked(options.run):
                return _work(options, _recorded(options))
    return _work(options)


def _all_ended(runs):
    from emotion.experiments import resume

    ended = resume.extendable(runs)
    lines = [f"{runs} holds no unfinished run."]
    lines += ["These have ended, and can be continued with more epochs:"] if ended else []
    lines += [f"  {folder.name}, {done} epochs: {command}" for folder, done, command in ended]
    return "\n".join(lines)


def _recorded(options):
    """Fills missing options from the run that is resumed; returns its Preset."""
    from emotion.experiments import resume

    preset, recorded = resume.settings(options.run)
    folds = {options.fold or recorded["fold"], recorded["fold"]}
    if len(folds) > 1 and "all" in folds:
        raise ValueError(
            f"{options.run} was trained with --fold {recorded['fold']}; leave --fold out or start "
            f"a new --run. Received: --fold {options.fold}."
        )
    _settle(options, recorded)
    return preset


def _settle(options, values):
    for name, value in values.items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)


def _work(options, recorded=None):
    from emotion.data import corpora, labels

    _settle(options, {**TRAINING, **OTHERS})
    if not (options.list_presets or options.summary):
        try:
            clips = corpora.clips(options.data, options.corpus, options.features)
        except (FileNotFoundError, ValueError):
            if not options.data.is_dir() or any(_media(options.data)):
                raise
            print(NO_DATA.format(data=options.data), file=sys.stderr, end="")
            return 2

    from emotion import backend

    backend.start()
    from emotion import models, processes
    from emotion.experiments.train import Request, train_folds

    if options.list_presets:
        for name, preset in models.PRESETS.items():
            print(f"{name:38s} {models.describe(preset)}")
        return 0
    preset = _preset(options, models, recorded)
    if options.summary:
        models.build_model(preset, len(labels.RAVDESS)).summary()
        return 0
    request = Request(**{item.name: getattr(options, item.name) for item in fields(Request)})
    options.request = request
    with processes.pool(options.workers) as pool:
        for folder, evaluation in train_folds(request, preset, clips, pool):
            print(f"{folder}: {evaluation.sentence()}")
    return 0


def _media(folder):
    return (p for p in folder.rglob("*") if p.suffix not in ("", ".md") and p.name[0] != ".")


def _preset(options, models, recorded):
    from emotion.preset import override

    if recorded and (options.preset, options.modality) == (recorded.name, recorded.modality):
        preset = recorded
    else:
        preset = models.preset(options.preset)
        preset = preset.only(options.modality or preset.modality)
    preset = override(preset, options.set)
    if options.init and (options.init_audio or options.init_video):
        raise ValueError("--init is one run to begin with, --init-audio and --init-video are two.")
    branches = (options.init_audio, options.init_video, options.freeze_encoders or None)
    if any(branches) and None in branches[:2]:
        raise ValueError("--init-audio, --init-video belong together, --freeze-encoders to them.")
    branches = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
    }
    for name, value in branches.items():
        if value is not None and value <= 0:
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"{flag} must be positive. Received: {value}.")
    numbers = {name: value for name, value in branches.items() if value is not None}
    return replace(preset, recipe=replace(preset.recipe, **numbers))
