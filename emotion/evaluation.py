"""Evaluation: what a run is worth on speakers it has never met."""

import json
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from scipy import special

from emotion import backend, calibration, groups, metrics, scores, uncertainty
from emotion.batches import Batches
from emotion.run import write_text

# What all folds of a protocol share.
CONDITIONS = (
    "protocol",
    "absent_speakers",
    "labels",
    "label_target",
    "adapted_to_test_speaker",
    "modality",
    "without",
    "noise",
    "warning",
    "scores",
)


@dataclass(frozen=True)
class Report:
    """The result of an evaluation.

    Attributes:
        metrics: dict, what metrics.json holds: what `measure` gives, and under which conditions:
            protocol, fold, labels, modality, and which modality was `without` or `noise`, or None.
        predictions: pandas.DataFrame, of `scores.table`.
    """

    metrics: dict
    predictions: pd.DataFrame


def evaluate(run, split, load, pool=None, without=None, noise=None, model=None):
    """Scores a run's best model on the test clips of a split.

    Args:
        run: run.Run.
        split: folds.Split, the run's own or another, whose test speakers took no part in training
            or in choosing the model.
        load: function of a Clip that returns its Signal.
        pool: workers.Pool, or None to make batches in this process.
        without: "audio" or "video", the input that is zero, as modality dropout makes it in
            training; or None.
        noise: "audio" or "video", the input in whose place is noise, always the same: standard
            normal where it is float32, uniform where it is uint8; or None.
        model: keras.Model, that of the run, where it is loaded already.

    Returns:
        Report.

    Raises:
        ValueError: a label is not one of the run's, a speaker was trained on, or `without` or
            `noise` leaves the model nothing that is real.
    """
    record, preset, labels, clips = run.record, run.preset, run.labels, split.test
    known = {*record["speakers"]["train"], *record["speakers"]["validation"]}
    shared = sorted(known.intersection(clip.speaker for clip in clips))
    dealt = split.warning and (split.protocol, split.fold) == (record["protocol"], record["fold"])
    if shared and not dealt:
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
    predictions = predict(run, clips, load, pool, without, noise, model)
    measured = {
        **measure(predictions, labels),
        "protocol": split.protocol,
        "fold": split.fold,
        "validation_speakers": record["speakers"]["validation"],
        "absent_speakers": list(split.absent),
        "labels": list(labels),
        "label_target": clips[0].info.get("label_target", "intended"),
        "adapted_to_test_speaker": False,
        "modality": preset.modality,
        "without": without,
        "noise": noise,
        "warning": split.warning,
    }
    return Report(measured, predictions)


def predict(run, clips, load, pool=None, without=None, noise=None, model=None):
    """What a run's best model says of clips: `evaluate` without a judgement.

    Args:
        clips: list of Clip.
        run, load, pool, without, noise, model: as `evaluate`.

    Returns:
        pandas.DataFrame, of `scores.table`.
    """
    batch_size = run.preset.recipe.batch_size
    batches = _Altered(clips, run.preset, run.labels, batch_size, load, pool=pool)
    batches.without, batches.noise = without, noise
    logits = (model or run.model()).predict(backend.stream(batches), verbose=0)
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    return scores.table(clips, probabilities, run.labels)


def measure(predictions, labels):
    """What predictions are worth.

    Args:
        predictions: pandas.DataFrame, of `scores.table`.
        labels: sequence of str.

    Returns:
        dict: what `metrics.summary` gives; ece; calibration, the bins of
        `calibration.reliability`; intervals, (low, high) of uar, war and recall by class, of
        `uncertainty.intervals`, None where undefined; groups, of `groups.compare`; clips, their
        number; speakers, their names.
    """
    targets, probabilities = _arrays(predictions, labels)
    bins = calibration.reliability(targets, probabilities)
    speakers, counts = metrics.confusions(
        targets, np.argmax(probabilities, axis=1), predictions["speaker"], len(labels)
    )
    uar, war, *recall = [
        None if np.isnan(one).any() else one.tolist() for one in uncertainty.intervals(counts)
    ]
    return {
        **metrics.summary(targets, probabilities, labels),
        "ece": calibration.expected_calibration_error(bins),
        "calibration": bins,
        "intervals": {
            "level": uncertainty.LEVEL,
            "uar": uar,
            "war": war,
            "recall": dict(zip(labels, recall)),
        },
        "groups": groups.compare(predictions, labels),
        "clips": len(predictions),
        "speakers": speakers,
    }


