"""Plots of metrics.json and history.csv, as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emotion import plotting
from emotion.files import read_csv
from emotion.metrics.subgroups import ends
from emotion.plotting import BLUE, COLOURS, GREY, MODALITIES, ORANGE, save, styled

if TYPE_CHECKING:
    from emotion.evaluation.results import Evaluation

# Kind of disturbance to the title and the axis of its curve; the axis runs from weak to strong.
_DISTURBED = {
    "noise": ("noise in the sound", "signal-to-noise ratio, dB"),
    "darkness": ("darkness on the face", "gain"),
    "blur": ("blur of the face", "standard deviation, pixels"),
}


def draw(measured: Evaluation, folder: Path) -> None:
    """Draws all plots of an evaluation.

    Args:
        measured: Evaluation.
        folder: Path; each picture is named as its function, PNG and SVG.
    """
    for picture in (confusion, recall, reliability):
        picture(measured, folder)
    if measured.groups:
        groups(measured, folder)
    if measured.robustness:
        robustness(measured, folder)


@styled
def curves(folder: Path) -> None:
    """Draws loss, UAR and learning rate over epochs into curves.png of a run folder.

    Args:
        folder: Path that holds history.csv.
    """
    history = read_csv(folder / "history.csv")
    best = history.iloc[history["val_uar"].argmax()]
    figure = Figure(figsize=(12, 3.4))
    (left, middle, right) = figure.subplots(1, 3)
    for axes, name, title in ((left, "loss", "Loss"), (middle, "uar", "UAR")):
        axes.plot(history["epoch"], history[name], color=BLUE, label="training")
        axes.plot(history["epoch"], history[f"val_{name}"], color=ORANGE, label="validation")
        axes.axvline(best["epoch"], color=GREY, linestyle=":", label="best")
        axes.set(title=title, xlabel="epoch")
        axes.legend()
    right.semilogy(history["epoch"], history["learning_rate"], color=BLUE)
    right.set(title="Learning rate", xlabel="epoch")
    save(figure, folder / "curves")


@styled
def confusion(measured: Evaluation, folder: Path) -> None:
    """Draws row shares and counts.

    Args:
        measured: Evaluation.
        folder: Path.
    """
    counts, labels = np.array(measured.confusion), measured.labels
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.62 * len(labels)
    figure = Figure(figsize=(side + 0.8, side))
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            f"{share:.0%}\n{counts[row, column]}",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if share > 0.55 else "black",
        )
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel="predicted", ylabel="true", title=_headline(measured))
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    save(figure, folder / "confusion")


@styled
def recall(measured: Evaluation, folder: Path) -> None:
    """Draws the recall of each class that has clips, with its interval.

    Args:
        measured, folder: as `confusion`.
    """
    counts, looks = np.sum(measured.confusion, axis=1), plotting.looks(tuple(measured.labels))
    shown = zip(measured.labels, counts, looks)
    rows = [(name, clips, colour) for name, clips, (colour, _) in shown if clips]
    figure = Figure(figsize=(6.5, 1.6 + 0.36 * len(rows)))
    axes = figure.subplots()
    for row, (name, _, colour) in enumerate(rows):
        value, interval = measured.recall[name], measured.intervals["recall"][name]
        axes.barh(row, value, height=0.7, color=colour)
        axes.plot(interval or [], [row] * len(interval or []), color="black", linewidth=2)
        axes.plot(value, row, "o", color="black")
    axes.axvline(measured.uar, color=GREY, linestyle="--", label="UAR")
    _chance(axes.axvline, measured)
    axes.set_yticks(range(len(rows)), [f"{name} ({clips})" for name, clips, _ in rows])
    axes.invert_yaxis()
    level = f"line: {measured.intervals['level']:.0%} interval over speakers"
    axes.set(xlim=(0, 1.02), xlabel=f"recall ({level})", ylabel="class (clips)")
    axes.set_title(_headline(measured))
    figure.legend(loc="outside lower right", ncols=2)
    save(figure, folder / "recall")


@styled
def reliability(measured: Evaluation, folder: Path) -> None:
    """Draws accuracy over confidence, and how many clips have it, before and after a temperature.

    Args:
        measured, folder: as `confusion`.
    """
    shown = [(measured.calibration, measured.ece, BLUE, "o", "as it is")]
    if measured.temperature:
        after = measured.calibration_after, measured.ece_calibrated
        shown.append((*after, ORANGE, "s", f"temperature {measured.temperature:.2f}"))
    figure = Figure(figsize=(5.2, 6))
    (upper, lower) = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect calibration")
    for bins, error, colour, marker, name in shown:
        filled = [bin_ for bin_ in bins if bin_["clips"]]
        sure, right = ([bin_[k] for bin_ in filled] for k in ("confidence", "accuracy"))
        label = f"{name}: ECE {error:.3f}"
        upper.plot(sure, right, f"{marker}-", color=colour, label=label, markersize=5)
        edges = np.linspace(0, 1, len(bins) + 1)
        lower.stairs([bin_["clips"] for bin_ in bins], edges, color=colour, linewidth=1.5)
    upper.set(ylim=(-0.02, 1.02), ylabel="accuracy", title=_headline(measured))
    upper.legend(loc="upper left")
    lower.set(xlim=(0, 1), xlabel="confidence", ylabel="clips")
    save(figure, folder / "reliability")


@styled
def robustness(measured: Evaluation, folder: Path) -> None:
    """Draws UAR over the level of each disturbance, beside that of the clips as they are.

    Args:
        measured, folder: as `confusion`; `robustness` has rows.
    """
    rows = pd.DataFrame(measured.robustness)
    kinds = list(rows["kind"].unique())
    figure = Figure(figsize=(1.2 + 2.9 * len(kinds), 3.6))
    several = figure.subplots(1, len(kinds), sharey=True, squeeze=False)
    for axes, kind in zip(several[0], kinds):
        part = rows[rows["kind"] == kind]
        place = range(len(part))
        undisturbed = axes.axhline(measured.uar, color=GREY, linestyle="--")
        chance = _chance(axes.axhline, measured)
        if kind == "without":
            axes.bar(
                place,
                part["uar"],
                color=[MODALITIES[modality] for modality in part["level"]],
                width=0.5,
            )
            axes.set_xticks(place, [f"without {modality}" for modality in part["level"]])
            axes.set(title="a modality missing", xlim=(-0.6, len(part) - 0.4))
        else:
            title, axis = _DISTURBED[kind]
            colour = BLUE if kind == "noise" else ORANGE
            axes.plot(place, part["uar"], "o-", color=colour)
            axes.set_xticks(place, [f"{modality:g}" for modality in part["level"]])
            axes.set(title=title, xlabel=axis, xlim=(-0.3, len(part) - 0.7))
    several[0][0].set(ylim=(0, 1), ylabel="UAR")
    names = [f"undisturbed, {measured.uar:.3f}", "chance"]
    figure.legend([undisturbed, chance], names, loc="outside lower center", ncols=2)
    save(figure, folder / "robustness")


@styled
def groups(measured: Evaluation, folder: Path) -> None:
    """Draws the UAR of groups of clips: by speaker, sex and what else the corpus tells.

    Args:
        measured, folder: as `confusion`.
    """
    rows = [
        (
            f"{attribute} {_short(name)} ({score['clips']})",
            score["uar"],
            bool(score["lacks"]),
            place,
        )
        for place, (attribute, compared) in enumerate(measured.groups.items())
        for name, score in ends(compared)
    ]
    heights = [row + 0.8 * place for row, (*_, place) in enumerate(rows)]
    figure = Figure(figsize=(6.5, 1.7 + 0.19 * (heights[-1] + 1)))
    axes = figure.subplots()
    for height, (_, value, lacks, place) in zip(heights, rows):
        colour = COLOURS[place]
        axes.plot(value, height, "o", color=colour, fillstyle="none" if lacks else "full")
    axes.axvline(measured.uar, color=GREY, linestyle="--", label="all clips")
    _chance(axes.axvline, measured)
    axes.set_yticks(heights, [name for name, *_ in rows], fontsize=8)
    axes.set(xlim=(0, 1.02), ylim=(heights[-1] + 0.8, -0.8), title=_headline(measured))
    hollow = "\nhollow: a class is lacking" if any(lacks for *_, lacks, _ in rows) else ""
    many = "".join(
        f"\nof {len(compared['groups'])} by {attribute}: the lowest, and the highest"
        for attribute, compared in measured.groups.items()
        if len(ends(compared)) < len(compared["groups"])
    )
    axes.set(xlabel=f"UAR{hollow}{many}", ylabel="group (clips)")
    axes.grid(axis="y", linewidth=0.3)
    figure.legend(loc="outside lower right", ncols=2)
    save(figure, folder / "groups")


@styled
def comparison(table: pd.DataFrame, chance: float, title: str, folder: Path) -> None:
    """Draws the UAR of each row of a comparison as a bar with its deviation.

    Args:
        table: pandas.DataFrame with preset, modality, uar, uar_std and runs, in the order shown.
        chance: float, the UAR of guessing, drawn as a line.
        title: str.
        folder: Path.
    """
    figure = Figure(figsize=(9, 1.4 + 0.34 * len(table)))
    axes = figure.subplots()
    for modality, colour in MODALITIES.items():
        rows = np.flatnonzero(table["modality"] == modality)
        if len(rows):
            part = table.iloc[rows]
            axes.barh(
                rows,
                part["uar"],
                xerr=part["uar_std"],
                capsize=3,
                ecolor="black",
                color=colour,
                label=modality,
            )
    for row, (value, spread) in enumerate(zip(table["uar"], table["uar_std"])):
        axes.text(value + spread + 0.012, row, f"{value:.3f}", va="center", fontsize=8)
    axes.axvline(chance, color=GREY, linestyle=":", label="chance")
    names = [f"{row.preset}, {row.modality}" for row in table.itertuples()]
    axes.set_yticks(range(len(table)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.08), xlabel="UAR of the test clips", title=title)
    figure.legend(loc="outside right upper")
    save(figure, folder / "comparison")


def _short(name):
    return name if len(name) <= 30 else f"{name[:29]}…"


def _headline(measured):
    clips, protocol = measured.clips, measured.protocol
    return f"UAR {measured.text('uar')}, {clips} clips, {protocol}"


def _chance(line, measured):
    return line(1 / len(measured.labels), color=GREY, linestyle=":", label="chance")
