"""Why a model predicts what it predicts: attributions, activations, plots."""
