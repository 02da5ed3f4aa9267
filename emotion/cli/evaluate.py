"""`evaluate`: what runs are worth on their test speakers."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("evaluate", help="score runs on their test speakers")
    command.set_defaults(handler=run)
    command.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs, or of folds")
    command.add_argument("--data", help="data folder or manifest (default: the one trained on)")
    command.add_argument("--features", help="table joined to it (default: the one trained on)")
    command.add_argument("--corpus", help="how to read them: ravdess, cremad ...; else guessed")
    command.add_argument("--protocol", help="default: the run's")
    command.add_argument("--fold", type=int, help="default: the run's, or the first of --protocol")
    command.add_argument("--cache", help="folder of decoded clips")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    command.add_argument(
        "--without",
        choices=("audio", "video"),
        help="zeros in place of a modality; written to RUN/without-MODALITY",
    )
    command.add_argument(
        "--views",
        type=int,
        default=1,
        choices=range(1, 11),
        metavar="N",
        help="average over N views of each frame, mirrored and shifted: 2 or 10 (default: 1)",
    )
    command.add_argument("--output", metavar="DIR", help="where to write it all, of one RUN (RUN)")


def run(options: argparse.Namespace) -> None:
    """Evaluates each run in full, or without a modality; writes into each, prints a table."""
    from emotion import backend

    backend.start()
    from emotion import processes

    if options.output and len(options.runs) > 1:
        raise ValueError("--output is for one RUN; leave it out.")
    with processes.pool(options.workers) as pool:
        if options.without:
            _reduce(options, pool)
        else:
            for name in options.runs:
                _examine(name, options, pool)


def _examine(name, options, pool):
    from contextlib import nullcontext
    from pathlib import Path

    from emotion.cli import printing
    from emotion.experiments import completion
    from emotion.files import locked
    from emotion.run import load_runs

    runs, output = load_runs(name), Path(options.output or name)
    of_folds = runs[0].folder != Path(name)
    if of_folds and (options.protocol or options.fold is not None):
        raise ValueError(f"{name} is folds of a protocol already; name one of them, as a RUN.")
    evaluations = []
    for run in runs:
        split, load = _data(run, options, pool)
        folder = output / run.folder.name if of_folds else output
        with nullcontext() if options.output else locked(folder, "name another --output"):
            evaluations.append(completion.full(run, split, load, folder, pool, options.views))
    scored = completion.join(evaluations, output) if of_folds else evaluations[0]
    preset, modality = runs[0].preset.name, scored.modality
    print(printing.report(f"{name}, {preset} with {modality}", scored))
    print(f"{output} holds this as metrics.json, the scores of each clip and pictures.")


def _data(run, options, pool):
    """The split to test a run on, without the clips that cannot be used, and their loader."""
    import sys
    from dataclasses import replace

    from emotion.signals.cache import SignalCache

    split, load = _split(run, options)
    train = split.train if run.owns(split) else []  # for the accuracy on them
    every = [*train, *split.validation, *split.test]
    facts = SignalCache(run.spec, options.cache).prepare(every, pool)
    lost = {id: some.reason for id, some in facts.items() if some.reason}
    for id, reason in lost.items():
        print(f"left out {id}: {reason}", file=sys.stderr)
    parts = split.validation, split.test
    validation, test = ([clip for clip in some if clip.id not in lost] for some in parts)
    split = replace(split, validation=validation, test=test)
    if options.output is None:
        run.refuse_other(split)
    if not test:
        raise ValueError(
            f"{run.folder} can use no clip to be tested on: {next(iter(lost.values()))}"
        )
    return split, load


def _split(run, options):
    place = options.data, options.features, options.cache, options.corpus
    return run.data(*place, options.protocol, options.fold)


def _reduce(options, pool):
    from emotion.evaluation import evaluate
    from emotion.run import load_run

    print(f"{'run':24s} {'modality':8s} {'UAR':>6s} {'WAR':>6s} {'F1':>6s}  on")
    for name in options.runs:
        run = load_run(name)
        split, load = _split(run, options)
        if options.output is None:
            run.refuse_other(split)
        m = evaluate.evaluate_run(run, split, load, pool, without=options.without)
        m.save(options.output or run.folder / f"without-{options.without}")
        print(
            f"{name:24s} {m.modality:8s} {m.uar:6.3f} {m.war:6.3f} {m.macro_f1:6.3f}"
            f"  {m.clips} clips of {len(m.speakers)} speakers, {m.protocol} {m.fold}, "
            f"without {options.without}"
        )
