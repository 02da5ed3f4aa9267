"""Evaluation results: computed from predictions, joined over folds, saved and read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from emotion import metrics
from emotion.data.corpora.images import described
from emotion.files import read_csv, read_json, write_csv, write_json
from emotion.metrics import calibration, intervals, subgroups
from emotion.record import Record
from emotion.run import weights_digest

# What all folds of a protocol share.
CONDITIONS = (
    *("protocol", "absent_speakers", "label_target", "adapted_to_test_speaker", "modality"),
    *("without", "views", "label_map", "warning", "scores"),
)
# Of a run's best model, on clips without augmentation.
ACCURACIES = ("train_accuracy", "validation_accuracy")
SCORES = (
    *("uar", "war", "macro_f1", "top_1", "top_2", "top_3", "top_5", "loss", "ece"),
    *("temperature", "ece_calibrated", "threshold", "answered", "answered_accuracy", *ACCURACIES),
)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of predictions, and their conditions; None for values that were not measured.

    Attributes:
        predictions: pandas.DataFrame, of `scores.table`.
        labels: list of str.
        clips: int.
        speakers: list of str.
        confusion: list of list of int, rows are true classes.
        uar, war, macro_f1, top_1, top_2, top_3, top_5: float in [0, 1]; top_1 is war.
        precision, recall, f1: dict of class to float, None where undefined.
        loss: float, of `calibration.loss`.
        ece: float, expected calibration error.
        calibration: list of dict, the bins of `calibration.reliability`.
        intervals: dict: level, and (low, high) of uar, war and of recall by class, of
            `intervals.bootstrap_intervals`; None where undefined.
        groups: dict, of `subgroups.compare`.
        temperature, ece_calibrated, calibration_after, threshold, answered, answered_accuracy: as
            `calibrate` gives them.
        speechless: dict, of `evaluate.speechless`.
        robustness: list of dict, of `robustness.curves`.
        train_accuracy, validation_accuracy: float, of the model that was tested.
        model: str, `weights_digest` of the model.
        epochs: int, that were trained; None while training goes on.
        protocol: str.
        fold: int; None of several.
        folds: dict of fold to UAR, where several are joined.
        means, stds: dict of score to its mean and standard deviation (ddof=0) over folds.
        validation_speakers: list of str, or dict of fold to list.
        absent_speakers: list of str, of the protocol, that the corpus lacks.
        label_target: str, "intended" or "crowd".
        adapted_to_test_speaker: bool.
        modality: str, "audio", "video" or "both".
        without: str, the modality that was zero.
        label_map: dict of the corpus's label to the run's or None, where these differ.
        views: int, the views of each frame that predictions are averaged over; None for one.
        warning: str, of the split.
        scores: dict, the `file` and `kind` of the scores of another system.
    """

    predictions: pd.DataFrame | None = None
    labels: list | None = None
    clips: int | None = None
    speakers: list | None = None
    confusion: list | None = None
    uar: float | None = None
    war: float | None = None
    macro_f1: float | None = None
    top_1: float | None = None
    top_2: float | None = None
    top_3: float | None = None
    top_5: float | None = None
    precision: dict | None = None
    recall: dict | None = None
    f1: dict | None = None
    loss: float | None = None
    ece: float | None = None
    calibration: list | None = None
    intervals: dict | None = None
    groups: dict | None = None
    temperature: float | None = None
    ece_calibrated: float | None = None
    calibration_after: list | None = None
    threshold: float | None = None
    answered: float | None = None
    answered_accuracy: float | None = None
    speechless: dict | None = None
    robustness: list | None = None
    train_accuracy: float | None = None
    validation_accuracy: float | None = None
    model: str | None = None
    epochs: int | None = None
    protocol: str | None = None
    fold: int | None = None
    folds: dict | None = None
    means: dict = field(default_factory=dict)
    stds: dict = field(default_factory=dict)
    validation_speakers: list | dict | None = None
    absent_speakers: list | None = None
    label_target: str | None = None
    adapted_to_test_speaker: bool | None = None
    modality: str | None = None
    without: str | None = None
    views: int | None = None
    label_map: dict | None = None
    warning: str | None = None
    scores: dict | None = None

    @classmethod
    def read(cls, folder: Path) -> Evaluation:
        """Returns the Evaluation that `save` has left in a folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: its predictions are damaged.
        """
        texts = dict.fromkeys(("id", "label", "predicted", *subgroups.ATTRIBUTES), str)
        predictions = read_csv(Path(folder) / "predictions.csv", dtype=texts)
        values = read_json(Path(folder) / "metrics.json")
        labels = list(map(str, values.get("labels") or ()))
        needed = predictions.reindex(columns=["id", "label", "predicted", *labels])
        numeric = needed[labels].select_dtypes("number").columns
        if not len(needed) or needed.isna().any(axis=None) or len(numeric) < len(labels):
            raise ValueError(
                f"{Path(folder) / 'predictions.csv'} is damaged: a row lacks a value, or has one "
                "that is no number; `emotion evaluate` writes it anew."
            )
        known = {item.name: values.get(item.name) for item in fields(cls)}
        scores = [name for name in values if name.endswith("_mean")]
        known["means"] = {name[:-5]: values[name] for name in scores}
        known["stds"] = {name[:-5]: values[f"{name[:-5]}_std"] for name in scores}
        return cls(**known | {"predictions": predictions})

    def save(self, folder: Path) -> None:
        """Writes predictions.csv and then metrics.json, the sign that both are there."""
        write_csv(Path(folder) / "predictions.csv", self.predictions)
        write_json(Path(folder) / "metrics.json", self.to_json())

    def to_json(self) -> dict:
        """Returns the dict of metrics.json; `means` and `stds` are NAME_mean and NAME_std there."""
        hidden = ("predictions", "means", "stds")
        values = {name: value for name, value in vars(self).items() if name not in hidden}
        values |= {f"{name}_mean": value for name, value in self.means.items()}
        return values | {f"{name}_std": value for name, value in self.stds.items()}

    def score(self, name: str) -> float:
        """Returns a score as most publications give it: of several folds, the mean over them."""
        return self.means.get(name, getattr(self, name))

    def text(self, name: str) -> str:
        """Returns a score as "0.564 ± 0.067", mean and deviation over folds, or as "0.564"."""
        if len(self.folds or ()) > 1:
            return f"{self.means[name]:.3f} ± {self.stds[name]:.3f}"
        return f"{getattr(self, name):.3f}"

    def sentence(self) -> str:
        """Returns UAR, WAR, accuracies and the loss in one line."""
        known = "trained on as well" if self.warning else "never trained on"
        folds = f", mean of {len(self.folds)} folds" if len(self.folds or ()) > 1 else ""
        return (
            f"UAR {self.text('uar')}, WAR {self.text('war')} on "
            f"{described(self.clips, self.speakers)}, {known}; {self.accuracies()}{folds}"
        )

    def accuracies(self) -> str:
        """Returns in words the accuracy on training, validation and test clips, and the loss."""
        names = {"train": "train_accuracy", "validation": "validation_accuracy", "test": "war"}
        known = [
            f"{role} {self.text(name)}"
            for role, name in names.items()
            if getattr(self, name) is not None
        ]
        known[0] = known[0].replace(" ", " accuracy ", 1)
        loss = "" if self.loss is None else f"; test loss {self.text('loss')}"
        return f"{', '.join(known)}{loss}"

    def without_speech(self) -> str:
        """Returns in words what voice activity detection changes."""
        if not self.speechless["clips"]:
            return "speech is detected in every test clip"
        return (
            f"no speech is detected in {self.speechless['clips']} test clips: without their sound, "
            f"as in inference, UAR {self.speechless['uar']:.3f}"
        )

    def certain(self) -> str:
        """Returns in words what the threshold leaves of the test clips."""
        line = (
            f"threshold {self.threshold:.2f}, for {calibration.PRECISION:.0%} right on validation "
            f"clips: {self.answered:.0%} of the test clips reach it"
        )
        if self.answered_accuracy is None:
            return line
        return f"{line}, {self.answered_accuracy:.0%} of them right"


