"""`compare`: trains presets side by side, as a table."""

from __future__ import annotations

import argparse
import sys


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("compare", help="train presets side by side, as a table")
    command.set_defaults(handler=run)
    command.add_argument("--presets", default="all", help="NAME,NAME or all (default)")
    command.add_argument("--data", default="dataset", help="folder, manifest or table (dataset/)")
    command.add_argument("--corpus", help="how to read --data; guessed where left out")
    command.add_argument("--features", help="table of action units to join to the clips")
    command.add_argument("--protocol", help="default: the corpus's own (docs/protocols.md)")
    command.add_argument("--fold", default="all", help="number of the fold, or all (default)")
    command.add_argument("--seeds", default="0", help="such as 1,2,3 (default: 0)")
    command.add_argument("--modalities", default="audio,video,both", help="default: %(default)s")
    command.add_argument("--epochs", type=int, help="at most; default: each preset's")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="another value of every preset, such as recipe.patience=25; may be repeated",
    )
    command.add_argument("--encoder-weights", action="append", default=[], metavar="ENCODER=SOURCE")
    command.add_argument("--output", help="folder (default: saved_models/comparison)")
    command.add_argument("--face-detector", choices=("auto", "yunet", "haar"), default="auto")
    command.add_argument("--cache", help="folder of decoded clips")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")


def run(options: argparse.Namespace) -> None:
    """Trains what is not trained yet; prints the table."""
    from pathlib import Path

    seeds = [_number("seeds", part) for part in options.seeds.split(",")]
    numbers = None if options.fold == "all" else [_number("fold", options.fold)]
    from emotion import backend

    backend.start()
    from emotion import models, processes
    from emotion.data import corpora, splits
    from emotion.experiments import comparison, summary
    from emotion.preset import override
    from emotion.run import runs_folder

    options.output = options.output or str(runs_folder() / "comparison")
    names = list(models.PRESETS) if options.presets == "all" else options.presets.split(",")
    presets = [override(models.preset(name), options.set) for name in dict.fromkeys(names)]
    modalities = options.modalities.split(",")
    entries = comparison.entries(
        presets, modalities, options.epochs, options.face_detector, options.cache
    )
    listed = corpora.clips(options.data, options.corpus, options.features)
    with processes.pool(options.workers) as pool:
        entries, clips, unfit, lacking = comparison.usable(
            entries, listed, pool, options.encoder_weights
        )
    corpus = options.corpus or corpora.guess(options.data)
    passed_over = corpora.left_out(options.data, corpus)
    notes = [
        *passed_over,
        *(
            f"Left out: {', '.join(entry_names)}, since {reason}"
            for reason, entry_names in _shared(unfit)
        ),
    ]
    if lacking:
        notes.append(f"Left out: {len(lacking)} clips; {next(iter(lacking.values()))}")
    print("".join(f"{note}\n" for note in notes), file=sys.stderr, end="")
    table = comparison.compare(
        entries,
        clips,
        Path(options.output),
        options.protocol or splits.default_protocol(clips),
        numbers,
        list(dict.fromkeys(seeds)),
        encoder_weights=options.encoder_weights,
        count=options.workers,
        notes=notes,
        origin={
            "data_path": str(Path(options.data).resolve()),
            "features_path": options.features and str(Path(options.features).resolve()),
            "corpus": corpus,
            "corpus_guessed": options.corpus is None,
            "left_out": lacking,
            "passed_over": passed_over,
            "label_target": clips[0].info.get("label_target", "intended"),
        },
    )
    print(summary.markdown(table) + f"{options.output} holds this as comparison.md, .csv and .png.")


def _shared(unfit):
    """Pairs of a reason and the names that it is of."""
    reasons = dict.fromkeys(unfit.values())
    return [
        (reason, [name for name, shared in unfit.items() if shared == reason]) for reason in reasons
    ]


def _number(flag, text):
    if not text.strip().isdecimal():
        raise ValueError(f"--{flag} must be numbers from 0 on. Received: {text!r}.")
    return int(text)
