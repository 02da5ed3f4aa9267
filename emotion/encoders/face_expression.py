"""Face expression encoder: a residual CNN of 1.2 M parameters on small grey face crops.

Residual blocks (He et al. 2016, arXiv:1512.03385) of 32, 64, 128 and 256 channels behind a strided
stem. Colour is removed first, since FER2013 has none.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers, ops

from emotion import shipped

WIDTHS = (32, 64, 128, 256)  # channels of the stages; the last is the size of the embedding
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)


def build(size: int, name: str = "face_encoder", mirrored: bool = False) -> keras.Model:
    """Builds the encoder.

    Args:
        size: int, side of the crops in pixels.
        name: str.
        mirrored: bool, whether the embedding is the mean of that of a crop and that of its mirror
            image: more accurate, at twice the time. The weights are the same.

    Returns:
        keras.Model from frames (b, size, size, 3), RGB in 0..255, uint8 or float32, to embeddings
        (b, 256).
    """
    frames = keras.Input((size, size, 3), name="frames")
    if mirrored:
        encoder = build(size)
        both = [encoder(frames), encoder(ops.flip(frames, axis=2))]
        return keras.Model(frames, layers.Average(name="both_sides")(both), name=name)
    scaled = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(frames)
    x = sum(share * scaled[..., i : i + 1] for i, share in enumerate(LUMINANCE))
    x = _conv(x, WIDTHS[0], 3, 2, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for index, width in enumerate(WIDTHS):
        x = _block(x, width, 2 if index else 1, f"block{index}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(frames, x, name=name)


def load_weights(encoder: keras.Model, source: str) -> None:
    """Loads what a run has learned into the encoder.

    Args:
        encoder: keras.Model of `build`, of any size.
        source: str, "starter", or the path of a run that has the encoder, or of its model.keras.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: it has no such encoder.
    """
    folder = shipped.starter() if source == "starter" else Path(source)
    path = folder / "model.keras" if folder and folder.is_dir() else folder
    if path is None or not path.is_file():
        raise FileNotFoundError(f"{source} holds no model.keras; name a run with a face encoder.")
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    layer = next((layer for layer in model.layers if layer.name == "face_encoder"), None)
    if layer is None:
        raise ValueError(
            f"{source} has no face encoder; name a run of face_expression or face_voice."
        )
    encoder.set_weights(layer.get_weights())


def _block(x, width, stride, name):
    y = layers.ReLU(name=f"{name}_relu0")(_conv(x, width, 3, stride, f"{name}_conv0"))
    y = _conv(y, width, 3, 1, f"{name}_conv1")
    if stride > 1 or x.shape[-1] != width:
        x = _conv(x, width, 1, stride, f"{name}_shortcut")
    return layers.ReLU(name=f"{name}_relu1")(layers.Add(name=f"{name}_add")([x, y]))


def _conv(x, width, kernel, stride, name):
    x = layers.Conv2D(width, kernel, stride, "same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)
