"""Training: batches, the loop, warm starts, frozen encoders."""
