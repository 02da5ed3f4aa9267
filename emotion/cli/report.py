"""`report`: a run, the folds of a protocol, or a comparison, as one page of HTML."""

from __future__ import annotations

import argparse
import shlex
import sys


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("report", help="one self-contained HTML page on a run")
    command.set_defaults(handler=run)
    command.add_argument("folder", metavar="RUN|COMPARISON")
    command.add_argument("--data", help="data folder or manifest (default: the one trained on)")
    command.add_argument("--features", help="table joined to it (default: the one trained on)")
    command.add_argument("--cache", help="folder of decoded clips")
    command.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    command.add_argument("--output", metavar="FILE", help="default: report.html in the folder")


def run(options: argparse.Namespace) -> None:
    """Evaluates and explains what was not yet; writes the page."""
    from pathlib import Path

    from emotion import backend

    backend.start()
    from emotion.files import write_text
    from emotion.report import build
    from emotion.run import load_run, load_runs

    folder = Path(options.folder)
    output = Path(options.output or folder / "report.html")
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--output must end in .html. Received: {output}.")
    command = _command(options)
    if (folder / "comparison.csv").is_file():
        runs = [load_run(path.parent) for path in sorted(folder.glob("*/*/run.json"))]
        text = build.of_comparison(folder, runs, command)
    else:
        text = _of_runs(folder, load_runs(folder), options, command)
    write_text(output, text)
    print(f"{output} holds the report: open it in a browser.")


def _of_runs(folder, runs, options, command):
    """The page of a run, or of folds; that of a joined run, which has no clips, is on --data."""
    import tempfile
    from pathlib import Path

    from emotion.evaluation.results import Evaluation
    from emotion.experiments import completion
    from emotion.files import undamaged
    from emotion.report import build

    if runs[0].record.temperatures:
        with tempfile.TemporaryDirectory() as measured:
            clips = _measure(runs[0], options, Path(measured))
            return build.of_run(Path(measured), runs, clips, command)
    clips = _complete(runs, options)
    with undamaged(folder):
        if runs[0].folder != folder:  # folds, of which some may have been scored by themselves
            completion.join([Evaluation.read(run.folder) for run in runs], folder)
        return build.of_run(folder, runs, clips, command)


def _command(options):
    """The command line that makes the same page again."""
    words = ["python", "-m", "emotion", "report", options.folder]
    for name in ("data", "features", "cache", "output"):
        if value := getattr(options, name):
            words += [f"--{name}", value]
    return shlex.join(words)


def _complete(runs, options):
    """Does what is lacking; returns dict of id to Clip, those whose media is at hand."""
    from emotion import processes
    from emotion.evaluation.results import scored
    from emotion.experiments import completion
    from emotion.files import locked, read_json

    try:
        data = [run.data(options.data, options.features, options.cache) for run in runs]
        for run, (split, _) in zip(runs, data):
            run.refuse_other(split)
    except (FileNotFoundError, ValueError) as error:
        if not all(scored(run.folder) for run in runs):
            raise
        print(f"{error} The page tells what is known already, and plays no clip.", file=sys.stderr)
        return {}
    with processes.pool(options.workers) as pool:
        for run, (split, load) in zip(runs, data):
            path = run.folder / "metrics.json"
            if not (scored(run.folder) and "robustness" in read_json(path)):
                with locked(run.folder, "call again"):
                    completion.full(run, split, load, run.folder, pool)
        completion.explain(runs[0], *data[0])
    return {clip.id: clip for split, _ in data for clip in split.test}


def _measure(run, options, folder):
    """Evaluates a run on clips that are not its own; returns dict of id to Clip."""
    from emotion import processes
    from emotion.experiments import completion

    split, load = run.data(options.data, options.features, options.cache)
    with processes.pool(options.workers) as pool:
        completion.full(run, split, load, folder, pool)
    return {clip.id: clip for clip in split.test}