def measure(predictions: pd.DataFrame, labels: Sequence[str]) -> Evaluation:
    """Scores predictions.

    Args:
        predictions: pandas.DataFrame, of `scores.table`.
        labels: sequence of str.

    Returns:
        Evaluation without the conditions of the predictions.
    """
    targets, probabilities = _arrays(predictions, labels)
    bins = calibration.reliability(targets, probabilities)
    speakers, counts = metrics.confusions(
        targets, np.argmax(probabilities, axis=1), predictions["speaker"].tolist(), len(labels)
    )
    uar, war, *recall = [
        None if np.isnan(interval).any() else interval.tolist()
        for interval in intervals.bootstrap_intervals(counts)
    ]
    return Evaluation(
        predictions,
        list(labels),
        **metrics.summary(targets, probabilities, labels),
        loss=calibration.loss(targets, probabilities),
        ece=calibration.expected_calibration_error(bins),
        calibration=bins,
        intervals={
            "level": intervals.LEVEL,
            "uar": uar,
            "war": war,
            "recall": dict(zip(labels, recall)),
        },
        groups=subgroups.compare(predictions, labels),
        clips=len(predictions),
        speakers=speakers,
    )


def calibrate(
    predictions: pd.DataFrame, validation: pd.DataFrame | None, labels: Sequence[str]
) -> dict:
    """Fits a temperature and a threshold on some speakers and applies them to others.

    Args:
        predictions: pandas.DataFrame of `scores.table`, of the clips tested.
        validation: pandas.DataFrame, the same of clips of validation speakers, or None.
        labels: sequence of str.

    Returns:
        dict: temperature, of `calibration.temperature`; ece_calibrated and calibration_after, the
        ece of `predictions` with it and its bins; threshold, of `calibration.threshold`; answered,
        the part of the predictions that reach it, and answered_accuracy, theirs. All None without
        validation clips, or where the temperature has no end since the model says nothing of them;
        the last where none reach it.
    """
    if validation is None or not len(validation):
        return _calibrated([(predictions, None, None)], labels)
    targets, probabilities = _arrays(validation, labels)
    fitted = calibration.temperature(targets, calibration.logarithms(probabilities))
    if np.isinf(fitted):
        return _calibrated([(predictions, None, None)], labels)
    threshold = calibration.threshold(targets, _cooled(probabilities, fitted))
    return _calibrated([(predictions, fitted, threshold)], labels)


