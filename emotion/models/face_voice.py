"""Face and voice: a face expression CNN on each frame and a CNN on the log-mel map, fused late.

    python train_model.py --preset face_voice

    video (20, 48, 48, 3) -> face encoder -> 256 a frame -> 2 Conv1D over time, added -> mean over
        frames -> Dense classes
    audio (40, 44, 1) -> the audio branch of cnn3d_mfcc -> Dense 128, BN, ReLU -> Dense classes
    the sum of the log-probabilities of the modalities that are present (logits)

Both branches predict alone: a modality that is missing, zeros in its input, changes nothing. In
training each batch is followed by copies without the face, without the voice and with both
weakened (`Augmentation.modality_dropout`), so each branch is trained alone too. The layer over time
starts as the identity, so that the branch of a video begins as the mean of its frames. The face
encoder starts from the starter's weights, and trains after the first epochs.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
from keras import layers, ops

from emotion.encoders import face_expression
from emotion.features import FaceFrames, LogMel
from emotion.models.cnn3d_mfcc import MOMENTUM, audio_branch
from emotion.preset import Augmentation, Preset, Recipe

PRESETS = (
    Preset(
        "face_voice",
        "face_voice",
        audio=LogMel(),
        video=FaceFrames(size=48),
        augmentation=Augmentation(modality_dropout=True),
        recipe=Recipe(epochs=60, patience=20, head_epochs=5, encoder_learning_rate=1e-4),
    ),
)


def build(preset: Preset, classes: int, configs: dict | None = None) -> keras.Model:
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with one or both of the inputs `audio` (c, t, 1) float32 and
            `video` (t, h, w, 3) uint8.
        classes: int.
        configs: dict, further arguments of `face_expression.build` under "face_encoder"; or None.

    Returns:
        keras.Model, to logits (b, classes): log-probabilities where it has both inputs.
    """
    encoder = (configs or {}).get("face_encoder", {})
    branches = {"audio": _audio_branch, "video": partial(_video_branch, **encoder)}
    inputs, logits = {}, {}
    for name, feature in preset.features.items():
        inputs[name] = keras.Input(feature.shape, dtype=feature.dtype, name=name)
        x = layers.Dropout(0.4, name=f"{name}_dropout")(branches[name](inputs[name]))
        logits[name] = layers.Dense(classes, name=f"{name}_logits")(x)
    if len(logits) == 1:
        (output,) = logits.values()
    else:
        parts = [_present(inputs[n]) * ops.log_softmax(logits[n], axis=-1) for n in inputs]
        output = layers.Add(name="logits")(parts)
    return keras.Model(inputs, output, name="face_voice")


def _present(x):
    """1 where an input has any value, else 0: (b, 1)."""
    x = ops.reshape(ops.cast(x, "float32"), (-1, math.prod(x.shape[1:])))
    return ops.cast(ops.max(ops.abs(x), axis=-1, keepdims=True) > 0, "float32")


def _audio_branch(x):
    """Maps a log-mel map (b, c, t, 1) to an embedding (b, 128), layers named audio_*."""
    x = layers.Dense(128, use_bias=False, name="audio_head")(audio_branch(x))
    # Without it, the branch did not learn RAVDESS after CREMA-D: its units stayed at zero.
    x = layers.BatchNormalization(momentum=MOMENTUM, name="audio_head_bn")(x)
    return layers.ReLU(name="audio_embedding")(x)


def _video_branch(x: Any, **encoder: Any) -> Any:
    """Maps frames (b, t, h, w, 3) to an embedding (b, 256), layers named video_*."""
    count, size = x.shape[1:3]
    width = face_expression.WIDTHS[-1]
    frames = ops.reshape(x, (-1, size, size, 3))
    x = face_expression.build(size, **encoder)(frames)
    x = ops.reshape(x, (-1, count, width))
    y = layers.Conv1D(64, 3, padding="same", activation="relu", name="video_time0")(x)
    y = layers.Conv1D(width, 1, kernel_initializer="zeros", name="video_time1")(y)
    x = layers.Add(name="video_time")([x, y])
    return layers.GlobalAveragePooling1D(name="video_embedding")(x)
