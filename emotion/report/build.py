"""Builds the HTML report of a run, of the folds of a protocol, or of a comparison.

Every figure is one of metrics.json, run.json, history.csv or comparison.csv.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from emotion.data.corpora import crema_d, ravdess
from emotion.data.corpora.images import named
from emotion.evaluation.results import Evaluation
from emotion.experiments.summary import spread
from emotion.report import sections
from emotion.report.page import Section, Table, html, picture
from emotion.report.sections import SENSES

if TYPE_CHECKING:
    from emotion.clip import Clip
    from emotion.data.protocol import Result
    from emotion.run import Run

LIMITS = (
    "The label of a clip is what an actor was asked to play, or, where the label target is crowd, "
    "what most raters perceived, or, for found images (annotated), what an annotator saw. None of "
    "these is what a person feels, and no face or voice tells that.",
    "The figures hold for recordings like these. With other cameras, rooms, languages, ages, "
    "accents and cultures they are unknown and likely lower; between groups of people they differ "
    "already here.",
    "It must not be used to judge people: not to hire, grade, insure, treat, police or admit them, "
    "nor to watch them at work or in class, where the European Union forbids inferring emotions "
    "(Regulation (EU) 2024/1689, Article 5(1)(f)). People who are recorded must know it.",
)


def of_run(folder: Path, runs: list[Run], clips: dict[str, Clip], command: str) -> str:
    """Returns the page of a run, or of the folds of a protocol, as a str.

    Args:
        folder: Path with metrics.json, predictions.csv and pictures; `explained` within the first
            of the runs is shown where it is there.
        runs: list of run.Run, one or one a fold.
        clips: dict of id to Clip, those whose media exists.
        command: str, what made the page.
    """
    measured = Evaluation.read(folder)
    preset, modality = runs[0].preset, measured.modality
    parts = [
        sections.training(runs, measured),
        sections.classes(folder, measured),
        sections.calibration(folder, measured),
        sections.groups(folder, measured),
        sections.robustness(folder, measured),
        sections.reasons(runs[0]),
        sections.wrong(measured, clips),
        _published([(preset.name, modality, measured.score("war"))], measured),
        Section("What it must not be used for", LIMITS),
        _made(runs[0].record, command),
    ]
    people = named(measured.speakers)
    met = "some of them trained on" if measured.warning else "none of them trained on"
    return html(
        f"{preset.name}, {SENSES[modality]}",
        f"Tested on {measured.clips} clips of {people}, {met}. "
        f"Protocol {measured.protocol}, {_folds(measured.folds or [measured.fold])}.",
        [part for part in parts if part],
        _numbers(measured),
        [measured.warning] if measured.warning else [],
    )


def of_comparison(folder: Path, runs: list[Run], command: str) -> str:
    """Returns the page of a comparison as a str.

    Args:
        folder: Path with comparison.csv, comparison.md and the picture.
        runs: list of run.Run, those compared.
        command: str, what made the page.
    """
    table = pd.read_csv(folder / "comparison.csv")
    columns = {"uar": "UAR", "war": "WAR", "top_5": "top-5", "loss": "loss"}
    shown = [name for name in columns if name in table]  # an older table has no loss
    *notes, _ = (folder / "comparison.md").read_text(encoding="utf-8").strip().split("\n\n")[1:]
    record, tested = runs[0].record, sorted({run.record.fold for run in runs})
    scored = Evaluation.read(min(folder.glob("*/*/metrics.json")).parent)  # they share conditions
    rows = [
        (
            f"{row.preset}, {row.modality}",
            *(spread(row, name) for name in shown),
            f"{row.trainable_parameters:,}".replace(",", " "),
            f"{row.training_clips_per_second:.1f}",
            f"{row.window_ms:.1f}",
            str(row.runs),
        )
        for row in table.itertuples()
    ]
    columns = ("preset, modality", *(columns[name] for name in shown), "trainable parameters")
    columns += ("training clips/s", "ms a window", "runs")
    rows_named = [f"{row[0]} {row[1]}" for row in rows]
    parts = [
        Section(
            "Results",
            tables=(Table("Mean ± deviation over runs", columns, rows, columns[1:]),),
            pictures=picture(
                folder / "comparison", "UAR of each row.", f"Bars of UAR: {'; '.join(rows_named)}."
            ),
        ),
        Section("Data and protocol", tuple(notes)),
        _published(
            [(row.preset, row.modality, row.war) for row in table.itertuples()],
            replace(scored, folds=dict.fromkeys(map(str, tested))),
        ),
        Section("What these models must not be used for", LIMITS),
        _made(record, command),
    ]
    return html(
        "Models compared",
        f"Protocol {record.protocol}, {_folds(tested)}.",
        [part for part in parts if part],
        warnings=[record.warning] if record.warning else [],
    )


def _numbers(m):
    def number(title, name, note):
        if name in m.means:
            spread = f"mean over folds, ± {m.stds[name]:.3f}"
            note = f"{spread}; of all clips {getattr(m, name):.3f}, {note}"
        return title, f"{m.score(name):.3f}", note

    held = {
        name: f"95 % interval over speakers {interval[0]:.3f} to {interval[1]:.3f}"
        if interval
        else "one speaker"
        for name, interval in m.intervals.items()
        if name in ("uar", "war")
    }
    tops = [k for k in (2, 3, 5) if getattr(m, f"top_{k}") is not None]
    loss = m.loss is not None  # an older metrics.json has none, nor have all scores
    return [
        number("UAR", "uar", f"{held['uar']}; chance {1 / len(m.labels):.3f}"),
        number("WAR", "war", held["war"]),
        number("macro F1", "macro_f1", "mean over classes"),
        *(number(f"top-{k}", f"top_{k}", f"among the {k} most probable") for k in tops),
        *([number("test loss", "loss", "cross-entropy; 0 is best")] if loss else []),
        ("ECE", f"{m.ece:.3f}", "of all clips; 0 is best"),
    ]


def published(m: Evaluation) -> list[Result]:
    """Lists what is published on the task that an evaluation was of.

    Args:
        m: Evaluation.

    Returns:
        List of protocol.Result, those with the same folds first. All are of speech, with all
        classes of the corpus and intended labels: empty where one of these is otherwise, for then
        no number can be compared.

    >>> measured = Evaluation(labels=list("abcdef"), label_target="intended", groups={})
    >>> [item.system for item in published(replace(measured, protocol="cremad-5fold"))][:2]
    ['HiCMAE', 'VAVL']
    """
    corpora = [corpus for corpus in (ravdess, crema_d) if m.protocol in corpus.PROTOCOLS]
    channels = m.groups.get("channel", {"groups": ()})["groups"]
    for corpus in corpora:
        alike = len(m.labels) == len(corpus.LABELS) and m.label_target == "intended"
        if alike and not {*channels} - {"speech"}:
            return sorted(corpus.PUBLISHED, key=lambda result: result.protocol != m.protocol)
    return []


def _published(measured, m):
    """Adds the (preset, modality, WAR) of this page to the published results on the same task."""
    results = published(m)
    if not results:
        return None
    columns = ("system", "modalities", "WAR, %", "folds", "conditions", "source")
    folds = _folds(m.folds or [m.fold])
    over = "mean over " if len(m.folds or ()) > 1 else ""
    rows = [
        (name, SENSES[modality], f"{100 * war:.1f}", f"{m.protocol}, {over}{folds}")
        + ("the speakers in the data", "this page")
        for name, modality, war in measured
    ]
    rows += [
        (result.system, SENSES[result.modality], f"{result.war:g}", result.protocol or "other")
        + (result.conditions, result.source)
        for result in results
    ]
    text = (
        "No system of the table was trained on its test speakers, nor adapted to them. Only rows "
        "with the same folds and the same modalities compare like with like.",
    )
    table = Table("Published results", columns, rows, ("WAR, %",), tuple(range(len(measured))))
    return Section("Comparison with published results", text, tables=(table,))


def _made(record, command):
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    return Section("How it was made", facts=(("Command", command), ("Versions", versions)))


def _folds(numbers):
    return f"fold{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
