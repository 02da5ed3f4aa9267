"""Face alone: a residual CNN on single grey face crops.

    python train_model.py --preset face_expression --data fer2013.csv

    video (1, 48, 48, 3) -> grey -> stem 32 / 2 -> residual blocks 32, 64, 128, 256 -> mean -> 256
    -> dropout -> Dense classes (logits); the embeddings of several frames are averaged

For corpora of still images (docs/images.md); on a recording it reads the middle frame of a window.
The recipe follows what is published for networks of this size on FER2013 (Pramerdorfer & Kampel
2016, arXiv:1612.02903): SGD with Nesterov momentum, shifts, rotations, mirroring, erasing, mixup.
"""

from __future__ import annotations

import keras
from keras import layers, ops

from emotion.encoders import face_expression
from emotion.features import FaceFrames
from emotion.preset import Augmentation, Preset, Recipe

PRESETS = (
    Preset(
        "face_expression",
        "face_expression",
        audio=None,
        video=FaceFrames(count=1, size=48),
        augmentation=Augmentation(shift=0.08, rotation=10.0, erasing=0.25, face_mixup=0.2),
        recipe=Recipe(
            epochs=60,
            batch_size=128,
            learning_rate=0.08,
            clipnorm=None,
            weight_decay=3e-3,
            patience=60,
            optimizer="sgd",
            nesterov=True,
            schedule="cosine",
            label_smoothing=0.1,
            balanced=False,
        ),
    ),
)


def build(preset: Preset, classes: int) -> keras.Model:
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with the input `video` (t, h, w, 3) uint8.
        classes: int.

    Returns:
        keras.Model, to logits (b, classes).
    """
    count, size, *_ = preset.video.shape
    video = keras.Input(preset.video.shape, dtype=preset.video.dtype, name="video")
    frames = ops.reshape(video, (-1, size, size, 3))
    vectors = face_expression.build(size)(frames)
    vectors = ops.reshape(vectors, (-1, count, face_expression.WIDTHS[-1]))
    x = layers.GlobalAveragePooling1D(name="video_embedding")(vectors)
    x = layers.Dropout(0.3, name="dropout")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model({"video": video}, logits, name="face_expression")
