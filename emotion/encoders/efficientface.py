"""EfficientFace: a light face network, with its authors' AffectNet weights if the user has them.

    frame (224, 224, 3) -> conv 3x3/2 to 29, max-pool 3/2
    -> ShuffleNetV2 stage of 4 units, 116 channels, times its modulator
       + local features: each quarter of the pooled map through depthwise convolutions of its own
    -> stages of 8 and 4 units, 232 and 464 channels -> conv 1x1 to 1024 -> mean

Source: Zhao, Liu, Zhou, "Robust Lightweight Facial Expression Recognition Network with Label
Distribution Training" (AAAI 2021), https://github.com/zengqunzhao/EfficientFace. 1 268 118
parameters, counted as PyTorch does: without the moving statistics of batch normalisation, which
are Keras's non-trainable weights. The classifier behind the embedding is left out.

Layers bear the names of the authors' state dict, with dashes for its dots, which PyTorch takes in
no name of a parameter. It pads a convolution of stride 2 by one pixel on each side, "same" pads an
even side at its end only: padding is a layer of its own there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras
from keras import layers, ops

from emotion.encoders import checkpoint

if TYPE_CHECKING:
    from emotion.clip import Arrays

EMBEDDING = 1024


def build(size: int = 224) -> keras.Model:
    """Builds the network up to its embedding.

    Args:
        size: int, side of a frame in pixels.

    Returns:
        keras.Model "efficientface" from frames (b, size, size, 3) float32 in [0, 1] to embeddings
        (b, 1024).

    Raises:
        ValueError: `size` is not a multiple of 16, so that the map has no four equal quarters.
    """
    if size % 16:
        raise ValueError(f"`size` must be a multiple of 16. Received: size={size}.")
    frames = keras.Input((size, size, 3), name="frames")
    x = _norm(_conv(frames, 29, "conv1-0", kernel=3, strides=2), "conv1-1")
    x = layers.ZeroPadding2D(1, name="maxpool-pad")(x)  # zero is the least value after a ReLU
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)  # (b, 56, 56, 29)
    local = _local(x)
    x = layers.Add(name="modulated")([_modulate(_stage(x, 116, 4, "stage2")), local])
    x = _stage(x, 232, 8, "stage3")
    x = _stage(x, 464, 4, "stage4")  # (b, 7, 7, 464)
    x = _norm(_conv(x, EMBEDDING, "conv5-0"), "conv5-1")
    x = layers.GlobalAveragePooling2D(name="embedding")(x)
    return keras.Model(frames, x, name="efficientface")


def load_weights(backbone: keras.Model, path: str | Path) -> None:
    """Loads the authors' weights, a PyTorch checkpoint such as those trained on AffectNet.

    Args:
        backbone: keras.Model of `build`; left as it is where the file does not fit.
        path: str or Path of a .pth.tar file, or of another that `checkpoint.read` reads.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or holds other weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no EfficientFace weights at {path}; "
            "download them from https://github.com/zengqunzhao/EfficientFace."
        )
    state = checkpoint.read(path)
    try:
        assign(backbone, state)
    except ValueError as error:
        raise ValueError(f"{path} holds no EfficientFace weights: {error}") from None


def assign(backbone: keras.Model, state: Arrays) -> None:
    """Sets the weights from a state dict.

    Args:
        backbone: keras.Model of `build`; left as it is where the state dict does not fit.
        state: dict of the authors' names, with or without "module." before them, to arrays; those
            of the classifier are not used.

    Raises:
        ValueError: an array is missing or has another shape.
    """
    state = {name.removeprefix("module."): array for name, array in state.items()}
    weights = {layer: _weights(layer, state) for layer in backbone.layers if layer.weights}
    for layer, arrays in weights.items():
        layer.set_weights(arrays)


def _weights(layer, state):
    """The arrays of a layer in Keras's order and layout: (h, w, in, out), (in, out)."""
    arrays = []
    for kind, variable in zip(("weight", "bias", "running_mean", "running_var"), layer.weights):
        name = f"{layer.name.replace('-', '.')}.{kind}"
        if name not in state:
            raise ValueError(f"{name} is missing.")
        array = state[name]
        array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        if isinstance(layer, layers.DepthwiseConv2D):  # PyTorch's outputs of a channel lie together
            array = array.reshape(*array.shape[:2], -1, layer.depth_multiplier)
        if array.shape != tuple(variable.shape):
            raise ValueError(
                f"{name} must have {tuple(variable.shape)} as its shape in Keras. "
                f"Received: {array.shape}."
            )
        arrays.append(array)
    return arrays


