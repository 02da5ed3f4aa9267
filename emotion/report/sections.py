"""The sections of a run's report.

Each takes `m`, an Evaluation, and most the Path of the `folder` with the pictures; each
returns a page.Section, or None where there is nothing to tell.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion import media, models
from emotion.clip import Clip, MediaError
from emotion.data.corpora.images import named
from emotion.evaluation.results import surest
from emotion.files import read_csv, read_json
from emotion.metrics.subgroups import ends, sentence
from emotion.report.page import Player, Section, Table, picture, player
from emotion.signals.presence import NAMES

if TYPE_CHECKING:
    from emotion.evaluation.results import Evaluation
    from emotion.run import Run

_WORST = 10  # clips
SENSES = {"audio": "sound alone", "video": "picture alone", "both": "sound and picture"}
_IDENTITY = (
    ". If silhouette by speaker exceeds silhouette by emotion, the model has learned speaker "
    "identity"
)
_LEVELS = {"noise": "SNR {} dB", "darkness": "gain {}", "blur": "{} px", "without": "{}"}


def training(runs: list[Run], m: Evaluation) -> Section:
    """Describes data and training of a run, or of the runs of a protocol's folds."""
    record, preset = runs[0].record, runs[0].preset
    if record.temperatures:
        return _joined(record, preset, m)
    history = [read_csv(run.folder / "history.csv") for run in runs]
    best = [epochs.iloc[epochs["val_uar"].argmax()] for epochs in history]
    counts = " + ".join(str(run.record.clips["train"]) for run in runs)
    parts = [f"fold {run.record.fold}: " if len(runs) > 1 else "" for run in runs]
    speakers = {
        role: "; ".join(
            f"{part}{named(run.record.speakers[role])}" for part, run in zip(parts, runs)
        )
        for role in ("train", "validation")
    }
    weights = record.encoder_weights or {}
    facts = (
        ("Design", f"{preset.name}: {models.describe(preset)}"),
        ("Modalities", SENSES[preset.modality]),
        ("Trained on", f"{counts} clips of {speakers['train']}"),
        ("Model selection", f"{speakers['validation']}, by validation UAR"),
        ("Absent speakers", ", ".join(m.absent_speakers or ["none"])),
        ("Clips left out", f"{len(record.left_out or ())} (run.json says why)"),
        (
            "Clips without detected sound or face",
            "; ".join(
                f"{part}{NAMES[modality]} {len(ids)}"
                for part, run in zip(parts, runs)
                for modality, ids in (run.record.lacking or {}).items()
            )
            or "not recorded",
        ),
        ("Classes", ", ".join(m.labels)),
        ("Label target", f"{m.label_target}"),
        ("Adapted to test speakers", "yes" if m.adapted_to_test_speaker else "no"),
        (
            "Epochs",
            "; ".join(
                f"{part}{len(epochs)}, the best {row['epoch']:.0f} with validation UAR "
                f"{row['val_uar']:.3f}"
                for part, epochs, row in zip(parts, history, best)
            ),
        ),
        ("Accuracy and loss", m.accuracies()),
        ("Pretrained encoders", "; ".join(f"{k}: {v}" for k, v in weights.items()) or "none"),
        ("Face detector", record.detector or "none"),
        ("Seed", str(record.seed)),
    )
    shown = picture(
        runs[0].folder / "curves",
        f"Loss, UAR and learning rate over epochs{' of fold 0' if len(runs) > 1 else ''}.",
        f"Curves of training and validation; the best of {len(history[0])} epochs is "
        f"{best[0]['epoch']:.0f}, with validation UAR {best[0]['val_uar']:.3f}.",
    )
    return Section("Data and training", facts=facts, pictures=shown)


