"""ResNet-18 and ResNet-50, with weights learned on ImageNet.

    frame (h, w, 3), 0 to 255 -> standardised as the weights expect it
    -> conv 7x7/2 to 64, max-pool 3/2
    -> 4 stages of residual blocks: 2, 2, 2, 2 of two 3x3 (18), or 3, 4, 6, 3 of 1x1, 3x3, 1x1 (50)
    -> mean: 512 (18) or 2048 (50)

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (CVPR 2016,
arXiv:1512.03385).

ResNet-50 is that of keras.applications: a stage halves its map in the first 1x1 of its first block,
as in the paper. Most weights published elsewhere, microsoft/resnet-50 and torchvision's among
them, are of the variant that halves it in the 3x3 ("v1.5", `downsample_in_bottleneck` false); their
shapes are the same and their features would be wrong, so they are refused. ResNet-18 has no such
variants. It is built here, of plain layers that bear the names keras.applications would give them:
keras-hub, which has it, is 18 packages and 270 MB, TensorFlow Text of one TensorFlow version among
them, for what is 40 lines. Its ImageNet weights are still fetched through keras-hub, when asked
for.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import keras
import numpy as np
from keras import layers, ops

from emotion.encoders import checkpoint

if TYPE_CHECKING:
    from emotion.clip import Arrays

EMBEDDING = {18: 512, 50: 2048}
# Mean and standard deviation of RGB pixels in [0, 1] that the weights were learned with:
# ImageNet's, and for the 50 of Keras those of Caffe, which leaves the scale of 0 to 255.
_PUBLISHED = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE = (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3
_DEFAULT_SOURCES = {18: _PUBLISHED, 50: _CAFFE}
_UNREADABLE = (ValueError, TypeError, OSError, LookupError, AttributeError, BadZipFile)
_FILES = {
    18: "model.safetensors of microsoft/resnet-18",
    50: "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5 of keras.applications",
}


def build(depth: int, name: str) -> keras.Model:
    """Builds the network up to its embedding.

    Args:
        depth: int, 18 or 50.
        name: str.

    Returns:
        keras.Model from frames (b, h, w, 3), RGB in 0..255, uint8 or float32, to embeddings
        (b, 512) for 18 and (b, 2048) for 50.

    Raises:
        ValueError: `depth` is another one.
    """
    if depth not in EMBEDDING:
        raise ValueError(f"`depth` must be 18 or 50. Received: depth={depth}.")
    frames = keras.Input((None, None, 3), name="frames")
    x = layers.Rescaling(1 / 255, name="scale")(frames)
    x = layers.Normalization(name="standard")(x)  # its statistics come with the weights
    encoder = keras.Model(frames, _resnet18(x) if depth == 18 else _resnet50(x), name=name)
    _standardise(encoder, *_DEFAULT_SOURCES[depth])
    return encoder


def load_weights(encoder: keras.Model, source: str) -> None:
    """Loads weights.

    Args:
        encoder: keras.Model of `build`.
        source: str or Path: "imagenet", fetched once by keras.applications (50) or keras-hub (18);
            a .weights.h5 or .keras file of this encoder; the .h5 file of keras.applications (50);
            or a checkpoint of transformers, a .safetensors or PyTorch file or the folder of one,
            with the config.json beside it (which 18 can do without).

    Raises:
        ModuleNotFoundError: keras-hub is needed and not installed.
        OSError: there are no such weights, or they cannot be fetched.
        ValueError: they cannot be read, or are not those of this network.
    """
    depth = next(d for d, width in EMBEDDING.items() if width == encoder.output_shape[-1])
    if str(source) == "imagenet":
        _copy(_fetch(depth), encoder)
        return
    path = Path(source)
    if path.is_dir():
        (path,) = checkpoint.find(path, [checkpoint.NAMES])
    if not path.is_file():
        raise FileNotFoundError(
            f"there are no ResNet-{depth} weights at {path}; "
            f"--encoder-weights takes imagenet, none, or a file such as {_FILES[depth]}."
        )
    state = checkpoint.read(path) if path.suffix in checkpoint.READERS else None
    try:
        if state:
            _refuse_other(path.with_name("config.json"), depth)
            assign(encoder, state)
        elif path.suffix == ".h5" and not path.name.endswith(".weights.h5") and depth == 50:
            _copy(_applications(path), encoder)
        else:
            encoder.load_weights(path)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} does not hold the weights of this ResNet-{depth} ({reason}); "
            f"give a file such as {_FILES[depth]}."
        ) from None


def assign(encoder: keras.Model, state: Arrays) -> None:
    """Sets the weights from a state dict.

    Args:
        encoder: keras.Model of `build`; left as it is where the state dict does not fit.
        state: dict of the names transformers gives them, with or without "resnet." before them, to
            arrays. The classifier is not used.

    Raises:
        ValueError: an array is missing, has another shape, or has no place in the network.
    """
    state = {name.removeprefix("resnet."): array for name, array in state.items()}
    state = {
        name: array
        for name, array in state.items()
        if name.startswith(("embedder.", "encoder.")) and not name.endswith("num_batches_tracked")
    }
    weights = {
        layer: _weights(layer, state)
        for layer in encoder.layers
        if layer.weights and layer.name != "standard"
    }
    if state:
        raise ValueError(f"there is no place for {min(state)}")
    if encoder.output_shape[-1] == EMBEDDING[50]:  # which sees BGR
        kernel = weights[encoder.get_layer("conv1_conv")]
        kernel[0] = kernel[0][:, :, ::-1]
    for layer, arrays in weights.items():
        layer.set_weights(arrays)
    _standardise(encoder, *_PUBLISHED)


def _resnet18(x):
    x = _conv(x, 64, 7, 2, "conv1")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)  # zero is the least value after a ReLU
    x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
    for stage in range(4):
        for block in range(2):
            strides = 2 if stage and not block else 1
            x = _block(x, 64 * 2**stage, strides, f"conv{stage + 2}_block{block + 1}")
    return layers.GlobalAveragePooling2D(name="avg_pool")(x)


def _resnet50(x):
    return keras.applications.ResNet50(
        include_top=False, weights=None, pooling="avg", input_tensor=ops.flip(x, -1)
    ).output


def _block(x, filters, strides, name):
    shortcut = x if strides == 1 else _conv(x, filters, 1, strides, f"{name}_0", relu=False)
    x = _conv(x, filters, 3, strides, f"{name}_1")
    x = _conv(x, filters, 3, 1, f"{name}_2", relu=False)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_out")(x)


def _conv(x, filters, kernel, strides, name, relu=True):
    # Padded as PyTorch does: "same" pads an even side at its end only.
    x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x) if kernel > 1 else x
    x = layers.Conv2D(filters, kernel, strides, use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if relu else x


def _standardise(encoder, mean, deviation):
    layer = encoder.get_layer("standard")
    layer.set_weights([np.array(mean), np.square(deviation), np.array(0)])
    layer.finalize_state()


def _applications(weights):
    return keras.applications.ResNet50(include_top=False, weights=str(weights), pooling="avg")


def _fetch(depth):
    """The network with its ImageNet weights as the library that has them builds it."""
    if depth == 18:
        try:
            import keras_hub
        except ImportError:
            raise ModuleNotFoundError(
                "the ImageNet weights of ResNet-18 come through keras-hub, which is not installed: "
                f"`pip install keras-hub`, or give --encoder-weights a file such as {_FILES[18]}."
            ) from None
    try:
        if depth == 18:
            return keras_hub.models.ResNetBackbone.from_preset("resnet_18_imagenet")
        return _applications("imagenet")
    except Exception as error:  # Keras's downloader raises no other class
        reason = " ".join(str(error).split())[:200]
        raise ConnectionError(
            f"the ImageNet weights of ResNet-{depth} cannot be fetched ({reason}); get "
            f"{_FILES[depth]} elsewhere and give the file to --encoder-weights."
        ) from None


def _copy(body, encoder):
    """Copies weights by the names of layers, also from keras-hub's, which count from 0."""
    for layer in body.layers:
        if layer.weights:
            name = re.sub(
                r"^stack(\d)_block(\d)",
                lambda at: f"conv{int(at[1]) + 2}_block{int(at[2]) + 1}",
                layer.name,
            )
            encoder.get_layer(name).set_weights(layer.get_weights())
    _standardise(
        encoder, *_DEFAULT_SOURCES[50 if encoder.output_shape[-1] == EMBEDDING[50] else 18]
    )


