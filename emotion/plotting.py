"""The palette, the figure style and the saving of all plots.

Figures are made without pyplot, so that no state is shared with a program that uses it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is no class (those are in LOOKS): Okabe & Ito 2008, colour-blind safe; their yellow,
# which cannot be read on white, is left out.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
COLOURS = (BLUE, ORANGE, GREEN, "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#882255")
GREY = "#666666"
MODALITIES = {"audio": BLUE, "video": ORANGE, "both": GREEN}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,  # which cuts no label
    "svg.hashsalt": "emotion",
    "text.parse_math": False,  # names of files and of classes are no formulas
}


def styled(draw: Callable) -> Callable:
    """Decorates a function that draws, so that it does so in STYLE."""

    @wraps(draw)
    def drawn(*arguments, **named):
        import matplotlib  # not above: most commands draw no plot

        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **named)

    return drawn


def save(figure: Figure, path: Path, title: str | None = None) -> None:
    """Writes a figure as PNG and SVG, which appear under their names once whole.

    Args:
        figure: matplotlib.figure.Figure.
        path: Path without a suffix.
        title: str above all axes, in as many lines as it takes; or None.
    """
    if title:
        figure.suptitle(textwrap.fill(title, int(9 * figure.get_figwidth())))
    path.parent.mkdir(parents=True, exist_ok=True)
    for kind, metadata in (("svg", {"Date": None}), ("png", None)):
        with atomic_write(path.with_name(f"{path.name}.{kind}")) as part:
            figure.savefig(part, dpi=150, metadata=metadata)


# Each colour of LOOKS has a contrast (WCAG 2.1) of at least 3 to white paper and to the dark cards
# of the overlay, so all are of middle lightness. Among these, the colours were searched for that
# stay furthest apart in OKLab for normal sight and for protanopia, deuteranopia and tritanopia
# (Machado et al. 2009): any two by at least 0.1. In lines, the nearest have different dashes too.
SOLID, DASHED, DOTTED, MIXED = "-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5))
DASHES = (SOLID, DASHED, DOTTED, MIXED)  # as matplotlib takes them
LOOKS = {
    "neutral": ("#76707C", DOTTED),
    "calm": ("#20A2B4", DASHED),
    "happy": ("#D38100", SOLID),
    "sad": ("#0055FF", SOLID),
    "angry": ("#E30049", DASHED),
    "fearful": ("#9F80FA", MIXED),
    "disgust": ("#1A7500", MIXED),
    "surprised": ("#B110BB", MIXED),
}


@lru_cache
def looks(labels: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Chooses a colour and a dash for each class by its name, wherever it stands.

    Other names take, in alphabetical order, the colours that no known name of `labels` has, then
    all of them again with another dash.

    Args:
        labels: tuple of str, class names.

    Returns:
        Tuple of (colour "#RRGGBB", dash as matplotlib takes it), one a label.

    >>> [colour for colour, _ in looks(("sad", "bored"))]
    ['#0055FF', '#76707C']
    """
    taken = [LOOKS[label] for label in labels if label in LOOKS]
    free = [look for look in LOOKS.values() if look not in taken]
    for shift in range(1, len(DASHES)):
        for colour, dash in LOOKS.values():
            free.append((colour, DASHES[(DASHES.index(dash) + shift) % len(DASHES)]))
    others = sorted(set(labels).difference(LOOKS))
    chosen = LOOKS | {label: free[i % len(free)] for i, label in enumerate(others)}
    return tuple(chosen[label] for label in labels)


def rgb(colour: str) -> tuple[int, ...]:
    """Returns the (red, green, blue), int in 0..255, of a colour "#RRGGBB"."""
    return tuple(bytes.fromhex(colour[1:]))