def _joined(record, preset, m):
    """The section of a model that `emotion starter` has joined: its parts have their own runs."""
    cooled = ", ".join(f"{name} {value:.2f}" for name, value in record.temperatures.items())
    facts = (
        ("Design", f"{preset.name}: {models.describe(preset)}"),
        *((f"Trained on {c}", named(speakers)) for c, speakers in record.trained_on.items()),
        ("Temperatures, in the weights", cooled),
        ("Classes", ", ".join(m.labels)),
        ("Label target", f"{m.label_target}"),
        ("Accuracy and loss", m.accuracies()),
    )
    return Section("Data and training", facts=facts)


def classes(folder: Path, m: Evaluation) -> Section:
    """Shows precision, recall and F1 by class, and the confusion matrix."""
    counts, labels = np.array(m.confusion), m.labels
    columns = ("class", "precision", "recall", "95 % interval", "F1", "clips")
    rows, mistaken = [], []
    for index, label in enumerate(labels):
        if m.f1[label] is None:
            continue
        low_high = m.intervals["recall"][label]
        interval = f"{low_high[0]:.3f} to {low_high[1]:.3f}" if low_high else ""
        scores = [_number(by[label]) for by in (m.precision, m.recall, m.f1)]
        row = counts[index]
        rows.append((label, *scores[:2], interval, scores[2], str(row.sum())))
        other = int(np.argmax(np.where(np.arange(len(labels)) == index, -1, row)))
        if row.sum():
            share = row / row.sum()
            rest = f", most often mistaken for {labels[other]}, {share[other]:.0%}"
            mistaken.append(f"{label} {share[index]:.0%}{rest if row[other] else ''}")
    pictures = [
        *picture(
            folder / "confusion",
            "Confusion matrix: share of each true class, and number of clips.",
            f"Confusion matrix. Recall: {'; '.join(mistaken)}.",
        ),
        *picture(
            folder / "recall",
            "Recall of each class with its 95 % interval over speakers.",
            "Recall by class, with the figures of the table above.",
        ),
    ]
    table = Table("Precision, recall and F1 by class", columns, rows, columns[1:])
    return Section("Scores by class", tables=(table,), pictures=pictures)


def calibration(folder: Path, m: Evaluation) -> Section:
    """Shows the calibration."""
    text = [f"Expected calibration error (ECE) {m.ece:.3f}; 0 is best."]
    if m.temperature:
        text.append(
            f"With the temperature {m.temperature:.3f}, fitted on validation speakers, it would "
            f"be {m.ece_calibrated:.3f}."
        )
    lines = [m.certain()] if m.threshold is not None else []
    lines += [m.without_speech()] if m.speechless else []
    text += [f"{line[0].upper()}{line[1:]}." for line in lines]
    form = "confidence {confidence:.2f}, accuracy {accuracy:.2f} ({clips} clips)"
    bins = [form.format(**each) for each in m.calibration if each["clips"]]
    shown = picture(
        folder / "reliability",
        "Accuracy over confidence.",
        f"Reliability diagram: {'; '.join(bins)}.",
    )
    return Section("Calibration", text, pictures=shown)


def groups(folder: Path, m: Evaluation) -> Section | None:
    """Shows the UAR of subgroups, with the largest gaps; None without any."""
    if not m.groups:
        return None
    text = [
        f"{sentence(attribute, compared)}."
        for attribute, compared in m.groups.items()
        if len(compared["groups"]) > 1
    ]
    parts = [
        f"{attribute} {name} {score['uar']:.3f}"
        for attribute, compared in m.groups.items()
        for name, score in ends(compared)
    ]
    shown = picture(
        folder / "groups", "UAR of each group of clips.", f"UAR by group: {'; '.join(parts)}."
    )
    return Section("Subgroups", text, pictures=shown)


