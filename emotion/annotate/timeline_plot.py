"""Plots the probability of each emotion over a whole recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion import plotting
from emotion.annotate.predictions import whole
from emotion.clip import UNCERTAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from emotion.inference.timeline import Timeline

POINTS = 400  # from left to right at most; more windows than that are averaged
ROWS = 20  # the faces that are drawn at most: those that are there longest
BINS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)  # seconds
LONG = 120  # seconds, from which on the time is in minutes
PALE = "#D8D8D8"  # of what is uncertain
STRIP = 1.08, 0.16  # where the most probable classes are shown, above the lines


def check_picture(path: str | Path) -> None:
    """Raises ValueError unless `path` ends in .png or .svg."""
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"A timeline must end in .png or .svg. Received: {path}.")


@plotting.styled
def draw(timeline: Timeline, path: str | Path) -> None:
    """Draws a row of axes for each face, and one for the windows from sound alone.

    At most ROWS faces are drawn. Each row has a line for each class, and above these a strip of the
    most probable ones. Both are broken where the face is away. Windows without sound are marked
    below the lines. Of a long recording means over some seconds are drawn, and each class has a
    lane of its own, since lines would hide each other.

    Args:
        timeline: Timeline.
        path: str or Path ending in .png or .svg.

    Raises:
        ValueError: another suffix.
        MediaError: the file cannot be written.
    """
    check_picture(path)
    path = Path(path)
    with whole(path) as part:
        plot(timeline).savefig(part, dpi=150, format=path.suffix[1:].lower())


@plotting.styled
def plot(timeline: Timeline) -> Figure:
    """Returns the matplotlib.figure.Figure that `draw` saves."""
    from matplotlib.figure import Figure  # not above: most recordings have no plot
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    by_track = {}
    for prediction in timeline.predictions:
        by_track.setdefault(prediction.track, []).append(prediction)
    longest = sorted(by_track, key=lambda id: len(by_track[id]), reverse=True)[:ROWS]
    rows = sorted(longest, key=lambda id: (id is None, id or 0)) or [None]
    step, averaged = _step(timeline)
    named = 0.21 * len(timeline.labels)  # inches that their names need, beside lanes or in a legend
    high = max(1.9, 0.5 + named) if averaged else 1.9
    size = (11, max(1.3 + high * len(rows), 0.7 + named))
    figure = Figure(figsize=size)
    several = figure.subplots(len(rows), 1, sharex=True, squeeze=False)
    limit = max(timeline.duration, 0.1)
    for axes, id in zip(several[:, 0], rows):
        _row(axes, timeline.labels, by_track.get(id, []), step, averaged, limit)
        name = "no face" if id is None else f"face {id}"
        axes.set(ylabel=f"{name}\nprobability", ylim=(-0.08, sum(STRIP) + 0.02))
        ticks, names = (0, 0.5, 1), ("0", "0.5", "1")
        if averaged:
            ticks, names = _bases(timeline.labels), timeline.labels
        axes.hlines(ticks, 0, limit, color="#DDDDDD", linewidth=0.5, zorder=0)
        middle = 0.5 / len(names) if averaged else 0
        ticks = [tick + middle for tick in ticks]
        axes.set_yticks((*ticks, STRIP[0] + STRIP[1] / 2), (*names, "likeliest"), fontsize=8)
    note = f"; means over {step:g} s, a lane is as high as 1" if averaged else ""
    unit = "s"
    if limit > LONG:
        unit = "min:s"
        tick = next((tick for tick in BINS if limit / tick <= 12), 7200)
        axes.xaxis.set_major_locator(MultipleLocator(tick))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda time, _: f"{time // 60:.0f}:{time % 60:02.0f}")
        )
    axes.set(xlabel=f"middle of the window, {unit}{note}", xlim=(0, limit))
    drawn, every = (len([id for id in ids if id is not None]) for ids in (rows, by_track))
    left_out = f" ({drawn} of {every} faces)" if every > drawn else ""
    figure.suptitle(timeline.info.path.name + left_out)
    handles = {}  # each once, though all rows have it
    for axes in several[:, 0]:
        for handle, name in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(name, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", handlelength=3)  # type: ignore[call-overload]
    return figure


def _step(timeline):
    """Seconds from one point of a line to the next, and whether a point is the mean of windows."""
    starts = np.unique([float(prediction.start) for prediction in timeline.predictions])
    # The last window ends with the recording, so its step is shorter than the others.
    hop = np.diff(starts)[:-1].min(initial=np.inf)
    if timeline.duration / hop <= POINTS:
        return hop, False
    longest = max(hop, timeline.duration / POINTS)
    return next((width for width in BINS if width >= longest), BINS[-1]), True


def _row(axes, labels, predictions, step, averaged, limit):
    """Draws the predictions of one face."""
    middles = np.array([(prediction.start + prediction.end) / 2 for prediction in predictions])
    shares = np.array([prediction.probabilities for prediction in predictions]).reshape(
        -1, len(labels)
    )
    thresholds = np.array([prediction.threshold for prediction in predictions])
    if averaged:
        bins, indices = np.unique(middles // step, return_inverse=True)
        sums = np.zeros((len(bins), len(labels)))
        np.add.at(sums, indices, shares)
        middles, shares = (bins + 0.5) * step, sums / np.bincount(indices)[:, None]
        thresholds = np.bincount(indices, thresholds) / np.bincount(indices)
    # Broken where windows that would lie between are lacking: the face was away.
    away = np.flatnonzero(np.diff(middles) > 1.5 * step) + 1
    _strip(axes, labels, middles, shares, thresholds, step, limit)
    parts = np.split(np.arange(len(middles)), away)
    alone = [part[0] for part in parts if len(part) == 1]  # a point by itself is no line
    dots = middles[alone], shares[alone]
    if averaged:  # from the beginning to the end of what a mean is of
        middles = (middles[:, None] + (-step / 2, step / 2)).ravel()
        shares, away = shares.repeat(2, axis=0), 2 * away
    middles, shares = (np.insert(part, away, np.nan, axis=0) for part in (middles, shares))
    for k, (label, (colour, dash)) in enumerate(zip(labels, plotting.looks(tuple(labels)))):
        if averaged:
            base = _bases(labels)[k]
            top = base + shares[:, k] / len(labels)
            axes.fill_between(middles, base, top, color=colour, linewidth=0, label=label)
            continue
        axes.plot(middles, shares[:, k], color=colour, linestyle=dash, label=label)
        if alone:
            axes.plot(dots[0], dots[1][:, k], "o", color=colour, markersize=5)
    silent = np.array(
        [
            (prediction.start, prediction.end)
            for prediction in predictions
            if not prediction.has_audio
        ]
    ).reshape(-1, 2)
    if len(silent):
        first = np.append(True, silent[1:, 0] > np.maximum.accumulate(silent[:-1, 1]))
        starts, ends = silent[first, 0], silent[np.append(first[1:], True), 1]
        lows = np.full(len(starts), -0.04)
        axes.hlines(lows, starts, ends, color=plotting.GREY, label="sound not used")


def _bases(labels):
    """Where the lane of each class begins, from the first above to the last at 0."""
    return 1 - (np.arange(len(labels)) + 1) / len(labels)


def _strip(axes, labels, middles, shares, thresholds, step, limit):
    """Draws the label of each point as a block, with its name where it has room."""
    half = np.full(len(middles) + 1, min(step, limit) / 2)
    gaps = np.diff(middles)
    half[1:-1] = np.where(gaps > 1.5 * step, step, gaps) / 2
    left, right = np.maximum(middles - half[:-1], 0), np.minimum(middles + half[1:], limit)
    best = np.where(shares.max(axis=1, initial=0) < thresholds, len(labels), shares.argmax(axis=1))
    names = *labels, UNCERTAIN
    colours = [*(colour for colour, _ in plotting.looks(tuple(labels))), PALE]
    changes = (np.diff(best) != 0) | (left[1:] > right[:-1] + 1e-6)
    for part in np.split(np.arange(len(best)), np.flatnonzero(changes) + 1):
        if len(part):
            start, end, k = left[part[0]], right[part[-1]], best[part[0]]
            axes.broken_barh([(start, end - start)], STRIP, facecolors=colours[k], linewidth=0)
            if end - start > 0.012 * limit * len(names[k]):
                place = (start + end) / 2, STRIP[0] + STRIP[1] / 2
                colour = plotting.GREY if names[k] == UNCERTAIN else "white"
                axes.text(*place, names[k], color=colour, ha="center", va="center", fontsize=8)
