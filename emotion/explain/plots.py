"""Plots of explanations (PNG and SVG), and a video with attributions over the face.

Orange speaks for the class, blue against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from emotion import media, plotting
from emotion.plotting import BLUE, COLOURS, GREY, MODALITIES, ORANGE, save, styled

if TYPE_CHECKING:
    from emotion.clip import Arrays

_MARKERS = "os^Dv*"
_AGAINST_FOR = LinearSegmentedColormap.from_list("against_for", (BLUE, "white", ORANGE))
_LOW_HIGH = LinearSegmentedColormap.from_list("low_high", (BLUE, "#BBBBBB", ORANGE))
_ROW = 10  # frames
_SHOWN = 20  # named values
_SIDE = 448  # pixels of a face in a video
_COLUMN, _LISTED = 24, 96  # names of a legend: in a column, in all


def heat(values: np.ndarray) -> np.ndarray:
    """Turns attributions of frames into what is drawn: smoothed, and scaled to what is strongest.

    Args:
        values: float array (t, h, w, 3).

    Returns:
        float32 array (t, h, w) in [-1, 1]; negative where a pixel speaks against the class.
    """
    sums = values.sum(axis=3)
    sigma = values.shape[2] / 40  # single pixels cannot be seen, and mean little
    smooth = np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in sums])
    strongest = max(np.quantile(np.abs(smooth), 0.995), np.finfo(np.float32).tiny)
    return np.clip(smooth / strongest, -1, 1).astype(np.float32)


def overlay(frames: np.ndarray, warmth: np.ndarray) -> np.ndarray:
    """Draws heat over frames.

    Args:
        frames: uint8 array (t, h, w, 3), RGB.
        warmth: float32 array (t, h, w) in [-1, 1], of `heat`.

    Returns:
        uint8 array (t, h, w, 3): the frame in grey, coloured as strongly as the heat is.
    """
    grey = frames.mean(axis=3, keepdims=True)
    strength = 0.85 * np.abs(warmth)[..., None]
    colour = np.where(warmth[..., None] > 0, _rgb(ORANGE), _rgb(BLUE))
    return np.round(grey * (1 - strength) + colour * strength).astype(np.uint8)


@styled
def mfcc(
    coefficients: np.ndarray, values: np.ndarray, span: tuple[float, float], title: str, path: Path
) -> None:
    """Draws an MFCC map, and beside it what each of its values adds to the logit.

    Args:
        coefficients, values: float arrays (c, t).
        span: (start, end), seconds.
        title: str.
        path: Path without a suffix.
    """
    count = len(coefficients)
    figure = Figure(figsize=(11, 1.6 + 0.115 * max(count, 20)))
    (left, right) = figure.subplots(1, 2, sharey=True)
    centred = coefficients - coefficients.mean(axis=1, keepdims=True)
    shown = centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6)
    extent = (*span, count - 0.5, -0.5)
    for axes, image, text, label in (
        (left, shown, "MFCC", "deviations from the coefficient's mean"),
        (right, values, "what it adds to the logit", "against the class, for the class"),
    ):
        limit = max(np.quantile(np.abs(image), 0.995), np.finfo(np.float32).tiny)
        colours = _AGAINST_FOR if axes is right else "Greys"
        drawn = axes.imshow(
            image, aspect="auto", extent=extent, cmap=colours, vmin=-limit, vmax=limit
        )
        axes.set(title=text, xlabel="time in seconds")
        figure.colorbar(drawn, label=label)
    left.set_yticks(range(count), [f"mfcc_{index}" for index in range(count)], fontsize=6)
    save(figure, path, title)


@styled
def strip(pictures: np.ndarray, times: np.ndarray, title: str, path: Path) -> None:
    """Draws frames in rows, each under its time.

    Args:
        pictures: uint8 array (t, h, w, 3), of `overlay`.
        times: float array (t,), seconds.
        title: str.
        path: Path without a suffix.
    """
    rows = -(-len(pictures) // _ROW)
    columns = min(len(pictures), _ROW)
    figure = Figure(figsize=(max(1.25 * columns, 7), 1.55 * rows + 0.9))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, picture, time in zip(grid.flat, pictures, times):
        axes.imshow(picture)
        axes.set_title(f"{time:.2f} s", fontsize=9)
    patches = [Rectangle((0, 0), 1, 1, color=colour) for colour in (ORANGE, BLUE)]
    names = ("for the class", "against it")
    figure.legend(patches, names, ncols=2, loc="outside lower center")
    save(figure, path, title)


def video(
    frames: np.ndarray,
    warmth: np.ndarray,
    times: np.ndarray,
    duration: float,
    sound: tuple[np.ndarray, int] | None,
    path: Path,
) -> None:
    """Writes the frames beside themselves with heat, at real pace; at each time the nearest one.

    Args:
        frames: uint8 array (t, h, w, 3), RGB.
        warmth: float32 array (t, h, w), of `heat`.
        times: float array (t,), seconds of each frame.
        duration: float, seconds.
        sound: (samples, sample_rate), or None.
        path: Path of the mp4.
    """
    rate, size, smooth = Fraction(25), (_SIDE, _SIDE), cv2.INTER_CUBIC
    pairs = [
        np.hstack([cv2.resize(image, size, interpolation=smooth) for image in (frame, hot)])
        for frame, hot in zip(frames, overlay(frames, warmth))
    ]
    with media.VideoWriter(path, rate=rate, sound=sound) as writer:
        for index in range(max(1, round(duration * rate))):
            time = float(index / rate)
            writer.write(pairs[int(np.argmin(np.abs(times - time)))], time)


@styled
def attention(maps: dict, extents: dict, title: str, path: Path) -> None:
    """Draws attention maps, time by time.

    Args:
        maps: dict of (who asks, whose steps) to float array (q, k), of `explain.attention`.
        extents: dict of modality to (start, end) in seconds, what its steps cover.
        title: str.
        path: Path without a suffix.
    """
    figure = Figure(figsize=(6 * len(maps), 4.6))
    grid = figure.subplots(1, len(maps))
    for axes, ((asks, looks), weights) in zip(np.atleast_1d(grid), maps.items()):
        extent = (*extents[looks], *extents[asks][::-1])
        drawn = axes.imshow(weights, aspect="auto", extent=extent, cmap="Blues", vmin=0)
        axes.set(
            title=f"{asks} looks at {looks}",
            xlabel=f"time of the {looks} in seconds",
            ylabel=f"time of the {asks} in seconds",
        )
        figure.colorbar(drawn, label="attention, a row sums to 1")
    save(figure, path, title)


@styled
def summary(
    values: np.ndarray, vectors: np.ndarray, names: Sequence[str], title: str, path: Path
) -> None:
    """Draws the named values that matter most, a row each: a point for each clip, or a bar for one.

    Args:
        values: float array (clips, n), SHAP values.
        vectors: float array (clips, n), what they were computed of.
        names: list of str (n,).
        title: str.
        path: Path without a suffix.
    """
    order = np.argsort(-np.abs(values).mean(axis=0))[:_SHOWN]
    figure = Figure(figsize=(8, 1.4 + 0.26 * len(order)))
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.8)
    if len(vectors) == 1:
        colours = [ORANGE if value > 0 else BLUE for value in values[0, order]]
        axes.barh(range(len(order)), values[0, order], color=colours)
    else:
        width = np.ptp(values[:, order])
        for row, index in enumerate(order):
            ranks = np.argsort(np.argsort(vectors[:, index])) / (len(vectors) - 1)
            across, beside = values[:, index], row + _spread(values[:, index], width)
            drawn = axes.scatter(
                across, beside, s=12, c=ranks, cmap=_LOW_HIGH, vmin=0, vmax=1, linewidths=0
            )
        bar = figure.colorbar(drawn, label="rank of the value among the clips", ticks=(0, 1))
        bar.set_ticklabels(("lowest", "highest"))
    axes.set_yticks(range(len(order)), [names[index] for index in order])
    axes.invert_yaxis()
    axes.set(xlabel="SHAP value: what it adds to the logit of the class")
    save(figure, path, title)


@styled
def shares(
    parts: Arrays, classes: Sequence[str], labels: Sequence[str], title: str, path: Path
) -> None:
    """Draws what each modality adds to the logit of the class that is explained, by class.

    Args:
        parts: dict of modality to float array (clips,), of `explain.shares`.
        classes: list of str (clips,), the class that is explained of each.
        labels: tuple of str.
        title: str.
        path: Path without a suffix.
    """
    present = [label for label in labels if label in classes]
    figure = Figure(figsize=(8, 1.6 + 0.5 * len(present)))
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.8)
    for place, (name, values) in enumerate(parts.items()):
        rows = np.arange(len(present)) + 0.36 * (place - (len(parts) - 1) / 2)
        means = [np.mean(values[np.array(classes) == label]) for label in present]
        axes.barh(rows, means, 0.34, color=MODALITIES[name], label=name)
    counts = [f"{label} ({np.sum(np.array(classes) == label)})" for label in present]
    axes.set_yticks(range(len(present)), counts)
    axes.invert_yaxis()
    axes.set(xlabel="mean of what it adds to the logit", ylabel="explained class (clips)")
    figure.legend(ncols=2, loc="outside lower center")
    save(figure, path, title)


@styled
def embedding(positions: np.ndarray, groups: dict[str, tuple], title: str, path: Path) -> None:
    """Draws points of a plane once for each grouping, side by side, coloured by it.

    Args:
        positions: float array (n, 2), of `explain.project`.
        groups: dict of name, such as emotion, to (names (n,), silhouette).
        title: str.
        path: Path without a suffix.
    """
    lists = [sorted(set(names)) for names, _ in groups.values()]
    columns = [-(-min(len(members), _LISTED) // _COLUMN) for members in lists]
    legends = [c * (0.6 + 0.065 * max(map(len, members))) for c, members in zip(columns, lists)]
    figure = Figure(figsize=(4.4 * len(groups) + sum(legends), 5))
    grid = figure.subplots(1, len(groups))
    for axes, (kind, (names, value)), members, ncols in zip(
        np.atleast_1d(grid), groups.items(), lists, columns
    ):
        colours = [COLOURS[index % len(COLOURS)] for index in range(len(members))]
        each = len(COLOURS)  # so many share a marker
        if kind == "emotion":
            colours, each = [colour for colour, _ in plotting.looks(tuple(members))], 1
        for index, name in enumerate(members):
            some = np.array(names) == name
            axes.scatter(
                *positions[some].T,
                color=colours[index],
                marker=_MARKERS[index // each % len(_MARKERS)],
                s=22,
                label=name if index < _LISTED else None,
                linewidths=0,
            )
        text = "undefined" if np.isnan(value) else f"{value:.2f}"
        axes.set(title=f"by {kind}: silhouette {text}", xticks=(), yticks=())
        more = f"{_LISTED} of {len(members)}" if len(members) > _LISTED else None
        place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
        axes.legend(**place, fontsize=8, ncols=ncols, title=more)
    save(figure, path, title)


def _spread(values, width):
    """Offsets that lay points of nearly the same value beside one another, in [-0.38, 0.38]."""
    bins = np.round(values / max(width / 80, 1e-12))
    offsets = np.zeros(len(values))
    for bin_ in set(bins):
        some = np.flatnonzero(bins == bin_)
        offsets[some] = np.linspace(-1, 1, len(some)) * min(0.38, 0.05 * (len(some) - 1))
    return offsets


def _rgb(colour):
    return np.array([int(colour[index : index + 2], 16) for index in (1, 3, 5)], np.float32)
