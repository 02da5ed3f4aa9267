"""From a run to predictions: the recognizer, windows, the timeline, smoothing, exports."""
