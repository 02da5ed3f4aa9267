"""Encoders: pretrained bodies, each with `build(...)` and a loader of its authors' weights."""

from emotion.encoders import efficientface, wav2vec2

ENCODERS = {"efficientface": efficientface, "wav2vec2": wav2vec2}


def load(model, path):
    """Loads pretrained weights into a model's encoder.

    Args:
        model: keras.Model with a layer that bears the name of an encoder.
        path: str or Path of the weights, as the encoder's `load_weights` reads them.

    Raises:
        ValueError: the model has no encoder, or the file does not fit it.
        FileNotFoundError, ModuleNotFoundError: as `load_weights`.
    """
    found = [layer for layer in model.layers if layer.name in ENCODERS]
    if not found:
        raise ValueError(
            f"encoder weights are for models with one of {', '.join(ENCODERS)}; "
            f"{model.name} with these inputs has none: leave them out. Received: {path}."
        )
    ENCODERS[found[0].name].load_weights(found[0], path)
