"""Completion: what belongs to a run that was scored, its numbers and pictures, into a folder."""

from emotion import evaluation, findings, pictures, reasons, robustness
from emotion.run import write_text


def complete(run, split, load, pool=None):
    """Scores a run that is trained, and writes all that belongs into its folder beside the model.

    metrics.json is the last; it names the model that it is of (`findings.complete`).

    Args:
        run: run.Run.
        split: folds.Split; its test clips are scored.
        load: function of a Clip that returns its Signal.
        pool: workers.Pool, or None to make batches in this process.

    Returns:
        findings.Report, with the keys of `findings.ACCURACIES` in its metrics.

    Raises:
        ValueError: as `evaluation.evaluate`.
    """
    model = run.model()
    scored = evaluation.evaluate(run, split, load, pool, model=model)
    own = run.owns(split)
    known = [
        evaluation.predict(run, clips, load, pool, model=model) if own and clips else None
        for clips in (split.train, split.validation)
    ]
    measured = {**scored.metrics, **_accuracies(*known)}
    scored = findings.Report(measured, scored.predictions)
    pictures.curves(run.folder)
    pictures.confusion(measured, run.folder)
    pictures.recall(measured, run.folder)
    findings.save(scored, run.folder)
    return scored


def full(run, split, load, folder, pool=None):
    """Does what `complete` does, and all that takes longer: temperature, robustness, pictures.

    Args:
        run: run.Run.
        split: folds.Split; its test clips are scored. The temperature is fitted on its validation
            clips, of speakers who were the run's in validation.
        load: function of a Clip that returns its Signal.
        folder: Path to write metrics.json, predictions.csv, validation.csv and the pictures into.
        pool: workers.Pool, or None to make batches in this process.

    Returns:
        findings.Report, with the keys of `findings.ACCURACIES`, `findings.calibrate` and
        `robustness` in its metrics.

    Raises:
        ValueError: as `evaluation.evaluate`.
    """
    model = run.model()
    scored = evaluation.evaluate(run, split, load, pool, model=model)
    allowed = run.record["speakers"]["validation"]
    validation = [clip for clip in split.validation if clip.speaker in allowed]
    held_out = evaluation.predict(run, validation, load, pool, model=model) if validation else ()
    own = run.owns(split)
    train = evaluation.predict(run, split.train, load, pool, model=model) if own else None
    measured = {
        **scored.metrics,
        **_accuracies(train, held_out if own else None),
        **findings.calibrate(scored.predictions, held_out, run.labels),
        "robustness": robustness.curves(run, split.test, load, pool, model),
    }
    if validation:
        write_text(folder / "validation.csv", held_out.to_csv(index=False))
    pictures.draw(measured, folder)
    scored = findings.Report(measured, scored.predictions)
    findings.save(scored, folder)
    return scored


def _accuracies(*tables):
    """Dict of findings.ACCURACIES, of the predictions of training and of validation clips.

    Of a table that is None or empty it is None.
    """
    shares = [
        None if table is None or not len(table) else (table["label"] == table["predicted"]).mean()
        for table in tables
    ]
    pairs = zip(findings.ACCURACIES, shares, strict=True)
    return {name: None if share is None else float(share) for name, share in pairs}


def join(reports, folder):
    """Joins the reports of a protocol's folds, and writes what they are worth together.

    Args:
        reports: list of findings.Report, one a fold.
        folder: Path to write metrics.json, predictions.csv and the pictures into.

    Returns:
        findings.Report, of `findings.aggregate`.
    """
    joined = findings.aggregate(reports)
    pictures.draw(joined.metrics, folder)
    findings.save(joined, folder)
    return joined


def explain(run, split, load):
    """Explains a run that was scored: its test clips, and the one most confidently wrong and right.

    Explanations go into `explained` of the run's folder; those newer than its model are kept.

    Args:
        run: run.Run whose folder holds what `findings.save` writes.
        split: folds.Split; predictions of other clips than it tests are passed over.
        load: function of a Clip that returns its Signal.
    """
    folder, trained = run.folder / "explained", (run.folder / "model.keras").stat().st_mtime

    def there(part):
        path = folder / part / "explanation.json"
        return path.is_file() and path.stat().st_mtime >= trained

    if not there("tests"):
        reasons.of_tests(run, split, load, folder / "tests")
    clips, model = {clip.id: clip for clip in split.test}, None
    table = findings.read(run.folder).predictions
    table = table[table["id"].isin(clips)]
    for part in ("wrong", "right"):
        found = findings.surest(table, run.labels, right=part == "right")
        if reasons.drawable(run.preset) and len(found) and not there(part):
            model = model or run.model()
            clip = clips[found.iloc[0]["id"]]
            train = reasons.trained(run, split)
            given = (load(clip), clip.id, folder / part, None, train, load)
            reasons.of_clip(model, run.preset, run.labels, *given)
