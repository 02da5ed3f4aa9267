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
    command.add_argument("--corpus", help="of --predictions: ravdess, cremad ...; else guessed")
    command.add_argument("--protocol", help="of --predictions; default: the corpus's own")
    command.add_argument(
        "--output", metavar="DIR", help="where to write it all; default: RUN; none of --predictions"
    )


def run(options):
    """Prints the scores."""
    if bool(options.runs) == bool(options.predictions):
        raise ValueError("evaluate takes runs or --predictions FILE: name either of them.")
    if options.predictions:
        _score(options.predictions, options.corpus, options.protocol, options.output)
        return
    misplaced = [f"--{name}" for name in ("corpus", "protocol") if getattr(options, name)]
    if misplaced:
        raise ValueError(f"{misplaced[0]} belongs to --predictions; a run knows its own.")
    from emotion import backend

    backend.start()
    from emotion import workers

    altered = {k: getattr(options, k) for k in ("without", "noise") if getattr(options, k)}
    whole = len(options.runs) == 1 and not altered
    if options.output and not whole:
        raise ValueError("--output is for one RUN as it is, or for --predictions; leave it out.")
    pool = workers.pool(options.workers)
    try:
        _examine(options, pool) if whole else _compare(options, altered, pool)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _score(path, corpus, protocol, output):
    from pathlib import Path

    from emotion import backend

    backend.start()
    from emotion import evaluation, pictures, scores, screen

    system = scores.read(path, corpus)
    scored = evaluation.score(system, protocol)
    print(screen.report(f"{path} holds {system.kind}", scored.metrics))
    if output:
        pictures.draw(scored.metrics, Path(output))
        evaluation.save(scored, Path(output))
        print(f"{output} holds this as metrics.json, predictions.csv and pictures.")


def _examine(options, pool):
    from pathlib import Path

    from emotion import report, screen
    from emotion.run import load_run

    (name,) = options.runs
    run = load_run(name)
    split, load = run.data(options.data, options.features, options.cache)
    clips = {role: len(getattr(split, role)) for role in run.record["clips"]}
    if options.output is None and clips != run.record["clips"]:
        raise ValueError(
            f"{options.data} has other clips than {name} was made with; name an --output, "
            "so that the numbers of the run stay its own."
        )
    folder = Path(options.output or run.folder)
    measured = report.full(run, split, load, folder, pool).metrics
    print(screen.report(f"{name}, {run.preset.name} with {measured['modality']}", measured))
    print(f"{folder} holds this as metrics.json, the scores of each clip and pictures.")


def _compare(options, altered, pool):
    from emotion import evaluation
    from emotion.run import load_run

    told = "".join(f", {how} {modality}" for how, modality in altered.items())
    print(f"{'run':24s} {'modality':8s} {'UAR':>6s} {'WAR':>6s} {'F1':>6s}  on")
    for folder in options.runs:
        run = load_run(folder)
        split, load = run.data(options.data, options.features, options.cache)
        report = evaluation.evaluate(run, split.test, load, pool, **altered)
        for how, modality in altered.items():
            evaluation.save(report, run.folder / f"{how}-{modality}")
        m = report.metrics
        print(
            f"{folder:24s} {m['modality']:8s} {m['uar']:6.3f} {m['war']:6.3f} {m['macro_f1']:6.3f}"
            f"  {m['clips']} clips of {len(m['speakers'])} speakers, {m['protocol']} {m['fold']}"
            f"{told}"
        )
