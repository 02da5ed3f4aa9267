"""`evaluate`: what runs, or the scores of any other system, are worth on their test speakers."""


def add(commands):
    """Adds the command's arguments."""
    command = commands.add_parser("evaluate", help="score runs, or a file of any system's scores")
    command.set_defaults(run=run)
    command.add_argument("runs", nargs="*", metavar="RUN")
    command.add_argument("--data", help="data folder or manifest (default: the one trained on)")
    command.add_argument("--features", help="table joined to it (default: the one trained on)")
    command.add_argument("--cache", help="folder of decoded clips")
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
    command.add_argument("--output", metavar="DIR", help="of --predictions: where to write it all")


def run(options):
    """Prints the scores."""
    of_file = {name: getattr(options, name) for name in ("corpus", "protocol", "output")}
    if bool(options.runs) == bool(options.predictions):
        raise ValueError("evaluate takes runs or --predictions FILE: name either of them.")
    if options.predictions:
        _score(options.predictions, **of_file)
        return
    misplaced = [f"--{name}" for name, value in of_file.items() if value]
    if misplaced:
        raise ValueError(f"{misplaced[0]} belongs to --predictions; a run knows its own.")
    _evaluate(options)


def _score(path, corpus, protocol, output):
    from pathlib import Path

    from emotion import backend

    backend.start()
    from emotion import evaluation, groups, report, scores

    system = scores.read(path, corpus)
    scored = evaluation.score(system, protocol)
    m = scored.metrics
    if m["warning"]:
        print(f"WARNING: {m['warning']}")
    absent = f"; absent: {', '.join(m['absent_speakers'])}" if m["absent_speakers"] else ""
    print(
        f"{path} holds {system.kind}: {m['clips']} clips of {len(m['speakers'])} speakers, "
        f"{m['protocol']}, folds {', '.join(m['folds'])}{absent}"
    )
    for name in ("uar", "war"):
        over = f", over folds {evaluation.told(m, name)}" if len(m["folds"]) > 1 else ""
        print(f"{name.upper()} {m[name]:.3f} {_between(m['intervals'][name])}{over}")
    tops = "".join(f", top-{k} {m[f'top_{k}']:.3f}" for k in (2, 3, 5) if f"top_{k}" in m)
    print(f"macro F1 {m['macro_f1']:.3f}{tops}, ECE {m['ece']:.3f}")
    print("recall, in brackets the 95 % interval over speakers:")
    for label, recall in m["recall"].items():
        if recall is not None:
            print(f"  {label:10s} {recall:.3f} {_between(m['intervals']['recall'][label])}")
    for attribute, compared in m["groups"].items():
        if len(compared["groups"]) > 1:
            print(groups.sentence(attribute, compared))
    if output:
        report.confusion(m, Path(output))
        evaluation.save(scored, Path(output))
        print(f"{output} holds this as metrics.json, predictions.csv and confusion.png.")


def _between(interval):
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "[one speaker: no interval]"


def _evaluate(options):
    from functools import partial

    from emotion import backend

    backend.start()
    from emotion import cache, corpora, evaluation, folds, training

    altered = {k: getattr(options, k) for k in ("without", "noise") if getattr(options, k)}
    told = "".join(f", {how} {modality}" for how, modality in altered.items())

    print(f"{'run':24s} {'modality':8s} {'UAR':>6s} {'WAR':>6s} {'F1':>6s}  on")
    for folder in options.runs:
        run = training.load_run(folder)
        spec = run.preset.spec(run.record["detector"])
        load = partial(cache.load, spec=spec, folder=options.cache)
        record = run.record
        features = options.features or record.get("features_path")
        clips = corpora.clips(options.data or record["data_path"], record["corpus"], features)
        clips = [clip for clip in clips if clip.id not in record["left_out"]]
        split = folds.split(clips, record["protocol"], record["fold"], record["seed"])
        report = evaluation.evaluate(run, split.test, load, **altered)
        for how, modality in altered.items():
            evaluation.save(report, run.folder / f"{how}-{modality}")
        m = report.metrics
        print(
            f"{folder:24s} {m['modality']:8s} {m['uar']:6.3f} {m['war']:6.3f} {m['macro_f1']:6.3f}"
            f"  {m['clips']} clips of {len(m['speakers'])} speakers, {m['protocol']} {m['fold']}"
            f"{told}"
        )