def _calibrated(folds, labels):
    """Returns the dict of `calibrate` for triples of predictions, temperature and threshold."""
    names = ("ece_calibrated", "calibration_after", "answered", "answered_accuracy")
    if None in [value for _, *fitted in folds for value in fitted]:
        return dict.fromkeys(("temperature", "threshold", *names))
    arrays = [_arrays(table, labels) for table, *_ in folds]
    targets = np.concatenate([true for true, _ in arrays])
    cooled = [_cooled(p, fitted) for (_, p), (_, fitted, _) in zip(arrays, folds)]
    reached = np.concatenate([p.max(axis=1) >= least for p, (*_, least) in zip(cooled, folds)])
    probabilities = np.concatenate(cooled)
    bins = calibration.reliability(targets, probabilities)
    right = (probabilities.argmax(axis=1) == targets)[reached]
    return {
        "temperature": float(np.mean([fitted for _, fitted, _ in folds])),
        "threshold": float(np.mean([least for *_, least in folds])),
        "ece_calibrated": calibration.expected_calibration_error(bins),
        "calibration_after": bins,
        "answered": float(reached.mean()),
        "answered_accuracy": float(right.mean()) if len(right) else None,
    }


def _cooled(probabilities, temperature):
    return special.softmax(calibration.logarithms(probabilities) / temperature, axis=1)