def _refuse_other(config, depth):
    """Raises ValueError where config.json tells of a network that shapes do not tell apart."""
    if not config.is_file():
        if depth == 18:
            return
        raise ValueError("it needs the config.json beside it that tells where the strides are")
    wanted = {"downsample_in_first_stage": False, "hidden_act": "relu"}
    settings = {
        **wanted,
        "downsample_in_bottleneck": False,
        **json.loads(config.read_text("utf-8")),
    }
    if depth == 50:
        wanted["downsample_in_bottleneck"] = True
    for name, value in wanted.items():
        if settings[name] != value:
            raise ValueError(f"{name} must be {value}, it is {settings[name]}")


def _weights(layer, state):
    """Returns a layer's arrays from the state dict, in Keras's order and layout."""
    kinds = {
        "kernel": "weight",
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
    arrays = []
    for variable in layer.weights:
        if variable.name == "bias":  # the convolutions of Keras's 50 have one, others have none
            arrays.append(np.zeros(variable.shape, np.float32))
            continue
        name = f"{_published(layer.name)}.{kinds[variable.name]}"
        if name not in state:
            raise ValueError(f"{name} is missing")
        array = state.pop(name).T  # (out, in, h, w) -> (w, h, in, out)
        array = array.swapaxes(0, 1) if array.ndim == 4 else array
        if array.shape != tuple(variable.shape):
            raise ValueError(
                f"{name} must have the shape {tuple(variable.shape)} in Keras, it has {array.shape}"
            )
        arrays.append(array)
    return arrays


def _published(name):
    """The name that transformers gives a layer: conv2_block1_0_conv -> encoder.stages.0...."""
    kind = "convolution" if name.endswith("_conv") else "normalization"
    if name.startswith("conv1_"):
        return f"embedder.embedder.{kind}"
    stage, block, index = (int(number) for number in re.findall(r"\d+", name))
    part = f"layer.{index - 1}" if index else "shortcut"
    return f"encoder.stages.{stage - 2}.layers.{block - 1}.{part}.{kind}"