def calibrate(predictions, validation, labels):
    """What a temperature would do: fitted on some speakers, applied to others.

    Args:
        predictions: pandas.DataFrame of `scores.table`, of the clips tested.
        validation: pandas.DataFrame, the same of clips of validation speakers.
        labels: sequence of str.

    Returns:
        dict: temperature, of `calibration.temperature`; ece_calibrated and calibration_after, the
        ece of `predictions` with it and its bins. All None without validation clips, or where the
        temperature has no end since the model says nothing of them.
    """
    if not len(validation):
        return _calibrated([(predictions, None)], labels)
    targets, probabilities = _arrays(validation, labels)
    fitted = calibration.temperature(targets, calibration.logarithms(probabilities))
    return _calibrated([(predictions, None if np.isinf(fitted) else fitted)], labels)


def _calibrated(folds, labels):
    """What `calibrate` returns, of pairs of predictions and the temperature fitted for them."""
    if None in [fitted for _, fitted in folds]:
        return dict.fromkeys(("temperature", "ece_calibrated", "calibration_after"))
    pairs = [(*_arrays(table, labels), fitted) for table, fitted in folds]
    cooled = [special.softmax(calibration.logarithms(p) / fitted, axis=1) for _, p, fitted in pairs]
    targets = np.concatenate([own for own, *_ in pairs])
    bins = calibration.reliability(targets, np.concatenate(cooled))
    return {
        "temperature": float(np.mean([fitted for *_, fitted in pairs])),
        "ece_calibrated": calibration.expected_calibration_error(bins),
        "calibration_after": bins,
    }


def _arrays(predictions, labels):
    """The true classes (n,) and the probabilities (n, c) of a table."""
    place = {label: index for index, label in enumerate(labels)}
    return predictions["label"].map(place).to_numpy(), predictions[list(labels)].to_numpy()


def score(system, protocol=None):
    """Scores what any system said of the test clips of a protocol.

    Args:
        system: scores.Scores.
        protocol: str; None takes the corpus's own, see `folds.default_protocol`.

    Returns:
        Report, as `aggregate` joins the folds; what a file does not tell, such as the speakers
        of validation, is None in its metrics.

    Raises:
        ValueError: the protocol does not fit the corpus, or a clip that it tests has no row.
    """
    reports = []
    for split, tested in scores.tests(system, protocol):
        predictions = scores.table(tested.clips, tested.probabilities, tested.labels)
        conditions = dict.fromkeys(CONDITIONS) | {
            "protocol": split.protocol,
            "absent_speakers": split.absent,
            "labels": list(system.labels),
            "label_target": "intended",
            "warning": split.warning,
            "scores": {"file": str(system.path), "kind": system.kind},
        }
        own = {"fold": split.fold, "validation_speakers": None}
        measured = measure(predictions, system.labels)
        reports.append(Report({**measured, **conditions, **own}, predictions))
    return aggregate(reports)


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
        Report: its metrics are of all clips together, and beside uar, war, macro_f1, top-k and ece
        stand their means over folds (`uar_mean`) and standard deviations (`uar_std`, ddof=0).
        Where all folds have a temperature, each cools its own clips; where all were disturbed,
        `robustness` is of all clips together.
    """
    predictions = pd.concat([report.predictions for report in reports], ignore_index=True)
    first = reports[0].metrics
    joined = measure(predictions, first["labels"])
    if all("temperature" in report.metrics for report in reports):
        pairs = [(report.predictions, report.metrics["temperature"]) for report in reports]
        joined |= _calibrated(pairs, first["labels"])
    disturbed = [report.metrics.get("robustness") for report in reports]
    if None not in disturbed:
        joined["robustness"] = [_pooled(rows) for rows in zip(*disturbed)]
    for name in [name for name, value in joined.items() if isinstance(value, float)]:
        values = [report.metrics[name] for report in reports]
        joined |= {f"{name}_mean": float(np.mean(values)), f"{name}_std": float(np.std(values))}
    return Report(
        {
            **joined,
            "folds": {str(report.metrics["fold"]): report.metrics["uar"] for report in reports},
            "validation_speakers": {
                str(report.metrics["fold"]): report.metrics["validation_speakers"]
                for report in reports
            },
            **{name: first[name] for name in CONDITIONS if name in first},
        },
        predictions,
    )


def _pooled(rows):
    """Joins what a disturbance left in each fold."""
    counts = np.sum([row["confusion"] for row in rows], axis=0)
    scored = {"uar": metrics.uar(counts), "war": metrics.war(counts)}
    return {**rows[0], **scored, "confusion": counts.tolist()}


def told(measured, name):
    """Returns a score as "0.564 ± 0.067", the mean over folds and its deviation, or as "0.564"."""
    if len(measured.get("folds", ())) > 1:
        return f"{measured[f'{name}_mean']:.3f} ± {measured[f'{name}_std']:.3f}"
    return f"{measured[name]:.3f}"
