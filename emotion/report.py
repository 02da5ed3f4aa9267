"""Report: the pictures of a run."""

import os

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend first: there may be no display)

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#666666"  # Okabe & Ito 2008, colour-blind safe


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
        title=f"UAR {measured['uar']:.3f}, {measured['clips']} clips, {measured['protocol']}",
    )
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    _save(figure, folder / "confusion.png")


def _save(figure, path):
    part = path.with_name(path.stem + ".part.png")
    figure.savefig(part, dpi=150)
    plt.close(figure)
    os.replace(part, path)
