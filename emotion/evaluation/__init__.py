"""What a model is worth: predictions, scores with intervals, fusion, robustness, plots."""
