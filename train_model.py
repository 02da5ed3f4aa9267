"""Trains a preset on a folder of clips: `python train_model.py --data dataset`."""

import argparse
import signal
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path

NO_DATA = """\
{data} holds no clips yet. Do one of these:
  python -m emotion download ravdess --audio-only     the sound of RAVDESS, 0.2 GB
  python -m emotion download ravdess                  sound and pictures, 13 GB
  put your own in place as dataset/README.md says, or name a folder or manifest with --data
  make demo                                           try it all on an artificial corpus
"""


def parse(arguments=None):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description="Trains an emotion recogniser.",
        epilog="A run that was stopped, even by a kill, goes on with --resume as if it had not.",
    )
    add = parser.add_argument
    add("--preset", default="cnn3d_mfcc", help="the design to train (default: %(default)s)")
    add("--data", type=Path, default=Path("dataset"), help="folder, manifest or table (dataset/)")
    add("--features", type=Path, help="table of action units to join to the clips (.pkl, .csv)")
    add("--corpus", help="how to read --data (ravdess, cremad-crowd ...); guessed if left out")
    add("--modality", choices=("audio", "video", "both"), help="default: all that the preset has")
    add("--protocol", help="how speakers are split; default: the corpus's own (docs/protocols.md)")
    add("--fold", default="0", help="number of the fold, or all (default: 0)")
    add("--epochs", type=int, help="at most; default: the preset's")
    add("--batch-size", type=int, help="clips; default: the preset's")
    add("--learning-rate", type=float, help="default: the preset's")
    add(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="another value of the preset, such as recipe.patience=25; may be repeated",
    )
    add("--seed", type=int, default=0)
    add("--run", type=Path, help="folder of the run; default: saved_models/PRESET-MODALITY-...")
    add("--resume", action="store_true", help="continue the run in --run")
    add("--workers", type=int, default=2, help="processes that make batches (default: 2)")
    add("--face-detector", choices=("auto", "yunet", "haar"), default="auto")
    add("--cache", type=Path, help="folder of decoded clips; default: the user's cache folder")
    add(
        "--encoder-weights",
        action="append",
        default=[],
        metavar="[ENCODER=]SOURCE",
        help="what an encoder starts from: imagenet, an id of a hub, a path, or none",
    )
    add("--init-audio", type=Path, help="run with sound alone, whose branch to begin with")
    add("--init-video", type=Path, help="run with picture alone, likewise; both or neither")
    add("--freeze-encoders", action="store_true", help="do not train those two branches further")
    add("--tensorboard", action="store_true", help="also log to RUN/tensorboard")
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
            "\nStopped. What was decoded is kept, and every epoch that was finished; the same "
            "command goes on from there, with --resume once the training has begun.",
            file=sys.stderr,
        )
        return 130


def _run(options):
    from emotion import corpora, labels

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
    from emotion import models, workers
    from emotion.faces import Detector

    if options.list_presets:
        for name, preset in models.PRESETS.items():
            print(f"{name:38s} {models.describe(preset)}")
        return 0
    preset = _preset(options, models)
    if options.summary:
        models.build_model(preset, len(labels.RAVDESS)).summary()
        return 0
    detector = Detector(options.face_detector).name if preset.faces else "none"
    spec = preset.spec(detector)
    with workers.pool(options.workers) as pool:
        return _train(options, preset, clips, spec, pool)


def _train(options, preset, clips, spec, pool):
    from emotion import cache, completion, corpora, folds, labels, training

    passed_over = corpora.left_out(options.data, options.corpus)
    print(*(f"{line}\n" for line in passed_over), sep="", end="", file=sys.stderr)
    if options.features:
        print(_joined(options.features, clips), file=sys.stderr)
    several = options.fold == "all"
    protocol = options.protocol or folds.default_protocol(clips)
    first = folds.fold_count(clips, protocol, options.seed)[0] if several else _fold(options.fold)
    folds.split(clips, protocol, first, options.seed)  # what is wrong is told before all is decoded
    unusable = cache.prepare(clips, spec, options.cache, pool)
    for clip, reason in unusable:
        print(f"left out {clip.id}: {reason}", file=sys.stderr)
    left_out = {clip.id: reason for clip, reason in unusable}
    clips = [clip for clip in clips if clip.id not in left_out]
    _refuse_half(preset, clips)
    protocol = options.protocol or folds.default_protocol(clips)
    names = labels.label_set(clip.label for clip in clips)
    load = partial(cache.load, spec=spec, folder=options.cache)
    folder = options.run or Path("saved_models") / (
        f"{preset.name}-{preset.modality}-{protocol}-fold{options.fold}-seed{options.seed}"
    )
    numbers = folds.fold_count(clips, protocol, options.seed)
    reports = []
    for fold in numbers if several else [_fold(options.fold)]:
        split = folds.split(clips, protocol, fold, options.seed)
        place = folder / f"fold-{fold}" if several else folder
        print(f"{place}: {_told(split)}", file=sys.stderr)
        run = training.train(
            preset,
            split,
            names,
            place,
            spec,
            seed=options.seed,
            cache_folder=options.cache,
            pool=pool,
            tensorboard=options.tensorboard,
            resume=options.resume and (not several or (place / "run.json").exists()),
            encoder_weights=options.encoder_weights,
            initial=_initial(options, f"fold-{fold}" if several else ""),
            extra={
                "data_path": str(options.data.resolve()),
                "features_path": options.features and str(options.features.resolve()),
                "corpus": options.corpus,
                "initial_paths": [str(p) for p in (options.init_audio, options.init_video) if p],
                "left_out": left_out,
                "passed_over": passed_over,
                "label_target": clips[0].info.get("label_target", "intended"),
            },
        )
        reports.append(completion.complete(run, split, load, pool))
        print(f"{place}: {_score(reports[-1].metrics)}")
    if several:
        joined = completion.join(reports, folder)
        print(f"{folder}: {_score(joined.metrics)}, mean of {len(reports)} folds")
    return 0


def _media(folder):
    return (p for p in folder.rglob("*") if p.suffix not in ("", ".md") and p.name[0] != ".")


def _preset(options, models):
    from emotion.override import override

    preset = models.preset(options.preset)
    preset = override(preset.only(options.modality or preset.modality), options.set)
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
    from emotion.initial import Initial

    runs = options.init_audio, options.init_video
    return Initial(*(run / part for run in runs), options.freeze_encoders) if all(runs) else None


def _refuse_half(preset, clips):
    """A model for both learns nothing from black frames, and would not say so."""
    for name in preset.features if preset.modality == "both" else ():
        count = sum(name in preset.lacking(clip) for clip in clips)
        if count > len(clips) / 2:
            (other,) = set(preset.features) - {name}
            raise ValueError(
                f"{preset.name} learns from sound and picture, and {count} of {len(clips)} clips "
                f"have no {name}; add what is missing (dataset/README.md) or train on the rest "
                f"with --modality {other}."
            )


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
    from emotion.findings import told

    met = "trained on as well" if measured["warning"] else "never trained on"
    return (
        f"UAR {told(measured, 'uar')}, WAR {told(measured, 'war')} on "
        f"{measured['clips']} clips of {len(measured['speakers'])} speakers {met}"
    )


if __name__ == "__main__":
    sys.exit(main())