def robustness(folder: Path, m: Evaluation) -> Section | None:
    """Shows the UAR under disturbances."""
    rows = [
        (
            row["kind"],
            _LEVELS[row["kind"]].format(
                row["level"] if isinstance(row["level"], str) else f"{row['level']:g}"
            ),
            f"{row['uar']:.3f}",
            f"{row['war']:.3f}",
        )
        for row in m.robustness or ()
    ]
    if not rows:
        return None
    rows = [("undisturbed", "", f"{m.uar:.3f}", f"{m.war:.3f}"), *rows]
    columns = ("disturbance", "level", "UAR", "WAR")
    shown = picture(
        folder / "robustness",
        "UAR over the strength of each disturbance.",
        "Curves of UAR over the strength of each disturbance, with the figures of the table above.",
    )
    table = Table("UAR and WAR of disturbed clips", columns, rows, columns[2:], (0,))
    return Section("Robustness", tables=(table,), pictures=shown)


def reasons(run: Run) -> Section | None:
    """Shows what `completion.explain` left in a run's folder."""
    folder, text, pictures, films = run.folder / "explained", [], [], []
    for part in ("tests", "wrong", "right"):
        path = folder / part / "explanation.json"
        if not path.is_file():
            continue
        explanation = read_json(path)
        parts = ", ".join(f"{name} {share:+.3f}" for name, share in explanation["shares"].items())
        error = explanation.get("shap_error")
        error = "" if error is None else f"; completeness error at most {error:.2%}"
        if part == "tests":
            said = [
                f"{kind} {'undefined' if share is None else f'{share:.3f}'}"
                for kind, share in explanation["silhouette"].items()
            ]
            text.append(
                f"The test clips in the layer before the logits: silhouette by {', by '.join(said)}"
                + _IDENTITY * ("speaker" in explanation["silhouette"])
                + "."
            )
            text.append(
                f"Mean share of each modality in the logit, "
                f"against {explanation['baseline']}: {parts}."
            )
            alternative = {
                "embedding": f"t-SNE of the layer before the logits, by {', by '.join(said)}.",
                "shares": f"Mean share of each modality by class; over all {parts}.",
                "shap": f"SHAP values of {explanation.get('shap_clips')} clips, the largest first"
                f"{error}.",
            }
        else:
            clip = f"{explanation['title']}. Most confidently {part}"
            text.append(
                f"{clip}: integrated gradients, {explanation['steps']} steps, completeness error "
                f"{explanation['completeness_error']:.2%}."
            )
            alternative = {
                "mfcc": f"{clip}: the MFCC map, and the attribution of each value.",
                "frames": f"{clip}: orange regions support the class, blue regions oppose it.",
                "attention": f"{clip}: attention of each modality to the other.",
                "shap": f"{clip}: SHAP values, the largest attributions{error}.",
            }
            video = folder / part / "heat.mp4"
            if video.is_file():
                sound = video if media.probe(video).audio else None
                shown = Clip(f"{explanation['clip']}, with heat", "", "", audio=sound, video=video)
                films.append(player(shown, "both", alternative["frames"]))
        for name, caption in alternative.items():
            alt = f"{caption} Shares: {parts}."
            pictures += picture(folder / part / name, caption, alt, chart=name != "frames")
    return Section("Explanations", text, pictures=pictures, clips=films) if text else None


def wrong(m: Evaluation, clips: dict[str, Clip]) -> Section | None:
    """Plays the ten clips most confidently wrong: those of `clips`, a dict by id."""
    worst, players, lacking = surest(m.predictions, m.labels)[:_WORST], [], 0
    for row in worst.to_dict("records"):
        predicted, label = row["predicted"], row["label"]
        said = f"Predicted {predicted}, {row[predicted]:.0%}; true label {label}, {row[label]:.0%}."
        try:
            players.append(player(clips[row["id"]], m.modality, said))
        except (KeyError, FileNotFoundError, MediaError):
            players.append(Player(row["id"], said))
        lacking += players[-1].source is None
    text = [f"The {len(players)} most confident mistakes among {m.clips} clips."]
    if lacking:
        text.append(f"{lacking} cannot be played: their media is missing.")
    return Section("Most confident mistakes", text, clips=players) if players else None


def _number(value):
    return "n/a" if value is None else f"{value:.3f}"
