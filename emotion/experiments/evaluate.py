"""Evaluates a run in full: scores, calibration, robustness, plots."""

from __future__ import annotations

from pathlib import Path

from emotion import processes
from emotion.evaluation.results import Evaluation
from emotion.experiments import completion
from emotion.run import Run, load_run


def evaluate(
    run: Run | str | Path,
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    cache: str | Path | None = None,
    workers: int = 0,
) -> Evaluation:
    """Evaluates a run on its test speakers, and writes what `emotion evaluate RUN` writes.

    Args:
        run: Run, or its folder.
        data: data folder or manifest; None for the one that it was trained on.
        output: folder to write into; None for the run's own.
        cache: folder of decoded clips; None for the default one.
        workers: processes that make batches; 0 for none.

    Returns:
        Evaluation.

    Raises:
        ValueError, FileNotFoundError: the clips are not those that the run was made with, or a test
            speaker was trained on.
    """
    run = run if isinstance(run, Run) else load_run(run)
    split, load = run.data(data, cache_folder=cache)
    if output is None:
        run.refuse_other(split)
    with processes.pool(workers) as pool:
        return completion.full(run, split, load, Path(output or run.folder), pool)
