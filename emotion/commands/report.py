"""`report`: a run, the folds of a protocol, or a comparison, as one page of HTML."""

import sys


def add(commands):
    """Adds the command's arguments."""
    command = commands.add_parser("report", help="one self-contained HTML page on a run")
    command.set_defaults(run=run)
    command.add_argument("folder", metavar="RUN|COMPARISON")
    command.add_argument("--data", help="data folder or manifest (default: the one trained on)")
    command.add_argument("--features", help="table joined to it (default: the one trained on)")
    command.add_argument("--cache", help="folder of decoded clips")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    command.add_argument("--output", metavar="FILE", help="default: report.html in the folder")


def run(options):
    """Evaluates and explains what was not yet; writes the page."""
    from pathlib import Path

    from emotion import backend

    backend.start()
    from emotion import report
    from emotion.run import load_run, load_runs, write_text

    folder = Path(options.folder)
    output = Path(options.output or folder / "report.html")
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--output must end in .html. Received: {output}.")
    command = f"python -m emotion report {options.folder}"
    if (folder / "comparison.csv").is_file():
        runs = [load_run(path.parent) for path in sorted(folder.glob("*/*/run.json"))]
        text = report.of_comparison(folder, runs, command)
    else:
        runs = load_runs(folder)
        clips = _complete(folder, runs, options)
        text = report.of_run(folder, runs, clips, command)
    write_text(output, text)
    print(f"{output} holds the report: open it in a browser.")


def _complete(folder, runs, options):
    """Does what is lacking; returns dict of id to Clip, those whose media is at hand."""
    import json

    from emotion import completion, workers

    try:
        data = [run.data(options.data, options.features, options.cache) for run in runs]
    except (FileNotFoundError, ValueError) as error:
        if not (folder / "metrics.json").is_file():
            raise
        print(f"{error} The page tells what is known already, and plays no clip.", file=sys.stderr)
        return {}
    paths = [run.folder / "metrics.json" for run in runs]
    full = [path.is_file() and "robustness" in json.loads(path.read_text()) for path in paths]
    with workers.pool(options.workers) as pool:
        if not all(full):
            reports = [completion.full(r, *own, r.folder, pool) for r, own in zip(runs, data)]
            if len(runs) > 1:
                completion.join(reports, folder)
        completion.explain(runs[0], *data[0])
    return {clip.id: clip for split, _ in data for clip in split.test}