def _arrays(predictions, labels):
    """The true classes (n,) and the probabilities (n, c) of a table."""
    place = {label: index for index, label in enumerate(labels)}
    return predictions["label"].map(place).to_numpy(), predictions[list(labels)].to_numpy()


def aggregate(evaluations: list[Evaluation]) -> Evaluation:
    """Joins the evaluations of a protocol's folds.

    Args:
        evaluations: list of Evaluation, one a fold.

    Returns:
        Evaluation of all clips together, with the `means` and `stds` of the scores over folds. Each
        of ACCURACIES is the mean over folds. What is None in a fold is None. If all folds have a
        temperature, each is applied to its own clips, and so is the threshold; `robustness` is of
        all clips together, of the perturbations that reached every fold.
    """
    first = evaluations[0]
    predictions = pd.concat([each.predictions for each in evaluations], ignore_index=True)
    joined = measure(predictions, first.labels)
    fitted = [(each.predictions, each.temperature, each.threshold) for each in evaluations]
    joined = replace(joined, **_calibrated(fitted, first.labels))
    if all(each.robustness is not None for each in evaluations):
        rows = [{(r["kind"], r["level"]): r for r in each.robustness} for each in evaluations]
        common = [key for key in rows[0] if all(key in others for others in rows)]
        pooled = [_pooled([others[key] for others in rows]) for key in common]
        joined = replace(joined, robustness=pooled)
    means: dict[str, Any] = {}
    stds: dict[str, Any] = {}
    for name in SCORES:
        values = [getattr(each, name) for each in evaluations]
        if None not in values:
            means[name], stds[name] = float(np.mean(values)), float(np.std(values))
    loss = joined.loss if "loss" in means else None
    return replace(
        joined,
        **{name: means.get(name) for name in ACCURACIES},
        **{name: getattr(first, name) for name in CONDITIONS},
        loss=loss,
        means=means,
        stds=stds,
        folds={str(each.fold): each.uar for each in evaluations},
        validation_speakers={str(each.fold): each.validation_speakers for each in evaluations},
    )


def _pooled(rows):
    """Joins what a disturbance left in each fold."""
    counts = np.sum([row["confusion"] for row in rows], axis=0)
    scored = {"uar": metrics.uar(counts), "war": metrics.war(counts)}
    return {**rows[0], **scored, "confusion": counts.tolist()}


def surest(predictions: pd.DataFrame, labels: Sequence[str], right: bool = False) -> pd.DataFrame:
    """Returns the rows of a table that are wrong, the most confident first.

    Args:
        predictions: pandas.DataFrame, of `scores.table`.
        labels: sequence of str.
        right: bool, whether to return those that are right instead.
    """
    some = predictions[(predictions["label"] == predictions["predicted"]) == right]
    return some.iloc[np.argsort(-some[list(labels)].max(axis=1).to_numpy(), kind="stable")]


def scored(folder: Path) -> bool:
    """Returns bool, whether metrics.json in the folder of a run is of the model.keras there.

    Metrics of a version that did not name the model count where they are not older than it.
    """
    metrics, model = Path(folder) / "metrics.json", Path(folder) / "model.keras"
    if not metrics.is_file():
        return False
    named = read_json(metrics).get("model")
    if named:
        return named == weights_digest(folder)
    return not model.is_file() or metrics.stat().st_mtime >= model.stat().st_mtime


def complete(folder: Path) -> bool:
    """Returns bool, whether a run was trained to its end and its model was scored.

    A run of a version that did not write `digest` and `ended` got its model at its end.
    """
    path = Path(folder) / "run.json"
    if not path.is_file() or not scored(folder):
        return False
    record = Record.read(path)
    return record.ended is not None or record.digest is None
