"""Compares scores between subgroups, such as women and men."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from emotion import metrics

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTES = ("speaker", "sex", "intensity", "statement", "channel")
_MOST = 50  # values of an attribute: a manifest's statement may be a transcript, one a clip
_NAMED = 100  # in a line
_ENDS = 30  # groups that are shown at either end


def compare(predictions: pd.DataFrame, labels: Sequence[str]) -> dict[str, dict]:
    """Compares the UAR of groups of clips.

    Two groups are compared on the classes that both have, at least two: RAVDESS has no strong
    neutral, so normal and strong are compared without neutral.

    Args:
        predictions: pandas.DataFrame with the columns label and predicted, and those of ATTRIBUTES
            that the corpus gives. An attribute that identifies clips, not groups, is ignored: any
            with more than 50 values, or fewer than two clips per value; a speaker with both.
        labels: tuple of str.

    Returns:
        dict of each attribute that some clip has to a dict: groups (name to uar, clips and
        lacks, the classes it has no clip of), not_compared (names of groups that share two classes
        with no other), and gap: best and worst (names), uar of both and size, on the `classes`
        compared, of the two groups furthest apart; None where there are no two to compare.
    """
    compared = {}
    for attribute in ATTRIBUTES:
        if attribute in predictions:
            known = predictions[predictions[attribute].notna()]
            count, few = known[attribute].nunique(), min(_MOST, len(known) / 2)
            if 0 < count <= few or (attribute == "speaker" and count <= max(_MOST, len(known) / 2)):
                compared[attribute] = _compare(known, attribute, labels)
    return compared


def _compare(known, attribute, labels):
    place = {label: index for index, label in enumerate(labels)}
    names, counts = metrics.confusions(
        known["label"].map(place), known["predicted"].map(place), known[attribute], len(labels)
    )
    recall = np.array([metrics.recalls(group) for group in counts])
    there = np.isfinite(recall)
    gap, alone = None, []
    for best, name in enumerate(names):
        shared = there & there[best]
        fit = shared.sum(axis=1) > 1
        fit[best] = False
        if not fit.any():
            alone.append(name)
            continue
        apart = np.where(shared, recall[best] - recall, 0).sum(axis=1)
        apart = np.where(fit, apart / np.maximum(shared.sum(axis=1), 1), -np.inf)
        worst = np.argmax(apart)
        if gap is None or apart[worst] > gap["size"]:
            on = shared[worst]
            gap = {
                "best": name,
                "worst": names[worst],
                "uar": [float(recall[row, on].mean()) for row in (best, worst)],
                "size": float(apart[worst]),
                "classes": [label for label, group in zip(labels, on) if group],
            }
    return {
        "groups": {
            name: {
                "uar": metrics.uar(group),
                "clips": int(group.sum()),
                "lacks": [label for label, has in zip(labels, mask) if not has],
            }
            for name, group, mask in zip(names, counts, there)
        },
        "gap": gap,
        "not_compared": alone,
    }


def sentence(attribute: str, compared: dict) -> str:
    """Returns a line on the gap of an attribute, one of the dicts of `compare`."""
    gap, left = compared["gap"], compared["not_compared"]
    if gap is None:
        return f"UAR by {attribute}: nothing to compare in {few(compared['groups'])}"
    (best, high), (worst, low) = zip((gap["best"], gap["worst"]), gap["uar"])
    rest = f"; too few classes: {few(left)}" if left else ""
    return (
        f"UAR by {attribute}, largest gap {gap['size']:.3f}: {best} {high:.3f}, "
        f"{worst} {low:.3f}, on the {len(gap['classes'])} classes of both{rest}"
    )


def few(names: Iterable[str]) -> str:
    """Returns names in a line; of many the first 100.

    >>> few("abc"), few(map(str, range(1000)))[-23:]
    ('a, b, c', '97, 98, 99 and 900 more')
    """
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def ends(compared: dict) -> list[tuple[str, dict]]:
    """Lists the (name, dict) of an attribute's groups; of more than 60 those at the ends by UAR.

    Args:
        compared: one of the dicts of `compare`.
    """
    ranked = list(compared["groups"].items())
    if len(ranked) <= 2 * _ENDS:
        return ranked
    ranked.sort(key=lambda pair: pair[1]["uar"])
    return ranked[:_ENDS] + ranked[-_ENDS:]
