"""Palette: one colour for each class, the same in the video, the timeline, the page and the report.

Each has a contrast (WCAG 2.1) of at least 3 to white paper and to the dark cards of the overlay, so
all are of middle lightness. Among these, the colours were searched for that stay furthest apart in
OKLab for normal sight and for protanopia, deuteranopia and tritanopia (Machado et al. 2009): any
two by at least 0.1. In lines, those that are nearest have different dashes too.
"""

from functools import lru_cache

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
def looks(labels):
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


def rgb(colour):
    """Returns the (red, green, blue), int in 0..255, of a colour "#RRGGBB"."""
    return tuple(bytes.fromhex(colour[1:]))
