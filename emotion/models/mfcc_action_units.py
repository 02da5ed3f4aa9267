"""MFCC and action units: a 2D-CNN on the MFCC map and an MLP on action units, late fusion.

    python train_model.py --preset mfcc_action_units --data dataset --features action_units.csv

    audio (40, 44, 1) -> cnn3d_mfcc with sound alone -> classes
    video (1, 35) -> BN -> dropout -> Dense classes
    mean (logits), in training one of the two at random

The modalities meet as two opinions do: the geometric mean of their probabilities. Each opinion is
formed alone, since in training a clip is judged by one of them: together, the one that learns
faster, on a few hundred clips a linear map of action units, leaves the other little to explain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras import Input, Model, layers, ops

from emotion.features import ActionUnits, Mfcc
from emotion.models.cnn3d_mfcc import MOMENTUM, audio_branch
from emotion.preset import Preset, Recipe

if TYPE_CHECKING:
    import keras

PRESETS = (
    Preset(
        "mfcc_action_units",
        "mfcc_action_units",
        audio=Mfcc(),
        video=ActionUnits(),
        recipe=Recipe(epochs=80, patience=25),  # each opinion learns from half of the clips
    ),
)


def build(preset: Preset, classes: int) -> keras.Model:
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with one or both of the inputs `audio` (c, t, 1) and `video` (t, 35),
            float32.
        classes: int.

    Returns:
        keras.Model, to logits (b, classes).
    """
    branches = {"audio": _audio_branch, "video": _video_branch}
    inputs, branch_logits = {}, []
    for name, feature in preset.features.items():
        inputs[name] = Input(feature.shape, dtype=feature.dtype, name=name)
        x = branches[name](inputs[name])
        x = layers.Dropout(0.4, name=f"{name}_dropout_out")(x)
        branch_logits.append(layers.Dense(classes, name=f"{name}_logits")(x))
    logits = _either(*branch_logits) if len(branch_logits) > 1 else branch_logits[0]
    return Model(inputs, logits, name="mfcc_action_units")


def _audio_branch(x):
    x = layers.Dense(128, use_bias=False, name="audio_dense_out")(audio_branch(x))
    x = layers.BatchNormalization(momentum=MOMENTUM, name="audio_dense_out_bn")(x)
    return layers.ReLU(name="audio_dense_out_relu")(x)


def _video_branch(x):
    x = layers.BatchNormalization(momentum=MOMENTUM, name="video_scale")(x)
    return layers.Flatten(name="video_flat")(x)


def _either(audio_logits, video_logits):
    """The mean of two opinions (b, classes); in training one of them, drawn for each clip."""
    # Dropout of half of the ones makes 0 or 2 of them in training, and leaves 1 otherwise.
    weight = layers.Dropout(0.5, name="opinion")(ops.ones_like(audio_logits[:, :1]))
    return (weight * audio_logits + (2 - weight) * video_logits) / 2
