"""Published weights of Wav2Vec2 in Keras's layout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from keras import layers

if TYPE_CHECKING:
    import keras

    from emotion.clip import Arrays
    from emotion.encoders.wav2vec2 import Config

PARTS = ("feature_extractor.", "feature_projection.", "encoder.")
POSITION = "encoder.pos_conv_embed.conv"


def assign(encoder: keras.Model, state: Arrays) -> None:
    """Sets the weights from a state dict.

    Args:
        encoder: keras.Model of `build`; left as it is where the state dict does not fit.
        state: dict of published names, with or without "wav2vec2." before them, to arrays. The
            quantizer, heads and mask embedding are not used.

    Raises:
        ValueError: an array is missing, has another shape, or has no place in the network.
    """
    state = {name.removeprefix("wav2vec2."): array for name, array in state.items()}
    state = {name: a for name, a in state.items() if name.startswith(PARTS)}
    groups = sum(_published(layer).startswith(f"{POSITION}.") for layer in encoder.layers)
    _fold(state, groups)
    weights = {layer: _weights(layer, state) for layer in encoder.layers if layer.weights}
    if state:
        raise ValueError(f"it has no place for {min(state)}; build it with their config.")
    for layer, arrays in weights.items():
        layer.set_weights(arrays)


def refuse_other(encoder: keras.Model, config: Config, source: str) -> None:
    """Checks the settings of a network that the shapes of its weights do not tell.

    Args:
        encoder: keras.Model of `wav2vec2.build`.
        config: wav2vec2.Config of the weights.
        source: what they are called.

    Raises:
        ValueError: the network has another setting.
    """
    strides = [
        x.strides[0] for x in encoder.layers if re.fullmatch(r"feat.*\d\.conv", _published(x))
    ]
    norm = encoder.get_layer("encoder-layer_norm")
    attention = encoder.get_layer("encoder-layers-0-attention").get_config()
    built = {
        "conv_stride": tuple(strides),
        "num_attention_heads": attention["num_heads"],
        "layer_norm_eps": norm.epsilon,
        "do_stable_layer_norm": encoder.layers[-1] is norm,
    }
    for name, value in built.items():
        if value != getattr(config, name):
            raise ValueError(
                f"{source} needs a Wav2Vec2 with {name}={getattr(config, name)}; "
                f"build it with their config. Received: {name}={value}."
            )


def _published(layer):
    return layer.name.replace("-", ".")


def _fold(state, groups):
    """Computes the kernels of the positional convolution from magnitude and direction.

    weight = g v / |v|, a norm for each step of the kernel (Salimans & Kingma 2016,
    arXiv:1602.07868).
    """
    for magnitude, direction in (
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ):
        if {f"{POSITION}.{magnitude}", f"{POSITION}.{direction}"} <= set(state):
            g, v = (state.pop(f"{POSITION}.{n}").astype("float32") for n in (magnitude, direction))
            norm = np.sqrt((v.astype("float64") ** 2).sum((0, 1), keepdims=True))
            state[f"{POSITION}.weight"] = (g * (v / norm)).astype("float32")
    for kind in ("weight", "bias"):
        if f"{POSITION}.{kind}" in state:
            parts = np.array_split(state.pop(f"{POSITION}.{kind}"), groups)
            state |= {f"{POSITION}.{i}.{kind}": part for i, part in enumerate(parts)}


def _weights(layer, state):
    """Returns a layer's arrays from the state dict, in Keras's order and layout."""
    names, arrays = [_published(layer)], []
    if isinstance(layer, layers.MultiHeadAttention):
        names = [f"{_published(layer)}.{part}_proj" for part in ("q", "k", "v", "out")]
    names = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
    for name, variable in zip(names, layer.weights):
        if name not in state:
            raise ValueError(f"{name} is missing.")
        shape = tuple(variable.shape)
        if isinstance(layer, layers.MultiHeadAttention):  # heads are an axis of their own in Keras
            width = layer.num_heads * layer.key_dim
            shape = (width, width) if name.endswith("weight") else (width,)
        array = np.asarray(state.pop(name)).T  # (out, in, k) -> (k, in, out)
        if array.shape != shape:
            raise ValueError(
                f"{name} must have the shape {shape[::-1]}. Received: {array.shape[::-1]}."
            )
        arrays.append(array.reshape(variable.shape))
    return arrays
