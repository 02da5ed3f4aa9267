"""Activations inside a model: attention maps, embeddings and their projection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from emotion.models import attention_layers, vector_layer

if TYPE_CHECKING:
    from emotion.clip import Arrays
    from emotion.preset import Preset

FEWEST = 4  # points that t-SNE can place


def function(model: keras.Model, start: dict | None = None) -> Callable:
    """Returns the function from inputs to logits.

    Not the model itself, which would turn frames back into uint8: that has no gradient.

    Args:
        model: keras.Model of a preset.
        start: dict of name to a tensor within the model to begin at, or None for its inputs.

    Returns:
        function of a dict of name to float32 array (b, ...), to a tensor (b, classes).
    """
    return keras.Function(start or model.input, model.output).call


@dataclass(frozen=True, eq=False)
class Vector:
    """The one vector of named values that a model makes of a clip.

    Attributes:
        names: list of str (n,), mfcc_0 ... resnet18_511.
        mean: float32 array (n,), over the training clips.
        of: function of a dict of inputs (b, ...) to float32 array (b, n).
        call: function of {"vector": (b, n)} to logits (b, classes).
    """

    names: list
    mean: np.ndarray
    of: Callable
    call: Callable


def vector(model: keras.Model, preset: Preset) -> Vector | None:
    """Returns the Vector of a model, or None where it has none.

    Args:
        model: keras.Model of `preset`.
        preset: Preset.
    """
    if (declared := vector_layer(preset)) is None:
        return None
    layer, names = declared
    scale = model.get_layer(layer)
    of = keras.Function(model.input, scale.input).call
    return Vector(
        names,
        np.asarray(scale.moving_mean),
        lambda inputs: np.asarray(of(inputs)),
        function(model, {"vector": scale.input}),
    )


def before_logits(model: keras.Model) -> Callable[[Arrays], np.ndarray]:
    """Returns the function from inputs to the layer before the logits, a float32 array (b, n)."""
    ends = [layer.input for layer in model.layers if layer.name.endswith("logits")]
    call = keras.Function(model.input, ends).call
    return lambda inputs: np.concatenate([np.asarray(x) for x in call(inputs)], axis=1)


def attention(
    model: keras.Model, preset: Preset, inputs: Arrays
) -> dict[tuple[str, str], np.ndarray]:
    """Computes the attention maps of a preset that fuses by attention.

    Args:
        model: keras.Model of `preset`.
        preset: Preset.
        inputs: dict of name to array, without a batch axis.

    Returns:
        dict of (who asks, whose steps) to float32 array (steps, steps) whose rows sum to 1; empty
        for a model without such maps.
    """
    maps = attention_layers(preset)
    ends = {
        "-".join(maps[layer.name]): layer.output for layer in model.layers if layer.name in maps
    }
    if not ends:
        return {}
    maps = keras.Function(model.input, ends).call({name: x[None] for name, x in inputs.items()})
    return {tuple(name.split("-")): np.asarray(values)[0] for name, values in maps.items()}


def project(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE (van der Maaten & Hinton 2008) of points (n, c) into the plane: float32 array (n, 2).

    Raises:
        ValueError: there are fewer than FEWEST points.
    """
    from sklearn.manifold import TSNE

    if len(points) < FEWEST:
        raise ValueError(f"t-SNE needs at least {FEWEST} clips. Received: {len(points)}.")
    return TSNE(perplexity=min(30, (len(points) - 1) / 3), random_state=seed).fit_transform(points)


def silhouette(points: np.ndarray, names: Sequence[str]) -> float:
    """How well names part points (n, c): from -1 to 1; nan where each or none has its own name.

    Of the points themselves, not of their picture.
    """
    from sklearn.metrics import silhouette_score

    if not 1 < len(set(names)) < len(points):
        return float("nan")
    return float(silhouette_score(points, names))
