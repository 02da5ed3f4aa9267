"""Groups: whether a model serves women as well as men, and the quiet as well as the loud."""

import numpy as np

from emotion import metrics

ATTRIBUTES = ("speaker", "sex", "intensity", "statement", "channel")


def compare(predictions, labels):
    """Compares the UAR of groups of clips.

    Two groups are compared on the classes that both have, at least two: RAVDESS has no strong
    neutral, so normal and strong are compared without neutral.

    Args:
        predictions: pandas.DataFrame with the columns label and predicted, and those of ATTRIBUTES
            that the corpus tells.
        labels: tuple of str.

    Returns:
        dict of attribute, where it is told of some clip, to a dict: groups (name to uar, clips and
        lacks, the classes it has no clip of), not_compared (names of groups that share two classes
        with no other), and gap: best and worst (names), uar of both and size, on the `classes`
        compared, of the two groups furthest apart; None where there are no two to compare.
    """
    found = {}
    for attribute in ATTRIBUTES:
        if attribute in predictions:
            told = predictions[predictions[attribute].notna()]
            if len(told):
                found[attribute] = _compare(told, attribute, labels)
    return found


def _compare(told, attribute, labels):
    place = {label: index for index, label in enumerate(labels)}
    names, counts = metrics.confusions(
        told["label"].map(place), told["predicted"].map(place), told[attribute], len(labels)
    )
    recall = np.array([metrics.recalls(own) for own in counts])
    there = np.isfinite(recall)
    shared = there[:, None] & there[None]
    apart = np.where(shared, recall[:, None] - recall[None], 0).sum(axis=2)
    fit = (shared.sum(axis=2) > 1) & ~np.eye(len(names), dtype=bool)
    apart = np.where(fit, apart / np.maximum(shared.sum(axis=2), 1), -np.inf)
    best, worst = np.unravel_index(np.argmax(apart), apart.shape)
    on = shared[best, worst]
    gap = {
        "best": names[best],
        "worst": names[worst],
        "uar": [float(recall[row, on].mean()) for row in (best, worst)],
        "size": float(apart[best, worst]),
        "classes": [label for label, own in zip(labels, on) if own],
    }
    return {
        "groups": {
            name: {
                "uar": metrics.uar(own),
                "clips": int(own.sum()),
                "lacks": [label for label, has in zip(labels, mask) if not has],
            }
            for name, own, mask in zip(names, counts, there)
        },
        "gap": gap if fit.any() else None,
        "not_compared": [name for name, row in zip(names, fit) if not row.any()],
    }


def sentence(attribute, compared):
    """Returns a line on the gap of an attribute, one of the dicts of `compare`."""
    gap, left = compared["gap"], compared["not_compared"]
    if gap is None:
        return f"UAR by {attribute}: nothing to compare in {', '.join(compared['groups'])}"
    (best, high), (worst, low) = zip((gap["best"], gap["worst"]), gap["uar"])
    rest = f"; too few classes: {', '.join(left)}" if left else ""
    return (
        f"UAR by {attribute}, largest gap {gap['size']:.3f}: {best} {high:.3f}, "
        f"{worst} {low:.3f}, on the {len(gap['classes'])} classes of both{rest}"
    )
