"""Design 1, the default: a 2D-CNN on the MFCC map and a 3D-CNN on the clip, concatenated.

    python train_model.py --preset cnn3d_mfcc

    audio (40, 44, 1) -> 4 Conv2D 3x3, BN, ReLU with 3 poolings -> mean and peak over time -> 128
    video (20, 112, 112, 3) -> strided stem -> 3 x [(1,3,3) then (3,1,1), BN, ReLU] -> mean -> 128
    concatenate -> Dense 128, BN, ReLU, dropout -> Dense classes (logits)

Source: a student project that feeds 40 x 44 MFCC maps and 20 frames of 112 x 112 to a 2D-CNN and
a 3D-CNN. Corrected: global pooling where Flatten -> Dense(2048) held 264 of 267.6 M parameters;
steps and frames that span the whole utterance, not its first second; face crops, RGB, scaled; the
same take's sound and picture; validation without augmentation. A spatial and a temporal
convolution take the place of each 3 x 3 x 3 one ("(2+1)D", Tran et al. 2018, arXiv:1711.11248)
behind a strided stem, which trains several times faster on a CPU (benchmarks/training.py).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from emotion.features import FaceFrames, Mfcc
from emotion.preset import Preset

# Of batch statistics. Keras's default, 0.99, lags five epochs behind on corpora of this size.
MOMENTUM = 0.9
PRESETS = (Preset("cnn3d_mfcc", "cnn3d_mfcc", audio=Mfcc(), video=FaceFrames()),)


def build(preset: Preset, classes: int) -> keras.Model:
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with one or both of the inputs `audio` (c, t, 1) float32 and
            `video` (t, h, w, 3) uint8.
        classes: int.

    Returns:
        keras.Model, to logits (b, classes).
    """
    branches = {"audio": audio_branch, "video": _video_branch}
    inputs, embeddings = {}, []
    for name, feature in preset.features.items():
        inputs[name] = keras.Input(feature.shape, dtype=feature.dtype, name=name)
        embeddings.append(branches[name](inputs[name]))
    x = layers.Concatenate(name="fusion")(embeddings) if len(embeddings) > 1 else embeddings[0]
    x = layers.Dense(128, use_bias=False, name="fusion_dense")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name="fusion_bn")(x)
    x = layers.ReLU(name="fusion_relu")(x)
    x = layers.Dropout(0.4, name="fusion_dropout")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name="cnn3d_mfcc")


def audio_branch(x: Any) -> Any:
    """Maps an MFCC map (b, c, t, 1) to an embedding (b, 128), layers named audio_*."""
    # Each coefficient has a scale of its own: the first is hundreds, the last is ones.
    x = layers.BatchNormalization(axis=1, momentum=MOMENTUM, name="audio_scale")(x)
    for stage, widths in enumerate(((32,), (64,), (128, 128))):
        for index, filters in enumerate(widths):
            name = f"audio_conv{stage}{index}"
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
            x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"audio_pool{stage}")(x)
        x = layers.Dropout(0.2, name=f"audio_dropout{stage}")(x)
    # (b, 5, 6, 128): pooled over time alone, since a coefficient means what its index says.
    mean = layers.AveragePooling2D((1, x.shape[2]), name="audio_mean")(x)
    peak = layers.MaxPooling2D((1, x.shape[2]), name="audio_peak")(x)
    x = layers.Flatten(name="audio_flat")(layers.Concatenate(name="audio_pooled")([mean, peak]))
    x = layers.Dropout(0.4, name="audio_dropout_in")(x)
    return layers.Dense(128, activation="relu", name="audio_dense")(x)


def _video_branch(x):
    x = layers.Rescaling(1 / 127.5, offset=-1, name="video_scale")(x)
    x = _conv3d(x, 16, (1, 5, 5), (1, 4, 4), "video_stem")  # (b, 20, 28, 28, 16)
    for index, (filters, strides) in enumerate(((32, (2, 2, 2)), (64, (2, 2, 2)), (96, (1, 2, 2)))):
        spatial = (1, *strides[1:])
        x = _conv3d(x, filters, (1, 3, 3), spatial, f"video_space{index}")
        x = _conv3d(x, filters, (3, 1, 1), (strides[0], 1, 1), f"video_time{index}")
    # (b, 5, 4, 4, 96); pooled in one dimension, since LiteRT has no average pooling in three
    x = layers.Reshape((x.shape[1], -1), name="video_steps")(x)
    x = layers.AveragePooling1D(5, name="video_mean_time")(x)
    x = layers.Flatten(name="video_flat")(x)
    x = layers.Dropout(0.4, name="video_dropout")(x)
    return layers.Dense(128, activation="relu", name="video_dense")(x)


def _conv3d(x, filters, kernel, strides, name):
    x = layers.Conv3D(filters, kernel, strides, "same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
