"""Trains a preset on a folder of clips: `python train_model.py --data dataset`."""

import argparse
import shlex
import signal
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

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
    "init_audio": None,
    "init_video": None,
    "freeze_encoders": False,
}
# The other options that a run records.
OTHERS = {"folds": None, "corpus_guessed": None, "cache": None, "tensorboard": False}


def parse(arguments=None):
    """Reads the command line; what it does not say is None until `_settle`."""
    parser = argparse.ArgumentParser(
        description="Trains an emotion recogniser.",
        epilog="A run that was stopped, even by a kill, goes on with --resume as if it had not.",
    )
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
    return parser.parse_args(arguments)


def main(arguments=None):
    """Runs the command; returns its exit code."""
    options = parse(arguments)
    from emotion.clip import MediaError

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(options)
    except (ValueError, OSError, ModuleNotFoundError, MediaError) as error:
        print(f"train_model.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print(
            "train_model.py: error: a worker died, for want of memory or on a damaged file; "
            "try --workers 1, or 0 to see where.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(
            "\nStopped. What was decoded is kept, and every epoch that was finished. It goes on "
            f"with\n  {_again(options, arguments)}",
            file=sys.stderr,
        )
        return 130


def _again(options, arguments):
    """The command line that goes on where this one was stopped."""
    from emotion.run import load_runs, program, resume_command

    try:
        if options.run and not options.resume:
            run = load_runs(options.run)[0]
            return resume_command(run.folder, run.record)
    except FileNotFoundError:  # it has not begun
        pass
    return shlex.join(["python", program(), *(sys.argv[1:] if arguments is None else arguments)])


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

    found = resume.extendable(runs)
    lines = [f"train_model.py: error: {runs} holds no unfinished run."]
    lines += ["These have ended, and can be continued with more epochs:"] if found else []
    lines += [f"  {folder.name}, {done} epochs: {command}" for folder, done, command in found]
    return "\n".join(lines)


def _recorded(options):
    """Takes what the command line does not say from the run that is resumed; its Preset."""
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
    from emotion.signals.cache import SignalCache

    if options.list_presets:
        for name, preset in models.PRESETS.items():
            print(f"{name:38s} {models.describe(preset)}")
        return 0
    preset = _preset(options, models, recorded)
    if options.summary:
        models.build_model(preset, len(labels.RAVDESS)).summary()
        return 0
    signals = SignalCache(preset.spec(options.face_detector), options.cache)
    with processes.pool(options.workers) as pool:
        return _train(options, preset, clips, signals, pool)


def _train(options, preset, clips, signals, pool):
    from emotion.data import corpora, labels, splits
    from emotion.experiments import completion
    from emotion.files import locked
    from emotion.run import runs_folder
    from emotion.signals import presence
    from emotion.training.train import Training, train

    corpus = options.corpus or corpora.guess(options.data)
    guessed = options.corpus is None or bool(options.corpus_guessed)
    passed_over = corpora.left_out(options.data, corpus)
    print(*(f"{line}\n" for line in passed_over), sep="", end="", file=sys.stderr)
    if options.features:
        print(_joined(options.features, clips), file=sys.stderr)
    several = options.fold == "all"
    protocol = options.protocol or splits.default_protocol(clips)
    first = splits.fold_count(clips, protocol, options.seed)[0] if several else _fold(options.fold)
    splits.split(
        clips, protocol, first, options.seed
    )  # what is wrong is told before all is decoded
    found = signals.prepare(clips, pool)
    left_out = {id: own.reason for id, own in found.items() if own.reason}
    for id, reason in left_out.items():
        print(f"left out {id}: {reason}", file=sys.stderr)
    clips = [clip for clip in clips if clip.id not in left_out]
    for line in presence.lines(preset, presence.count(preset, clips, found)):
        print(line, file=sys.stderr)
    protocol = options.protocol or splits.default_protocol(clips)
    names = labels.label_set(clip.label for clip in clips)
    folder = options.run = options.run or runs_folder() / (
        f"{preset.name}-{preset.modality}-{protocol}-fold{options.fold}-seed{options.seed}"
    )
    numbers = splits.fold_count(clips, protocol, options.seed) if several else options.folds
    reports = []
    with locked(folder):
        for fold in numbers if several else [_fold(options.fold)]:
            split = splits.split(clips, protocol, fold, options.seed)
            place = folder / f"fold-{fold}" if several else folder
            print(f"{place}: {_told(split)}", file=sys.stderr)
            with locked(place):
                initial = _initial(options, f"fold-{fold}" if numbers else "")
                weights = options.encoder_weights
                training = Training(preset, split, names, signals, options.seed, weights, initial)
                run = train(
                    training,
                    place,
                    pool=pool,
                    resume=options.resume and (not several or (place / "run.json").exists()),
                    tensorboard=options.tensorboard,
                    origin={
                        **_asked(options),
                        "corpus": corpus,
                        "corpus_guessed": guessed,
                        "folds": numbers,
                        "left_out": left_out,
                        "passed_over": passed_over,
                        "label_target": clips[0].info.get("label_target", "intended"),
                    },
                )
                if several:  # it is of the folds as they were before
                    (folder / "metrics.json").unlink(missing_ok=True)
                reports.append(completion.complete(run, split, signals.load, pool))
            print(f"{place}: {_score(reports[-1])}")
        if several:
            joined = completion.join(reports, folder)
            print(f"{folder}: {_score(joined)}, mean of {len(reports)} folds")
    return 0


