"""Scores from a confusion matrix; the labels come from the run, never from the batch.

Where a class has no clip, its recall is undefined: it is nan by class and left out of means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

TOPS = (1, 2, 3, 5)


def confusion(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts.

    Args:
        targets: int array (n,), true classes.
        predicted: int array (n,).
        classes: int.

    Returns:
        int64 array (classes, classes): rows are true, columns predicted.

    >>> confusion([0, 1, 1], [0, 1, 0], 2).tolist()
    [[1, 0], [1, 1]]
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (np.asarray(targets, int), np.asarray(predicted, int)), 1)
    return counts


def confusions(
    targets: np.ndarray, predicted: np.ndarray, members: Sequence, classes: int
) -> tuple[list[str], np.ndarray]:
    """Counts of each group of clips, such as those of one speaker.

    Args:
        targets, predicted: int arrays (n,).
        members: sequence (n,) of str, the group of each clip.
        classes: int.

    Returns:
        Tuple of the groups, list of str in order, and int64 array (groups, classes, classes).

    >>> names, counts = confusions([0, 1, 1], [0, 1, 0], ["b", "a", "b"], 2)
    >>> names, counts[1].tolist()
    (['a', 'b'], [[1, 0], [1, 0]])
    """
    names, place = np.unique(np.asarray(members, str), return_inverse=True)
    counts = np.zeros((len(names), classes, classes), np.int64)
    np.add.at(counts, (place, np.asarray(targets, int), np.asarray(predicted, int)), 1)
    return names.tolist(), counts


def recalls(counts: np.ndarray) -> np.ndarray:
    """Recall of each class.

    Args:
        counts: array (c, c) of `confusion`.

    Returns:
        float64 array (c,) in [0, 1]; nan for a class without clips.

    >>> recalls([[3, 1], [0, 0]]).tolist()
    [0.75, nan]
    """
    counts = np.asarray(counts, np.float64)
    totals = counts.sum(axis=1)
    return np.divide(np.diag(counts), totals, out=np.full(len(counts), np.nan), where=totals > 0)


def precisions(counts: np.ndarray) -> np.ndarray:
    """Precision of each class: TP / (TP + FP).

    Args:
        counts: array (c, c) of `confusion`.

    Returns:
        float64 array (c,) in [0, 1]; nan for a class that was never said.

    >>> precisions([[3, 0], [1, 0]]).tolist()
    [0.75, nan]
    """
    return recalls(np.transpose(counts))


def f1s(counts: np.ndarray) -> np.ndarray:
    """F1 of each class: 2 tp / (2 tp + fp + fn), 0 where nothing is right.

    Args:
        counts: array (c, c) of `confusion`.

    Returns:
        float64 array (c,) in [0, 1]; nan for a class that is neither true nor said of any clip.

    >>> f1s([[3, 0, 0], [2, 0, 0], [0, 0, 0]]).tolist()
    [0.75, 0.0, nan]
    """
    counts = np.asarray(counts, np.float64)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return np.divide(2 * np.diag(counts), both, out=np.full(len(counts), np.nan), where=both > 0)


def uar(counts: np.ndarray) -> float:
    """Unweighted average recall: the mean of the recalls of the classes present.

    >>> uar([[3, 1], [1, 1]])
    0.625
    """
    return float(np.nanmean(recalls(counts)))


def war(counts: np.ndarray) -> float:
    """Weighted average recall: the share of clips that are right, that is accuracy.

    >>> war([[3, 1], [1, 1]])
    0.6666666666666666
    """
    return float(np.trace(counts) / np.sum(counts))


def macro_f1(counts: np.ndarray) -> float:
    """Mean of `f1s` over the classes that occur as truth or as prediction.

    >>> round(macro_f1([[3, 1], [1, 1]]), 3)
    0.625
    """
    return float(np.nanmean(f1s(counts)))


def top_k(targets: np.ndarray, scores: np.ndarray, k: int) -> float:
    """Share of clips whose true class is among the k highest scores.

    Args:
        targets: int array (n,).
        scores: float array (n, c), probabilities or logits.
        k: int, 1 to c.

    >>> top_k([0, 1], [[0.2, 0.8, 0.0], [0.2, 0.8, 0.0]], 2)
    1.0
    """
    best = np.argsort(-np.asarray(scores), axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == np.asarray(targets)[:, None], axis=1)))


def summary(targets: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]) -> dict:
    """All of the above for one set of predictions.

    Args:
        targets: int array (n,).
        probabilities: float array (n, c).
        labels: tuple of str, c names.

    Returns:
        dict: uar, war, macro_f1, top_1 (equal to war), top_2, top_3, top_5, precision, recall and
        f1 (by class, None where undefined), confusion. A k above the number of classes is left out.
    """
    counts = confusion(targets, np.argmax(probabilities, axis=1), len(labels))
    return {
        "uar": uar(counts),
        "war": war(counts),
        "macro_f1": macro_f1(counts),
        **{f"top_{k}": top_k(targets, probabilities, k) for k in TOPS if k <= len(labels)},
        "precision": _by_class(labels, precisions(counts)),
        "recall": _by_class(labels, recalls(counts)),
        "f1": _by_class(labels, f1s(counts)),
        "confusion": counts.tolist(),
    }


def _by_class(labels, values):
    return {name: None if np.isnan(value) else float(value) for name, value in zip(labels, values)}
