"""Completes a trained run: metrics, plots and explanations in its folder."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emotion.evaluation import evaluate, plots, results, robustness
from emotion.evaluation.results import Evaluation
from emotion.explain.explanations import drawable, explain_clip, explain_tests, training_clips
from emotion.files import write_csv

if TYPE_CHECKING:
    from emotion.clip import Load
    from emotion.data.splits import Split
    from emotion.processes import Pool
    from emotion.run import Run


def complete(run: Run, split: Split, load: Load, pool: Pool | None = None) -> Evaluation:
    """Scores a run that is trained, and writes all that belongs into its folder beside the model.

    metrics.json is the last; it names the model that it is of (`results.complete`).

    Args:
        run: run.Run.
        split: splits.Split; its test clips are scored.
        load: function of a Clip that returns its Signal.
        pool: processes.Pool, or None to make batches in this process.

    Returns:
        Evaluation, with `results.ACCURACIES`.

    Raises:
        ValueError: as `evaluate.evaluate_run`.
    """
    model = run.model()
    scored = evaluate.evaluate_run(run, split, load, pool, model=model)
    same_clips = run.owns(split)
    known = [
        evaluate.predict(run, clips, load, pool, model=model) if same_clips and clips else None
        for clips in (split.train, split.validation)
    ]
    scored = replace(scored, **_accuracies(*known))
    plots.curves(run.folder)
    plots.confusion(scored, run.folder)
    plots.recall(scored, run.folder)
    scored.save(run.folder)
    return scored


def full(
    run: Run,
    split: Split,
    load: Load,
    folder: Path,
    pool: Pool | None = None,
    views: int = 1,
) -> Evaluation:
    """Does what `complete` does, and all that takes longer: temperature, robustness, pictures.

    Args:
        run: run.Run.
        split: splits.Split; its test clips are scored. The temperature is fitted on its validation
            clips, of speakers who were the run's in validation.
        load: function of a Clip that returns its Signal.
        folder: Path to write metrics.json, predictions.csv, validation.csv and the pictures into.
        pool: processes.Pool, or None to make batches in this process.
        views: int, as `evaluate.evaluate_run`; of training and robustness clips there is one.

    Returns:
        Evaluation, with `results.ACCURACIES`, what `results.calibrate` gives, `robustness` and
        `speechless`.

    Raises:
        ValueError: as `evaluate.evaluate_run`.
    """
    model = run.model()
    scored = evaluate.evaluate_run(run, split, load, pool, model=model, views=views)
    allowed = set(run.record.speakers["validation"])
    validation = [clip for clip in split.validation if clip.speaker in allowed]
    predict = partial(evaluate.predict, run, load=load, pool=pool, model=model, views=views)
    held_out = predict(validation) if validation else None
    same_clips = run.owns(split)
    train = evaluate.predict(run, split.train, load, pool, model=model) if same_clips else None
    scored = replace(
        scored,
        **_accuracies(train, held_out if same_clips else None),
        **results.calibrate(scored.predictions, held_out, run.labels),
        robustness=robustness.curves(run, split.test, load, pool, model),
        speechless=evaluate.speechless(run, scored.predictions, split.test, load, pool, model),
    )
    if validation:
        write_csv(folder / "validation.csv", held_out)
    plots.draw(scored, folder)
    scored.save(folder)
    return scored


def _accuracies(*tables):
    """Dict of results.ACCURACIES, of the predictions of training and of validation clips.

    Of a table that is None or empty it is None.
    """
    shares = [
        None if table is None or not len(table) else (table["label"] == table["predicted"]).mean()
        for table in tables
    ]
    pairs = zip(results.ACCURACIES, shares, strict=True)
    return {name: None if share is None else float(share) for name, share in pairs}


def join(evaluations: list[Evaluation], folder: Path) -> Evaluation:
    """Joins the evaluations of a protocol's folds, and writes what they are worth together.

    Args:
        evaluations: list of Evaluation, one a fold.
        folder: Path to write metrics.json, predictions.csv and the pictures into.

    Returns:
        Evaluation, of `results.aggregate`.
    """
    joined = results.aggregate(evaluations)
    plots.draw(joined, folder)
    joined.save(folder)
    return joined


def explain(run: Run, split: Split, load: Load) -> None:
    """Explains a run that was scored: its test clips, and the one most confidently wrong and right.

    Explanations go into `explained` of the run's folder; those newer than its model are kept.

    Args:
        run: run.Run whose folder holds what `Evaluation.save` writes.
        split: splits.Split; predictions of other clips are ignored.
        load: function of a Clip that returns its Signal.
    """
    folder, trained = run.folder / "explained", (run.folder / "model.keras").stat().st_mtime

    def there(part):
        path = folder / part / "explanation.json"
        return path.is_file() and path.stat().st_mtime >= trained

    if not there("tests"):
        explain_tests(run, split, load, folder / "tests")
    clips, model = {clip.id: clip for clip in split.test}, None
    table = Evaluation.read(run.folder).predictions
    table = table[table["id"].isin(clips)]
    for part in ("wrong", "right"):
        surest = results.surest(table, run.labels, right=part == "right")
        if drawable(run.preset) and len(surest) and not there(part):
            model = model or run.model()
            clip = clips[surest.iloc[0]["id"]]
            train = training_clips(run, split)
            arguments = (load(clip), clip.id, folder / part, None, train, load)
            explain_clip(model, run.preset, run.labels, *arguments)
