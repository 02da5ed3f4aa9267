"""Evaluates a run on speakers that it was not trained on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import keras
import numpy as np
import pandas as pd
from scipy import special

from emotion import backend
from emotion.evaluation import scores
from emotion.evaluation.results import aggregate, measure
from emotion.record import family
from emotion.run import weights_digest
from emotion.signals.voice_activity import has_speech
from emotion.training.batches import Batches

if TYPE_CHECKING:
    from emotion.clip import Clip, Load
    from emotion.data.splits import Split
    from emotion.evaluation.results import Evaluation
    from emotion.evaluation.scores import Scores
    from emotion.processes import Pool
    from emotion.run import Run


# Test-time augmentation: ten crops, as (mirrored, shift across and down in parts of the side).
_SHIFTS = ((0, 0), (-0.05, -0.05), (-0.05, 0.05), (0.05, -0.05), (0.05, 0.05))
VIEWS = tuple((mirrored, *shift) for shift in _SHIFTS for mirrored in (False, True))


def evaluate_run(
    run: Run,
    split: Split,
    load: Load,
    pool: Pool | None = None,
    without: str | None = None,
    model: keras.Model | None = None,
    views: int = 1,
) -> Evaluation:
    """Scores a run's best model on the test clips of a split.

    Args:
        run: run.Run.
        split: splits.Split, the run's own or another, whose test speakers took no part in training
            or in choosing the model.
        load: function of a Clip that returns its Signal.
        pool: processes.Pool, or None to make batches in this process.
        without: "audio" or "video", the input that is zero, as modality dropout makes it in
            training; or None.
        model: keras.Model, that of the run, where it is loaded already.
        views: int, 1 to 10, the first of VIEWS, over which predictions are averaged.

    Returns:
        Evaluation.

    Raises:
        ValueError: as `check`, or `without` leaves the model no input.
    """
    check(run, split)
    preset, labels, clips = run.preset, run.labels, split.test
    if without:
        _refuse_nothing(preset, without)
    digest = weights_digest(run.folder)
    predictions = predict(run, clips, load, pool, without, model, views)
    return replace(
        measure(predictions, labels),
        model=digest,
        epochs=(run.record.ended or {}).get("epochs"),
        protocol=split.protocol,
        fold=split.fold,
        validation_speakers=run.record.speakers["validation"],
        absent_speakers=list(split.absent),
        label_target=clips[0].info.get("label_target", "intended"),
        adapted_to_test_speaker=False,
        modality=preset.modality,
        without=without,
        views=views if views > 1 else None,
        label_map=split.label_map,
        warning=split.warning,
    )


def check(run: Run, split: Split) -> None:
    """Refuses test clips that cannot tell what a run is worth.

    Args:
        run: run.Run.
        split: splits.Split. A random split must be the run's own: of other
            clips it would deal those that were trained on into the test.

    Raises:
        ValueError: a test speaker took part in training or in choosing the model, or a label is
            not one of the run's.
    """
    met, corpus = run.record.met(), family(split.corpus)
    apart = split.corpus and "" not in met  # the corpora of both are known
    known = met.get(corpus, set()) if apart else set().union(*met.values())
    shared = sorted(known.intersection(clip.speaker for clip in split.test))
    if shared and not (split.warning and run.owns(split)):
        raise ValueError(
            f"test speakers must not have been trained on; leave out {', '.join(shared)}."
        )
    unknown = sorted({clip.label for clip in split.test}.difference(run.labels))
    if unknown:
        raise ValueError(
            f"labels must be among {', '.join(run.labels)}. Received: {', '.join(unknown)}."
        )


def predict(
    run: Run,
    clips: list[Clip],
    load: Load,
    pool: Pool | None = None,
    without: str | None = None,
    model: keras.Model | None = None,
    views: int = 1,
) -> pd.DataFrame:
    """Predicts clips with a run's best model; `evaluate_run` without the checks and scores.

    Args:
        clips: list of Clip.
        run, load, pool, without, model, views: as `evaluate_run`.

    Returns:
        pandas.DataFrame, of `scores.table`.
    """
    batch_size = run.preset.recipe.batch_size
    batches = _Reduced(clips, run.preset, run.labels, batch_size, load, pool=pool)
    batches.without, model, total = without, model or run.model(), 0.0
    for batches.view in VIEWS[:views]:
        with backend.streams(batches) as (stream,):
            total += special.log_softmax(model.predict(stream, verbose=0), axis=1)
    probabilities = special.softmax(total / views, axis=1).astype(np.float32)
    return scores.table(clips, probabilities, run.labels)


def speechless(
    run: Run,
    predictions: pd.DataFrame,
    clips: list[Clip],
    load: Load,
    pool: Pool | None = None,
    model: keras.Model | None = None,
) -> dict | None:
    """Scores test clips as inference does, which leaves out sound in which nobody speaks.

    Args:
        predictions: pandas.DataFrame of `predict`, of the clips.
        clips: list of Clip.
        run, load, pool, model: as `evaluate_run`.

    Returns:
        dict: clips, how many have sound without speech; uar and war of all clips with the face
        alone in those, or without these where the run uses no face. None where the run uses no
        recorded sound.
    """
    if run.spec.sample_rate is None or all(clip.audio is None for clip in clips):
        return None
    work = pool.map(partial(_speechless, load), clips).result() if pool else None
    silent = list(work or map(partial(_speechless, load), clips))
    left = predictions[~np.array(silent)]
    quiet = [clip for clip, without in zip(clips, silent) if without]
    if quiet and run.preset.modality == "both":
        left = pd.concat([left, predict(run, quiet, load, pool, "audio", model)])
    measured = measure(left, run.labels)
    return {"clips": len(quiet), "uar": measured.uar, "war": measured.war}


def _speechless(load, clip):
    signal = load(clip)
    return signal.samples is not None and not has_speech(signal.samples, signal.sample_rate)


def score(system: Scores, protocol: str | None = None) -> Evaluation:
    """Scores what any system said of the test clips of a protocol.

    Args:
        system: scores.Scores.
        protocol: str; None takes the corpus's own, see `splits.default_protocol`.

    Returns:
        Evaluation, as `aggregate` joins the folds; what a file does not say, such as the speakers
        of validation, or the loss where it holds no probabilities, is None.

    Raises:
        ValueError: the protocol does not fit the corpus, or a clip that it tests has no row.
    """
    evaluations = []
    for split, tested in scores.tests(system, protocol):
        predictions = scores.table(tested.clips, tested.probabilities, tested.labels)
        measured = measure(predictions, system.labels)
        evaluations.append(
            replace(
                measured,
                # Any scores may be given as logits.
                loss=measured.loss if system.kind == "probabilities" else None,
                protocol=split.protocol,
                fold=split.fold,
                absent_speakers=list(split.absent),
                label_target="intended",
                warning=split.warning,
                scores={"file": str(system.path), "kind": system.kind},
            )
        )
    return aggregate(evaluations)


def _refuse_nothing(preset, without):
    if without not in preset.features or preset.modality != "both":
        raise ValueError(
            "`without` must be audio or video, of a run with sound and picture. "
            f"Received: without={without}, {preset.name} with {preset.modality}."
        )


class _Reduced(Batches):
    """Batches of which one input is zero, or whose frames are seen in one of VIEWS."""

    without, view = None, VIEWS[0]

    def __getitem__(self, index):
        inputs, targets, weights = super().__getitem__(index)
        if self.without:
            inputs = {**inputs, self.without: np.zeros_like(inputs[self.without])}
        if self.view != VIEWS[0]:
            inputs = {**inputs, "video": _viewed(inputs["video"], *self.view)}
        return inputs, targets, weights


def _viewed(frames, mirrored, across, down):
    """Frames (b, t, h, w, 3), mirrored or not, shifted by parts of their side; edges repeat."""
    size = frames.shape[2]
    rows, columns = (
        np.clip(np.arange(size) - round(d * size), 0, size - 1) for d in (down, across)
    )
    shifted = frames[:, :, rows][:, :, :, columns]
    return shifted[:, :, :, ::-1] if mirrored else shifted
