"""Design 5: Wav2Vec2 on the waveform and ResNet-50 over face crops, concatenated.

    python train_model.py --preset wav2vec2_resnet50
    python train_model.py --preset wav2vec2_resnet50 --encoder-weights wav2vec2=FOLDER

    audio (64000,), 4 s -> Wav2Vec2 -> hidden states (199, 768) -> mean over time -> 768
    video (8, 224, 224, 3) -> ResNet-50, 2048 a frame -> mean over frames -> 2048
    concatenate -> Dense 256, ReLU, dropout -> Dense classes (logits)

Source: a student project on CREMA-D, which tunes the two alone, then together. The head learns
first, at 3e-4; from the 11th epoch all is tuned, at 1e-5: ResNet-50 whole, Wav2Vec2 but for its
convolutional end, which stays as it was published, as is usual. With one modality the model is that
branch and the head.

Wav2Vec2 has the sizes in the config.json of the weights that it begins with: BASE, as above, unless
`--encoder-weights` names a folder or an id of others, such as facebook/wav2vec2-large-lv60.

What follows a shorter clip is silence, and is in the mean: the base model was pretrained without a
mask.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from emotion.encoders import resnet, wav2vec2
from emotion.features import FaceFrames, Waveform
from emotion.preset import Preset, Recipe

PRESETS = (
    Preset(
        "wav2vec2_resnet50",
        "wav2vec2_resnet50",
        audio=Waveform(),
        video=FaceFrames(count=8, size=224),
        recipe=Recipe(
            epochs=30,
            batch_size=8,
            learning_rate=3e-4,
            head_epochs=10,
            encoder_learning_rate=1e-5,
        ),
    ),
)


def build(preset: Preset, classes: int, configs: dict | None = None) -> keras.Model:
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with one or both of the inputs `audio` (n,) float32 and `video`
            (t, h, w, 3) uint8.
        classes: int.
        configs: dict of `encoders.configs`, or None for a Wav2Vec2 of BASE.

    Returns:
        keras.Model, to logits (b, classes).
    """
    config = (configs or {}).get("wav2vec2")
    branches = {"audio": lambda x: _audio_branch(x, config), "video": _video_branch}
    inputs, embeddings = {}, []
    for name, feature in preset.features.items():
        inputs[name] = keras.Input(feature.shape, dtype=feature.dtype, name=name)
        steps = branches[name](inputs[name])
        embeddings.append(layers.GlobalAveragePooling1D(name=f"{name}_embedding")(steps))
    x = layers.Concatenate(name="fusion")(embeddings) if len(embeddings) > 1 else embeddings[0]
    x = layers.Dense(256, activation="relu", name="fusion_dense")(x)
    x = layers.Dropout(0.3, name="fusion_dropout")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name="wav2vec2_resnet50")


def _audio_branch(x, config):
    encoder = wav2vec2.build(config) if config else wav2vec2.build()
    for layer in encoder.layers:
        if layer.name.startswith("feature_extractor-"):
            layer.trainable = False
    return encoder(x)


def _video_branch(x):
    count, *shape = x.shape[1:]
    x = ops.reshape(ops.cast(x, "float32"), (-1, *shape))  # (b * t, h, w, 3)
    x = resnet.build(50, name="resnet50")(x)
    return ops.reshape(x, (-1, count, 2048))
