"""Design 4: action units and the mean-MFCC series, a bidirectional LSTM for each.

    python train_model.py --preset action_unit_bilstm --data au_mfcc.pkl
    python train_model.py --preset action_unit_bilstm --data dataset --features au_mfcc.pkl

    video (steps, 35) -> BN -> 2 x bidirectional LSTM 16 -> 32
    audio (259,) -> BN -> as one step -> 2 x bidirectional LSTM 16 -> 32
    concatenate -> Dense classes (logits)

Source: a student project on the action units and features that Luna-Jimenez et al. 2022 published.
Corrected: it split clips at random and reported about 80 % (here: --protocol random); a pickle was
loaded with whatever it would run. The 259 are one number for each of 259 frames, not coefficients;
as one step, the LSTM is a gated dense layer over them, which is the design.

Inputs are standardised inside the model, by batch normalization: its means and variances are
learned on training clips and saved with the weights, so no scaler can have seen a test speaker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras import Input, Model, layers

from emotion.features import ActionUnits, MeanMfccSeries
from emotion.models.cnn3d_mfcc import MOMENTUM
from emotion.preset import Preset, Recipe
from emotion.signals.augment import Augmentation

if TYPE_CHECKING:
    import keras

PRESETS = (
    Preset(
        "action_unit_bilstm",
        "action_unit_bilstm",
        audio=MeanMfccSeries(),
        video=ActionUnits(),
        # The series counts from the start of the clip, so the silence there must stay.
        augmentation=Augmentation(probability=0.0),
        recipe=Recipe(epochs=100),
    ),
)


def build(preset: Preset, classes: int) -> keras.Model:
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with one or both of the inputs `audio` (n,) and `video` (t, c), float32.
        classes: int.

    Returns:
        keras.Model, to logits (b, classes).
    """
    inputs, embeddings = {}, []
    for name, feature in preset.features.items():
        inputs[name] = x = Input(feature.shape, dtype=feature.dtype, name=name)
        x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_scale")(x)
        if len(feature.shape) == 1:
            x = layers.Reshape((1, *feature.shape), name=f"{name}_step")(x)
        for index in range(2):
            # A loop over a single step costs more than the step.
            cell = layers.LSTM(16, return_sequences=index == 0, unroll=x.shape[1] == 1)
            x = layers.Bidirectional(cell, name=f"{name}_lstm{index}")(x)
        embeddings.append(x)
    x = layers.Concatenate(name="fusion")(embeddings) if len(embeddings) > 1 else embeddings[0]
    logits = layers.Dense(classes, name="logits")(x)
    return Model(inputs, logits, name="action_unit_bilstm")
