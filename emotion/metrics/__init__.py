"""Metrics from a confusion matrix, with intervals, calibration and comparisons of subgroups."""

from emotion.metrics.classification import (
    TOPS,
    confusion,
    confusions,
    f1s,
    macro_f1,
    precisions,
    recalls,
    summary,
    top_k,
    uar,
    war,
)
