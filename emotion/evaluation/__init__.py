"""Evaluation: predictions, scores with intervals, fusion, robustness, plots."""