def _stage(x, channels, units, name):
    for index in range(units):
        x = _unit(x, channels, 1 if index else 2, f"{name}-{index}")
    return x


def _unit(x, channels, strides, name):
    """A unit of ShuffleNetV2 (Ma et al. 2018, arXiv:1807.11164)."""
    half = channels // 2
    if strides == 1:
        shortcut, x = ops.split(x, 2, axis=-1)
    else:
        shortcut = _norm(_depthwise(x, f"{name}-branch1-0", 2), f"{name}-branch1-1", relu=False)
        shortcut = _norm(_conv(shortcut, half, f"{name}-branch1-2"), f"{name}-branch1-3")
    x = _norm(_conv(x, half, f"{name}-branch2-0"), f"{name}-branch2-1")
    x = _norm(_depthwise(x, f"{name}-branch2-3", strides), f"{name}-branch2-4", relu=False)
    x = _norm(_conv(x, half, f"{name}-branch2-5"), f"{name}-branch2-6")
    # The channels of the two take turns: a shuffle of two groups.
    x = ops.stack([shortcut, x], axis=-1)
    return layers.Reshape((*x.shape[1:3], channels), name=f"{name}-shuffle")(x)


def _local(x):
    half = x.shape[1] // 2
    first, second = (0, half), (half, 0)  # what is cropped of the bottom and right, top and left
    corners = ((first, first), (second, first), (first, second), (second, second))
    tiles = []
    for index, corner in enumerate(corners, 1):
        tile = layers.Cropping2D(corner, name=f"local-crop{index}")(x)
        tile = _depthwise(tile, f"local-conv{index}_1", 2, multiplier=4)
        tile = _norm(tile, f"local-bn{index}_1")
        tile = _depthwise(tile, f"local-conv{index}_2")
        tiles.append(_norm(tile, f"local-bn{index}_2"))
    left = layers.Concatenate(1, name="local-left")(tiles[:2])
    right = layers.Concatenate(1, name="local-right")(tiles[2:])
    return layers.Concatenate(2, name="local-tiled")([left, right])


def _modulate(x):
    name = "modulator-channel_att-gate_c-gate_c_"
    channel = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}mean")(x)
    reduced, channels = x.shape[-1] // 16, x.shape[-1]
    channel = _norm(layers.Dense(reduced, name=f"{name}fc_0")(channel), f"{name}bn_1")
    channel = layers.Dense(channels, name=f"{name}fc_final")(channel)  # (b, 1, 1, 116)
    name = "modulator-spatial_att-gate_s-gate_s_"
    spatial = _conv(x, reduced, f"{name}conv_reduce0", bias=True)
    spatial = _norm(spatial, f"{name}bn_reduce0")
    for index in range(2):
        spatial = _conv(spatial, reduced, f"{name}conv_di_{index}", 3, dilation=4, bias=True)
        spatial = _norm(spatial, f"{name}bn_di_{index}")
    spatial = _conv(spatial, 1, f"{name}conv_final", bias=True)  # (b, 28, 28, 1)
    gate = layers.Multiply(name="modulator-product")([channel, spatial])
    gate = layers.Activation("sigmoid", name="modulator-gate")(gate)
    return layers.Multiply(name="modulator")([gate, x])


def _conv(x, filters, name, kernel=1, strides=1, dilation=1, bias=False):
    x, padding = _padded(x, strides, name)
    return layers.Conv2D(
        filters, kernel, strides, padding, dilation_rate=dilation, use_bias=bias, name=name
    )(x)


def _depthwise(x, name, strides=1, multiplier=1):
    x, padding = _padded(x, strides, name)
    return layers.DepthwiseConv2D(3, strides, padding, multiplier, use_bias=False, name=name)(x)


def _padded(x, strides, name):
    if strides == 1:
        return x, "same"
    return layers.ZeroPadding2D(1, name=f"{name}-pad")(x), "valid"


def _norm(x, name, relu=True):
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)  # PyTorch's defaults
    return layers.ReLU(name=f"{name}-relu")(x) if relu else x
