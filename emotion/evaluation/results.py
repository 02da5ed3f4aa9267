"""Evaluation results: computed from predictions, joined over folds, saved and read."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

from emotion import metrics
from emotion.files import write_text
from emotion.metrics import calibration, intervals, subgroups
from emotion.run import Record

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
# Of a run's best model, on clips without augmentation; None where these are not there.
ACCURACIES = ("train_accuracy", "validation_accuracy")


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


def measure(predictions, labels):
    """What predictions are worth.

    Args:
        predictions: pandas.DataFrame, of `scores.table`.
        labels: sequence of str.

    Returns:
        dict: what `metrics.summary` gives; loss, of `calibration.loss`; ece; calibration, the bins
        of `calibration.reliability`; intervals, (low, high) of uar, war and recall by class, of
        `intervals.bootstrap_intervals`, None where undefined; groups, of `subgroups.compare`;
        clips, their number; speakers, their names.
    """
    targets, probabilities = _arrays(predictions, labels)
    bins = calibration.reliability(targets, probabilities)
    speakers, counts = metrics.confusions(
        targets, np.argmax(probabilities, axis=1), predictions["speaker"], len(labels)
    )
    uar, war, *recall = [
        None if np.isnan(interval).any() else interval.tolist()
        for interval in intervals.bootstrap_intervals(counts)
    ]
    return {
        **metrics.summary(targets, probabilities, labels),
        "loss": calibration.loss(targets, probabilities),
        "ece": calibration.expected_calibration_error(bins),
        "calibration": bins,
        "intervals": {
            "level": intervals.LEVEL,
            "uar": uar,
            "war": war,
            "recall": dict(zip(labels, recall)),
        },
        "groups": subgroups.compare(predictions, labels),
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
    targets = np.concatenate([true for true, *_ in pairs])
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


def aggregate(reports):
    """Joins the reports of a protocol's folds.

    Args:
        reports: list of Report, one a fold.

    Returns:
        Report: its metrics are of all clips together, and beside uar, war, macro_f1, top-k, loss
        and ece stand their means over folds (`uar_mean`) and standard deviations (`uar_std`,
        ddof=0). Each of ACCURACIES is the mean over folds. What is None in a fold is None.
        Where all folds have a temperature, each cools its own clips; where all were disturbed,
        `robustness` is of all clips together, of the disturbances that reached every fold.
    """
    predictions = pd.concat([report.predictions for report in reports], ignore_index=True)
    first = reports[0].metrics
    joined = measure(predictions, first["labels"])
    if all("temperature" in report.metrics for report in reports):
        pairs = [(report.predictions, report.metrics["temperature"]) for report in reports]
        joined |= _calibrated(pairs, first["labels"])
    if all("robustness" in report.metrics for report in reports):
        disturbed = [
            {(row["kind"], row["level"]): row for row in report.metrics["robustness"]}
            for report in reports
        ]
        joined["robustness"] = [
            _pooled([rows[key] for rows in disturbed])
            for key in disturbed[0]
            if all(key in rows for rows in disturbed)
        ]
    for name in ("loss", *ACCURACIES):
        values = [report.metrics.get(name) for report in reports]
        if None in values:
            joined[name] = None
        elif name in ACCURACIES:
            joined[name] = float(np.mean(values))
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


def surest(predictions, labels, right=False):
    """Returns the rows of a table that are wrong, the most confident first.

    Args:
        predictions: pandas.DataFrame, of `scores.table`.
        labels: sequence of str.
        right: bool, whether to return those that are right instead.
    """
    some = predictions[(predictions["label"] == predictions["predicted"]) == right]
    return some.iloc[np.argsort(-some[list(labels)].max(axis=1).to_numpy(), kind="stable")]


def told(measured, name):
    """Returns a score as "0.564 ± 0.067", the mean over folds and its deviation, or as "0.564"."""
    if len(measured.get("folds", ())) > 1:
        return f"{measured[f'{name}_mean']:.3f} ± {measured[f'{name}_std']:.3f}"
    return f"{measured[name]:.3f}"


def accuracies(measured):
    """Returns in words the accuracy on training, validation and test clips, and the test loss.

    Args:
        measured: dict, what metrics.json holds; what it lacks is left out.
    """
    names = {"train": "train_accuracy", "validation": "validation_accuracy", "test": "war"}
    known = [
        f"{role} {told(measured, name)}"
        for role, name in names.items()
        if measured.get(name) is not None
    ]
    known[0] = known[0].replace(" ", " accuracy ", 1)
    loss = "" if measured.get("loss") is None else f"; test loss {told(measured, 'loss')}"
    return f"{', '.join(known)}{loss}"


def save(report, folder):
    """Writes predictions.csv and then metrics.json, the sign that both are there."""
    write_text(folder / "predictions.csv", report.predictions.to_csv(index=False))
    write_text(folder / "metrics.json", json.dumps(report.metrics, indent=1))


def read(folder):
    """Returns the Report that `save` has left in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    texts = dict.fromkeys(("id", "label", "predicted", *subgroups.ATTRIBUTES), str)
    predictions = pd.read_csv(folder / "predictions.csv", dtype=texts)
    return Report(json.loads((folder / "metrics.json").read_text()), predictions)


def weights_digest(folder):
    """Returns str that tells the weights in a run's model.keras apart, or None without them.

    It is the checksum that the archive itself holds, so no model is read.
    """
    try:
        with zipfile.ZipFile(Path(folder) / "model.keras") as archive:
            weights = archive.getinfo("model.weights.h5")
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
    return f"{weights.CRC:08x}-{weights.file_size}"


def scored(folder):
    """Returns bool, whether metrics.json in the folder of a run is of the model.keras there.

    Metrics of a version that did not name the model count where they are not older than it.
    """
    metrics, model = Path(folder) / "metrics.json", Path(folder) / "model.keras"
    if not metrics.is_file():
        return False
    named = json.loads(metrics.read_text()).get("model")
    if named:
        return named == weights_digest(folder)
    return not model.is_file() or metrics.stat().st_mtime >= model.stat().st_mtime


def complete(folder):
    """Returns bool, whether a run was trained to its end and its model was scored.

    A run of a version that did not write `digest` and `ended` got its model at its end.
    """
    path = Path(folder) / "run.json"
    if not path.is_file() or not scored(folder):
        return False
    record = Record.read(path)
    return record.ended is not None or record.digest is None
