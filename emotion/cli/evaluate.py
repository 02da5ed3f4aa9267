"""`evaluate`: what runs, or the scores of any other system, are worth on their test speakers."""


def add(commands):
    """Adds the command's arguments."""
    command = commands.add_parser("evaluate", help="score runs, or a file of any system's scores")
    command.set_defaults(run=run)
    command.add_argument(
        "runs", nargs="*", metavar="RUN", help="one: all there is to say; several: a line each"
    )
    command.add_argument("--data", help="data folder or manifest (default: the one trained on)")
    command.add_argument("--features", help="table joined to it (default: the one trained on)")
    command.add_argument("--corpus", help="how to read them: ravdess, cremad ...; else guessed")
    command.add_argument("--protocol", help="default: the run's; the corpus's of --predictions")
    command.add_argument("--fold", type=int, help="default: the run's, or the first of --protocol")
    command.add_argument("--cache", help="folder of decoded clips")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    which = command.add_mutually_exclusive_group()
    for how, text in (("without", "zero in place of"), ("noise", "noise in place of")):
        which.add_argument(
            f"--{how}",
            choices=("audio", "video"),
            help=f"{text} it; also written to RUN/{how}-MODALITY",
        )
    which.add_argument("--predictions", metavar="FILE", help="CSV: a row a clip, a column a class")
    command.add_argument(
        "--output", metavar="DIR", help="where to write it all; default: RUN; none of --predictions"
    )


def run(options):
    """Prints the scores."""
    if bool(options.runs) == bool(options.predictions):
        raise ValueError("evaluate takes runs or --predictions FILE: name either of them.")
    if options.predictions:
        if options.fold is not None:
            raise ValueError("--predictions are scored on all folds; leave out --fold.")
        _score(options.predictions, options.corpus, options.protocol, options.output)
        return
    from emotion import backend

    backend.start()
    from emotion import processes

    altered = {k: getattr(options, k) for k in ("without", "noise") if getattr(options, k)}
    whole = len(options.runs) == 1 and not altered
    if options.output and len(options.runs) > 1:
        raise ValueError("--output is for one RUN, or for --predictions; leave it out.")
    with processes.pool(options.workers) as pool:
        _examine(options, pool) if whole else _compare(options, altered, pool)


def _score(path, corpus, protocol, output):
    from pathlib import Path

    from emotion import backend

    backend.start()
    from emotion.cli import printing
    from emotion.evaluation import evaluate, plots, scores

    system = scores.read(path, corpus)
    scored = evaluate.score(system, protocol)
    print(printing.report(f"{path} holds {system.kind}", scored))
    if output:
        plots.draw(scored, Path(output))
        scored.save(output)
        print(f"{output} holds this as metrics.json, predictions.csv and pictures.")


def _examine(options, pool):
    from contextlib import nullcontext
    from pathlib import Path

    from emotion.cli import printing
    from emotion.experiments import completion
    from emotion.files import locked
    from emotion.run import load_runs

    (name,) = options.runs
    runs, output = load_runs(name), Path(options.output or name)
    of_folds = runs[0].folder != Path(name)
    if of_folds and (options.protocol or options.fold is not None):
        raise ValueError(f"{name} is folds of a protocol already; name one of them, as a RUN.")
    reports = []
    for one in runs:
        split, load = _data(one, options, pool)
        place = output / one.folder.name if of_folds else output
        alone = nullcontext() if options.output else locked(place, "name another --output")
        with alone:
            reports.append(completion.full(one, split, load, place, pool))
    scored = completion.join(reports, output) if of_folds else reports[0]
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
    found = SignalCache(run.spec, options.cache).prepare(every, pool)
    lost = {id: own.reason for id, own in found.items() if own.reason}
    for id, reason in lost.items():
        print(f"left out {id}: {reason}", file=sys.stderr)
    parts = split.validation, split.test
    validation, test = ([clip for clip in own if clip.id not in lost] for own in parts)
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


def _compare(options, altered, pool):

    from emotion.evaluation import evaluate
    from emotion.run import load_run

    told = "".join(f", {how} {modality}" for how, modality in altered.items())
    print(f"{'run':24s} {'modality':8s} {'UAR':>6s} {'WAR':>6s} {'F1':>6s}  on")
    for folder in options.runs:
        run = load_run(folder)
        split, load = _split(run, options)
        if altered and options.output is None:
            run.refuse_other(split)
        report = evaluate.evaluate_run(run, split, load, pool, **altered)
        for how, modality in altered.items():
            report.save(options.output or run.folder / f"{how}-{modality}")
        m = report
        print(
            f"{folder:24s} {m.modality:8s} {m.uar:6.3f} {m.war:6.3f} {m.macro_f1:6.3f}"
            f"  {m.clips} clips of {len(m.speakers)} speakers, {m.protocol} {m.fold}"
            f"{told}"
        )
