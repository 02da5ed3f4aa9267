"""Evaluation: what a run is worth on speakers it has never met."""

import json
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from emotion import backend, metrics
from emotion.batches import Batches
from emotion.run import write_text


@dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Attributes:
        metrics: dict, what metrics.json holds: uar, war, macro_f1, top_1 to top_5, recall,
            confusion, and what was measured: clips, speakers, protocol, fold, labels, modality,
            and which modality was `without` or `noise`, or None.
        predictions: pandas.DataFrame, one row a clip: id, speaker, label, predicted, and a column
            a class with its probability.
    """

    metrics: dict
    predictions: pd.DataFrame


def evaluate(run, clips, load, pool=None, without=None, noise=None):
    """Scores a run's best model on clips.

    Args:
        run: run.Run.
        clips: list of Clip, of speakers that took no part in training or in choosing the model.
        load: function of a Clip that returns its Signal.
        pool: workers.Pool, or None to make batches in this process.
        without: "audio" or "video", the input that is zero, as modality dropout makes it in
            training; or None.
        noise: "audio" or "video", the input in whose place is noise, always the same: standard
            normal where it is float32, uniform where it is uint8; or None.

    Returns:
        Report.

    Raises:
        ValueError: a label is not one of the run's, a speaker was trained on, or `without` or
            `noise` leaves the model nothing that is real.
    """
    record, preset, labels = run.record, run.preset, run.labels
    known = {*record["speakers"]["train"], *record["speakers"]["validation"]}
    shared = sorted(known.intersection(clip.speaker for clip in clips))
    if shared and record["protocol"] != "random":
        raise ValueError(
            f"test speakers must not have been trained on; leave out {', '.join(shared)}."
        )
    unknown = sorted({clip.label for clip in clips}.difference(labels))
    if unknown:
        raise ValueError(
            f"labels must be among {', '.join(labels)}. Received: {', '.join(unknown)}."
        )
    if without or noise:
        _refuse_nothing(preset, without, noise)
    batches = _Altered(clips, preset, labels, preset.recipe.batch_size, load, pool=pool)
    batches.without, batches.noise = without, noise
    logits = run.model().predict(backend.stream(batches), verbose=0)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    targets = np.array([labels.index(clip.label) for clip in clips])
    predictions = pd.DataFrame(
        {
            "id": [clip.id for clip in clips],
            "speaker": [clip.speaker for clip in clips],
            "label": [clip.label for clip in clips],
            "predicted": [labels[index] for index in np.argmax(probabilities, axis=1)],
            **{label: probabilities[:, index] for index, label in enumerate(labels)},
        }
    )
    measured = {
        **metrics.summary(targets, probabilities, labels),
        "clips": len(clips),
        "speakers": sorted({clip.speaker for clip in clips}),
        "protocol": record["protocol"],
        "fold": record["fold"],
        "validation_speakers": record["speakers"]["validation"],
        "absent_speakers": record["absent"],
        "labels": list(labels),
        "label_target": clips[0].info.get("label_target", "intended"),
        "adapted_to_test_speaker": False,
        "modality": preset.modality,
        "without": without,
        "noise": noise,
        "warning": record["warning"],
    }
    return Report(measured, predictions)


def _refuse_nothing(preset, without, noise):
    if preset.modality != "both" or (without and noise):
        raise ValueError(
            "one of `without` and `noise` is for a run with sound and picture. "
            f"Received: without={without}, noise={noise}, {preset.name} with {preset.modality}."
        )
    if (without or noise) not in preset.features:
        raise ValueError(
            f"`without` and `noise` must be audio or video. Received: {without or noise}."
        )


class _Altered(Batches):
    """Batches of which one input is zero, or noise that the batch's index decides."""

    without = noise = None

    def __getitem__(self, index):
        inputs, targets, weights = super().__getitem__(index)
        if self.without:
            inputs = {**inputs, self.without: np.zeros_like(inputs[self.without])}
        elif self.noise:
            inputs = {**inputs, self.noise: _noise(inputs[self.noise], index)}
        return inputs, targets, weights


def _noise(array, seed):
    generator = np.random.default_rng(seed)
    if array.dtype == np.uint8:
        return generator.integers(0, 256, array.shape, np.uint8)
    return generator.standard_normal(array.shape, np.float32)


def save(report, folder):
    """Writes predictions.csv and then metrics.json, whose presence says that a run is complete."""
    write_text(folder / "predictions.csv", report.predictions.to_csv(index=False))
    write_text(folder / "metrics.json", json.dumps(report.metrics, indent=1))


def aggregate(reports):
    """Joins the reports of a protocol's folds.

    Args:
        reports: list of Report, one a fold.

    Returns:
        Report: uar, war, macro_f1 and top-k are means over folds, with their standard deviations
        (`uar_std`, ddof=0) beside them; recall and confusion are of all clips together.
    """
    predictions = pd.concat([report.predictions for report in reports], ignore_index=True)
    first = reports[0].metrics
    labels = first["labels"]
    targets = np.array([labels.index(label) for label in predictions["label"]])
    joined = metrics.summary(targets, predictions[labels].to_numpy(), labels)
    for name in [name for name, value in joined.items() if isinstance(value, float)]:
        values = [report.metrics[name] for report in reports]
        joined[f"{name}_pooled"] = joined[name]
        joined[name], joined[f"{name}_std"] = float(np.mean(values)), float(np.std(values))
    fixed = (
        "protocol",
        "absent_speakers",
        "labels",
        "label_target",
        "adapted_to_test_speaker",
        "modality",
        "without",
        "noise",
        "warning",
    )
    return Report(
        {
            **joined,
            "clips": len(predictions),
            "speakers": sorted(set(predictions["speaker"])),
            "folds": {str(report.metrics["fold"]): report.metrics["uar"] for report in reports},
            "validation_speakers": {
                str(report.metrics["fold"]): report.metrics["validation_speakers"]
                for report in reports
            },
            **{name: first[name] for name in fixed},
        },
        predictions,
    )
