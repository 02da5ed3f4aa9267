"""A training with all that follows it, its resume, and the comparison of presets."""
