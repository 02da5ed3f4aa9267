"""The command line: `python -m emotion COMMAND`. Each command imports what it needs itself."""

import argparse
import sys

from emotion.commands import COMMANDS


def main(arguments=None):
    """Runs a command.

    Args:
        arguments: list of str, or None for the process's own.

    Returns:
        int, the exit code: 0 done; 1 `check` found problems; 2 a mistake in the input, told in one
        line on stderr; 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    from emotion.clip import MediaError

    try:
        return options.run(options) or 0
    except (ValueError, OSError, ModuleNotFoundError, MediaError) as error:
        print(f"emotion {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"emotion {options.command}: interrupted.", file=sys.stderr)
        return 130


def _check(options):
    from emotion.check import check

    text, problems = check(options.data, options.corpus)
    print(text)
    return 1 if problems else 0


def _download(options):
    if options.what == "yunet":
        from emotion.faces import fetch_yunet

        print(f"YuNet's weights are at {fetch_yunet()}.")
        return
    from emotion import download

    actors = _actors(options.actors)
    added = download.ravdess(actors, options.audio_only, options.output, options.channel)
    print(f"{len(added)} actor folders added to {options.output}. See dataset/README.md, licence.")


def _synthetic(options):
    from emotion.corpora import synthetic

    given = {"speakers": options.speakers, "takes": options.takes, "seed": options.seed}
    synthetic.write(options.folder, **{k: v for k, v in given.items() if v is not None})
    if options.clip:
        synthetic.write_demo_clip(options.clip)
    print(f"The synthetic corpus is in {options.folder}. It says nothing about people.")


def _prepare(options):
    from emotion import backend

    backend.start()
    from emotion import cache, corpora, models, workers
    from emotion.faces import Detector

    clips = corpora.clips(options.data, options.corpus, options.features)
    preset = models.preset(options.preset).only(options.modality)
    spec = preset.spec(Detector(options.face_detector).name if preset.faces else "none")
    folder = options.cache or cache.default_folder()
    with workers.pool(max(1, options.workers)) as pool:
        unusable = cache.prepare(clips, spec, folder, pool)
    for clip, reason in unusable:
        print(f"{clip.id}: {reason}")
    print(f"{len(clips) - len(unusable)} of {len(clips)} clips are in {folder}.")


def _compare(options):
    import logging
    import signal
    from pathlib import Path

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seeds = [_number("seeds", part) for part in options.seeds.split(",")]
    numbers = None if options.fold == "all" else [_number("fold", options.fold)]
    from emotion import backend

    backend.start()
    from emotion import comparison, corpora, folds, models, standings, workers

    # Each run is a model of its own: that TensorFlow traces it anew is no mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    names = list(models.PRESETS) if options.presets == "all" else options.presets.split(",")
    presets = [models.preset(name) for name in dict.fromkeys(names)]
    modalities = options.modalities.split(",")
    entries = comparison.entries(presets, modalities, options.epochs, options.face_detector)
    found = corpora.clips(options.data, options.corpus, options.features)
    pool = workers.pool(options.workers)
    try:
        entries, clips, unfit, lacking = comparison.usable(
            entries, found, options.cache, pool, options.encoder_weights
        )
        passed_over = corpora.left_out(options.data, options.corpus)
        notes = [
            *passed_over,
            *(f"Left out: {name}, since {reason}" for name, reason in unfit.items()),
        ]
        if lacking:
            notes.append(f"Left out: {len(lacking)} clips; {next(iter(lacking.values()))}")
        print("".join(f"{note}\n" for note in notes), file=sys.stderr, end="")
        table = comparison.compare(
            entries,
            clips,
            Path(options.out),
            options.protocol or folds.default_protocol(clips),
            numbers,
            list(dict.fromkeys(seeds)),
            encoder_weights=options.encoder_weights,
            cache_folder=options.cache,
            pool=pool,
            notes=notes,
            extra={
                "data_path": str(Path(options.data).resolve()),
                "features_path": options.features and str(Path(options.features).resolve()),
                "corpus": options.corpus,
                "left_out": lacking,
                "passed_over": passed_over,
                "label_target": clips[0].info.get("label_target", "intended"),
            },
        )
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
    print(standings.markdown(table) + f"{options.out} holds this as comparison.md, .csv and .png.")


def _number(flag, text):
    if not text.strip().isdecimal():
        raise ValueError(f"--{flag} must be numbers from 0 on. Received: {text!r}.")
    return int(text)


def _actors(text):
    """Reads "1-4,7" as ("01", "02", "03", "04", "07").

    >>> _actors("1-3,24")
    ('01', '02', '03', '24')
    """
    numbers = set()
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(f"--actors must be like 1-24 or 1,5,7-9. Received: {text!r}.")
        numbers |= set(range(int(ends[0]), int(ends[-1]) + 1))
    if not numbers or not numbers <= set(range(1, 25)):
        raise ValueError(f"--actors must lie in 1 to 24. Received: {text!r}.")
    return tuple(f"{number:02d}" for number in sorted(numbers))


def _parser():
    parser = argparse.ArgumentParser(prog="python -m emotion", description="Emotion recognition.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("check", help="what a data folder holds, lacks, or has broken")
    command.set_defaults(run=_check)
    _add_data(command)

    command = commands.add_parser("download", help="fetch RAVDESS, or the YuNet face detector")
    command.set_defaults(run=_download)
    command.add_argument("what", choices=("ravdess", "yunet"))
    command.add_argument("--actors", default="1-24", help="such as 1-24 (default) or 1,5,7-9")
    command.add_argument("--audio-only", action="store_true", help="leave out the videos")
    command.add_argument("--channel", choices=("speech", "song", "all"), default="speech")
    command.add_argument("--output", default="dataset", help="folder (default: dataset)")

    command = commands.add_parser("synthetic", help="draw and speak a small artificial corpus")
    command.set_defaults(run=_synthetic)
    command.add_argument("folder")
    command.add_argument("--clip", help="also write a longer video of a speaker of its own")
    for name in ("speakers", "takes", "seed"):
        command.add_argument(f"--{name}", type=int)

    command = commands.add_parser("prepare", help="decode and crop every clip into the cache")
    command.set_defaults(run=_prepare)
    _add_data(command)
    command.add_argument("--features", help="table of action units to join to the clips")
    command.add_argument("--preset", default="cnn3d_mfcc")
    command.add_argument("--modality", choices=("audio", "video", "both"), default="both")
    command.add_argument("--face-detector", choices=("auto", "yunet", "haar"), default="auto")
    command.add_argument("--cache", help="folder (default: EMOTION_CACHE, else the user cache)")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")

    command = commands.add_parser("compare", help="train presets side by side, as a table")
    command.set_defaults(run=_compare)
    command.add_argument("--presets", default="all", help="NAME,NAME or all (default)")
    command.add_argument("--data", default="dataset", help="folder, manifest or table (dataset/)")
    command.add_argument("--corpus", help="how to read --data; guessed where left out")
    command.add_argument("--features", help="table of action units to join to the clips")
    command.add_argument("--protocol", help="default: the corpus's own (docs/protocols.md)")
    command.add_argument("--fold", default="all", help="number of the fold, or all (default)")
    command.add_argument("--seeds", default="0", help="such as 1,2,3 (default: 0)")
    command.add_argument("--modalities", default="audio,video,both", help="default: %(default)s")
    command.add_argument("--epochs", type=int, help="at most; default: each preset's")
    command.add_argument("--encoder-weights", action="append", default=[], metavar="ENCODER=SOURCE")
    command.add_argument("--out", default="saved_models/comparison", help="default: %(default)s")
    command.add_argument("--face-detector", choices=("auto", "yunet", "haar"), default="auto")
    command.add_argument("--cache", help="folder of decoded clips")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")

    for module in COMMANDS:
        module.add(commands)
    return parser


def _add_data(command):
    command.add_argument("data", nargs="?", default="dataset", help="data folder or manifest CSV")
    command.add_argument("--corpus", help="guessed where left out, see dataset/README.md")


if __name__ == "__main__":
    sys.exit(main())