def _asked(options):
    """What run.json says of the command beside what `train.train` records: a resume needs it."""
    places = {name: getattr(options, name) for name in ("data", "features", "cache")}
    branches = options.init_audio, options.init_video
    return {
        **{f"{name}_path": path and str(path.resolve()) for name, path in places.items()},
        "initial_paths": [str(path.resolve()) for path in branches if path],
        "encoder_sources": [_absolute(text) for text in options.encoder_weights],
        "tensorboard": options.tensorboard,
    }


def _absolute(source):
    """An [ENCODER=]SOURCE that means the same in any working directory."""
    name, equals, path = source.rpartition("=")
    found = path not in ("imagenet", "none") and Path(path).exists()
    return f"{name}{equals}{Path(path).resolve()}" if found else source


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
    given = (options.init_audio, options.init_video, options.freeze_encoders or None)
    if any(given) and None in given[:2]:
        raise ValueError("--init-audio, --init-video belong together, --freeze-encoders to them.")
    given = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
    }
    for name, value in given.items():
        if value is not None and value <= 0:
            flag = "--" + name.replace("_", "-")
            raise ValueError(f"{flag} must be positive. Received: {value}.")
    numbers = {name: value for name, value in given.items() if value is not None}
    return replace(preset, recipe=replace(preset.recipe, **numbers))


def _initial(options, part):
    from emotion.training.warm_start import Initial

    runs = options.init_audio, options.init_video
    return Initial(*(run / part for run in runs), options.freeze_encoders) if all(runs) else None


def _fold(text):
    if not text.isdecimal():
        raise ValueError(f"--fold must be a number or all. Received: {text}.")
    return int(text)


def _joined(features, clips):
    lacking = [clip.id for clip in clips if clip.given is None]
    rest = f"; none of {', '.join(lacking[:4])}{', ...' if len(lacking) > 4 else ''}"
    return (
        f"{features}: values of {len(clips) - len(lacking)} of {len(clips)} clips"
        f"{rest if lacking else ''}"
    )


def _told(split):
    counts = ", ".join(
        f"{role} {len(getattr(split, role))} clips of {len(speakers)} speakers"
        for role, speakers in split.speakers.items()
    )
    absent = f"; absent: {', '.join(split.absent)}" if split.absent else ""
    warning = f"; WARNING: {split.warning}" if split.warning else ""
    return f"{split.protocol}, fold {split.fold}: {counts}{absent}{warning}"


def _score(measured):
    met = "trained on as well" if measured.warning else "never trained on"
    return (
        f"UAR {measured.text('uar')}, WAR {measured.text('war')} on {measured.clips} clips of "
        f"{len(measured.speakers)} speakers {met}; {measured.accuracies()}"
    )


if __name__ == "__main__":
    sys.exit(main())
