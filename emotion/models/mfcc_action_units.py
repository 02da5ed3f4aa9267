"""Our own: the 2D-CNN on the MFCC map of the sound, and action units from a table, fused late.

    python train_model.py --preset mfcc_action_units --data dataset --features action_units.csv

    audio (40, 44, 1) -> the audio branch of cnn3d_mfcc -> 128 -> dropout -> Dense classes
    video (1, 35) -> BN -> 2 x [Dense 64, BN, ReLU, dropout] -> Dense classes
    add (logits)

The logits are added, so that the modalities meet as two opinions do: the product of their
probabilities. Where a clip has no action units its picture side has learned what to say, since
training leaves out either modality now and then.
"""

from keras import Input, Model, layers

from emotion.features import ActionUnits, Mfcc
from emotion.models.cnn3d_mfcc import MOMENTUM, hear
from emotion.preset import Preset

PRESETS = (Preset("mfcc_action_units", "mfcc_action_units", audio=Mfcc(), video=ActionUnits()),)


def build(preset, classes):
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with one or both of the inputs `audio` (c, t, 1) and `video` (t, 35),
            float32.
        classes: int.

    Returns:
        keras.Model, to logits (b, classes).
    """
    branches = {"audio": hear, "video": _see}
    inputs, opinions = {}, []
    for name, feature in preset.features.items():
        inputs[name] = Input(feature.shape, dtype=feature.dtype, name=name)
        x = branches[name](inputs[name])
        x = layers.Dropout(0.4, name=f"{name}_dropout_out")(x)
        opinions.append(layers.Dense(classes, name=f"{name}_logits")(x))
    logits = layers.Add(name="logits")(opinions) if len(opinions) > 1 else opinions[0]
    return Model(inputs, logits, name="mfcc_action_units")


def _see(x):
    x = layers.BatchNormalization(momentum=MOMENTUM, name="video_scale")(x)
    x = layers.Flatten(name="video_flat")(x)
    for index in range(2):
        x = layers.Dense(64, use_bias=False, name=f"video_dense{index}")(x)
        x = layers.BatchNormalization(momentum=MOMENTUM, name=f"video_bn{index}")(x)
        x = layers.ReLU(name=f"video_relu{index}")(x)
        x = layers.Dropout(0.3, name=f"video_dropout{index}")(x)
    return x
