"""Storyline: a picture of a whole recording, the probability of each emotion over time."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from emotion import style
from emotion.transcript import whole

# A colour and a dash for each class in the order of the labels: told apart without colour, too.
LOOKS = [
    *((colour, "-") for colour in style.COLOURS),
    *((colour, (0, (4, 1.5))) for colour in (style.GREY, *style.COLOURS)),
]


def check_picture(path):
    """Raises ValueError unless `path` ends in .png or .svg."""
    if Path(path).suffix.lower() not in (".png", ".svg"):
        raise ValueError(f"A timeline must end in .png or .svg. Received: {path}.")


@style.styled
def draw(timeline, path):
    """Draws a row of axes for each face, and one for the windows from sound alone.

    A line is broken where its face is away. Windows without sound are marked below the lines.

    Args:
        timeline: Timeline.
        path: str or Path ending in .png or .svg.

    Raises:
        ValueError: another suffix.
        MediaError: the file cannot be written.
    """
    check_picture(path)
    path, found = Path(path), {}
    for one in timeline.predictions:
        found.setdefault(one.track, []).append(one)
    rows = sorted(found, key=lambda id: (id is None, id or 0)) or [None]
    size = (11, 1.4 + 1.8 * len(rows))
    figure, several = plt.subplots(len(rows), 1, figsize=size, sharex=True, squeeze=False)
    for axes, id in zip(several[:, 0], rows):
        _lines(axes, timeline.labels, found.get(id, []))
        name = "no face" if id is None else f"face {id}"
        axes.set(ylabel=f"{name}\nprobability", ylim=(-0.08, 1.02), yticks=(0, 0.5, 1))
        axes.grid(axis="y", linewidth=0.3)
    axes.set(xlabel="middle of the window, s", xlim=(0, max(timeline.duration, 0.1)))
    figure.suptitle(timeline.info.path.name)
    names = {}  # each once, though all rows have it
    for axes in several[:, 0]:
        for handle, name in zip(*axes.get_legend_handles_labels()):
            names.setdefault(name, handle)
    figure.legend(names.values(), names.keys(), loc="outside right upper")
    try:
        with whole(path) as part:
            figure.savefig(part, dpi=150, format=path.suffix[1:].lower())
    finally:
        plt.close(figure)


def _lines(axes, labels, found):
    """Draws the predictions of one face."""
    middles = np.array([(one.start + one.end) / 2 for one in found])
    shares = np.array([one.probabilities for one in found]).reshape(-1, len(labels))
    # Broken where windows that would lie between are lacking: the face was away.
    steps = np.diff(middles)
    away = np.flatnonzero(steps > 1.5 * steps.min(initial=np.inf)) + 1
    middles, shares = (np.insert(part, away, np.nan, axis=0) for part in (middles, shares))
    for k, label in enumerate(labels):
        colour, dash = LOOKS[k % len(LOOKS)]
        dots = {"marker": ".", "markersize": 3}  # a window by itself is no line
        axes.plot(middles, shares[:, k], color=colour, linestyle=dash, label=label, **dots)
    deaf = np.array([(one.start, one.end) for one in found if not one.heard]).reshape(-1, 2)
    if len(deaf):
        axes.hlines(np.full(len(deaf), -0.04), *deaf.T, color=style.GREY, label="without sound")
