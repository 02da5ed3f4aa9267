"""Style: what all pictures share: colours, fonts, and how they are saved."""

import os
import textwrap

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend first: there may be no display)

# What is no class (those are in palette.py): Okabe & Ito 2008, colour-blind safe; their yellow,
# which cannot be read on white, is left out.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
COLOURS = (BLUE, ORANGE, GREEN, "#E69F00", "#CC79A7", "#56B4E9", "#000000", "#882255")
GREY = "#666666"
MODALITIES = {"audio": BLUE, "video": ORANGE, "both": GREEN}
# Decorates a function that draws; constrained layout cuts no label.
styled = matplotlib.rc_context(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "figure.constrained_layout.use": True,
        "svg.hashsalt": "emotion",
    }
)


def save(figure, path, title=None):
    """Writes a figure as PNG and SVG, which appear under their names once whole, and closes it.

    Args:
        figure: matplotlib.figure.Figure.
        path: Path without a suffix.
        title: str above all axes, in as many lines as it takes; or None.
    """
    if title:
        figure.suptitle(textwrap.fill(title, int(9 * figure.get_figwidth())))
    path.parent.mkdir(parents=True, exist_ok=True)
    for kind, metadata in (("svg", {"Date": None}), ("png", None)):
        part = path.with_name(f"{path.name}.part.{kind}")
        figure.savefig(part, dpi=150, metadata=metadata)
        os.replace(part, path.with_name(f"{path.name}.{kind}"))
    plt.close(figure)
