"""Report: the pictures and the scores of a run, and the picture of several."""

import os

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend first: there may be no display)

from emotion import evaluation  # noqa: E402

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#666666"  # Okabe & Ito 2008, colour-blind safe
_COLOURS = {"audio": _BLUE, "video": _ORANGE, "both": "#009E73"}


def complete(run, clips, load, pool=None):
    """Scores a run that is trained, and writes all that belongs into its folder beside the model.

    metrics.json is the last: where it is, the run is complete.

    Args:
        run: run.Run.
        clips: list of Clip, the test clips.
        load: function of a Clip that returns its Signal.
        pool: workers.Pool, or None to make batches in this process.

    Returns:
        evaluation.Report.

    Raises:
        ValueError: as `evaluation.evaluate`.
    """
    scored = evaluation.evaluate(run, clips, load, pool)
    curves(run.folder)
    confusion(scored.metrics, run.folder)
    evaluation.save(scored, run.folder)
    return scored


def curves(folder):
    """Draws loss, UAR and learning rate over epochs into curves.png of a run folder.

    Args:
        folder: Path that holds history.csv.
    """
    history = pd.read_csv(folder / "history.csv")
    best = history["val_uar"].idxmax()
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    for axes, name, title in ((left, "loss", "Loss"), (middle, "uar", "UAR")):
        axes.plot(history["epoch"], history[name], color=_BLUE, label="training")
        axes.plot(history["epoch"], history[f"val_{name}"], color=_ORANGE, label="validation")
        axes.axvline(history["epoch"][best], color=_GREY, linestyle=":", label="best")
        axes.set(title=title, xlabel="epoch")
        axes.legend(frameon=False)
    right.semilogy(history["epoch"], history["learning_rate"], color=_BLUE)
    right.set(title="Learning rate", xlabel="epoch")
    _save(figure, folder / "curves.png")


def confusion(measured, folder):
    """Draws row shares and counts into confusion.png of a run folder.

    Args:
        measured: dict, the metrics of an evaluation.Report.
        folder: Path.
    """
    counts, labels = np.array(measured["confusion"]), measured["labels"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.62 * len(labels)
    figure, axes = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
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
    axes.set(
        xlabel="predicted",
        ylabel="true",
        title=f"UAR {evaluation.told(measured, 'uar')}, {measured['clips']} clips, "
        f"{measured['protocol']}",
    )
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    _save(figure, folder / "confusion.png")


def comparison(table, chance, title, path):
    """Draws the UAR of each row of a comparison as a bar with its deviation.

    Args:
        table: pandas.DataFrame with preset, modality, uar, uar_std and runs, in the order shown.
        chance: float, the UAR of guessing, drawn as a line.
        title: str.
        path: Path of the PNG.
    """
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.34 * len(table)), layout="constrained")
    for modality, colour in _COLOURS.items():
        rows = np.flatnonzero(table["modality"] == modality)
        if len(rows):
            part = table.iloc[rows]
            error = {"xerr": part["uar_std"], "capsize": 3, "ecolor": "black"}
            axes.barh(rows, part["uar"], color=colour, label=modality, **error)
    for row, (value, spread) in enumerate(zip(table["uar"], table["uar_std"])):
        axes.text(value + spread + 0.012, row, f"{value:.3f}", va="center", fontsize=8)
    axes.axvline(chance, color=_GREY, linestyle=":", label="chance")
    names = [f"{row.preset}, {row.modality}" for row in table.itertuples()]
    axes.set_yticks(range(len(table)), names)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.08), xlabel="UAR of the test clips", title=title)
    figure.legend(frameon=False, loc="outside right upper")
    _save(figure, path)


def _save(figure, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.stem + ".part.png")
    figure.savefig(part, dpi=150)
    plt.close(figure)
    os.replace(part, path)
