"""Robustness: UAR under noise, low light, blur or a missing modality."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tqdm import tqdm

from emotion import metrics
from emotion.evaluation import evaluate
from emotion.signals import perturb

if TYPE_CHECKING:
    import keras

    from emotion.clip import Clip, Load
    from emotion.processes import Pool
    from emotion.run import Run


def curves(
    run: Run,
    clips: list[Clip],
    load: Load,
    pool: Pool | None = None,
    model: keras.Model | None = None,
) -> list[dict]:
    """Scores a run on clips that are disturbed, one kind and level at a time.

    Workers disturb a signal where they load it, so no disturbed clip is kept.

    Args:
        run: run.Run.
        clips: list of Clip, the test clips.
        load: function of a Clip that returns its Signal; it must pickle where there is a pool.
        pool: processes.Pool, or None to make batches in this process.
        model: keras.Model, that of the run, where it is loaded already.

    Returns:
        List of dict, one for each of `perturb.DISTURBANCES` that reaches some of the clips: kind,
        level, uar, war and confusion. Empty for a run whose inputs all come from a table.
    """
    reached = {
        change
        for clip in map(load, clips)
        for change in perturb.DISTURBANCES
        if change.reaches(clip)
    }
    applied = [change for change in perturb.DISTURBANCES if change in reached]
    model = model or run.model()
    rows = []
    for change in tqdm(applied, desc="disturb") if applied else ():
        disturbed = partial(perturb.load, read=load, disturbance=change)
        table = evaluate.predict(run, clips, disturbed, pool, model=model)
        true, predicted = (
            table[name].map(run.labels.index).to_numpy() for name in ("label", "predicted")
        )
        counts = metrics.confusion(true, predicted, len(run.labels))
        scored = {"uar": metrics.uar(counts), "war": metrics.war(counts)}
        rows.append(
            {
                "kind": change.kind,
                "level": change.level,
                **scored,
                "confusion": counts.tolist(),
            }
        )
    return rows
