"""Design 3: EfficientFace over frames and a 1D-CNN over MFCC, fused by attention.

    python train_model.py --preset efficientface_intermediate_attention

    audio (156, 10)          -> stage 1: 2 x [Conv1D 3, BN, ReLU, MaxPool 2/1], 128 -> (150, 128)
                             -> stage 2: the same, 256 and 128                      -> (144, 128)
    video (15, 224, 224, 3)  -> EfficientFace, 1024 a frame
                             -> stage 1: 2 x [Conv1D 3, BN, ReLU], 64               -> (15, 64)
                             -> stage 2: the same, 128                              -> (15, 128)
    mean over time of each -> concatenate -> Dense classes (logits)

Where the two meet is the preset's `fusion`:

    late_transformer          after stage 2 each gives way to a block in which it queries the other
    intermediate_transformer  after stage 1 such a block's output is added to each
    intermediate_attention    after stage 1 each step is weighed by how much the other attends to it

Source: Chumachenko, Iosifidis, Gabbouj, "Self-attention fusion for audiovisual emotion recognition
with incomplete data" (ICPR 2022), and its code, katerynaCh/multimodal-emotion-recognition; one
attention head, as there by default. Left out is what never learns there: in each branch a head of
1 032 parameters that nothing reads, and in intermediate attention, which uses the maps alone, the
37 056 parameters of values and output projections. So its 2 045 550, 1 938 414 and 1 854 766
parameters are 2 043 486, 1 936 350 and 1 815 646 here (trainable, 8 classes). With one modality a
preset is that branch and a head: no fusion.

Corrected: a resume that forgot the optimizer; folds that followed the order of a folder; 15 frames
over a fixed 3.6 seconds, which here span the whole utterance, as in every preset. The sound stays
at 3.6 seconds: the middle of a longer clip, a shorter one with silence behind it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from emotion.encoders import efficientface
from emotion.features import FaceFrames, MfccSeries
from emotion.preset import Preset, Recipe
from emotion.signals.augment import Augmentation

FUSIONS = ("late_transformer", "intermediate_transformer", "intermediate_attention")
# The layers that hold attention maps: the modality of the queries, and that of the keys.
ATTENTION = {
    "audio_cross_softmax": ("audio", "video"),
    "video_cross_softmax": ("video", "audio"),
    "audio_map_softmax": ("video", "audio"),
    "video_map_softmax": ("audio", "video"),
}

_AUGMENTATION = Augmentation(
    probability=0.0,
    shift=0.0,
    light=0.0,
    missing=0.0,
    mixup=0.0,
    rotation=10.0,
    modality_dropout=True,
)
# The source's PyTorch SGD has a learning rate of 0.04, a momentum of 0.9, a dampening of 0.9 and a
# weight decay of 1e-3 within the gradient. Keras's has no dampening and decays apart from the
# momentum, so the same steps are those of 0.04 * (1 - 0.9) and 1e-3 / (1 - 0.9).
_RECIPE = Recipe(
    epochs=100,
    batch_size=8,  # 32 with modality dropout: 480 frames, some 14 GiB (4 took 7.5 GiB on a CPU)
    learning_rate=0.004,
    warmup_epochs=0,
    clipnorm=None,
    weight_decay=0.01,
    patience=100,  # as many epochs as there are: the source does not stop early
    optimizer="sgd",
    momentum=0.9,
    milestones=(40, 55, 65, 70),
)
PRESETS = tuple(
    Preset(
        f"efficientface_{fusion}",
        "efficientface_fusion",
        audio=MfccSeries(),
        video=FaceFrames(count=15, size=224),
        augmentation=_AUGMENTATION,
        recipe=_RECIPE,
        fusion=fusion,
    )
    for fusion in FUSIONS
)


def build(preset: Preset, classes: int) -> keras.Model:
    """Builds the model; see the module's docstring.

    Args:
        preset: Preset with a `fusion` of FUSIONS and one or both of the inputs `audio` (t, c)
            float32 and `video` (t, h, w, 3) uint8.
        classes: int.

    Returns:
        keras.Model, to logits (b, classes).

    Raises:
        ValueError: the fusion is another one.
    """
    if preset.fusion not in FUSIONS:
        raise ValueError(
            f"`fusion` must be one of {', '.join(FUSIONS)}. Received: {preset.fusion}."
        )
    inputs = {
        name: keras.Input(feature.shape, dtype=feature.dtype, name=name)
        for name, feature in preset.features.items()
    }
    fusion = preset.fusion if len(inputs) == 2 else None
    x = {
        name: {"audio": _audio_branch, "video": _video_branch}[name](steps)
        for name, steps in inputs.items()
    }
    if fusion == "intermediate_transformer":
        crossed = _cross(**x)
        x = {name: layers.Add(name=f"{name}_added")([x[name], crossed[name]]) for name in x}
    elif fusion == "intermediate_attention":
        x = _weigh(**x)
    if "audio" in x:
        x["audio"] = _audio_step(_audio_step(x["audio"], 256, 2), 128, 3)
    if "video" in x:
        x["video"] = _video_step(_video_step(x["video"], 128, 2), 128, 3)
    if fusion == "late_transformer":
        x = _cross(**x)
    means = [layers.GlobalAveragePooling1D(name=f"{name}_mean")(x[name]) for name in x]
    both = layers.Concatenate(name="fusion")(means) if len(means) > 1 else means[0]
    logits = layers.Dense(classes, name="logits")(both)
    return keras.Model(inputs, logits, name=preset.name)


def _audio_branch(x):
    return _audio_step(_audio_step(x, 64, 0), 128, 1)


def _audio_step(x, filters, index):
    x = _conv1d(x, filters, "valid", f"audio_conv{index}")
    return layers.MaxPooling1D(2, 1, name=f"audio_pool{index}")(x)


def _video_branch(x):
    count, size = x.shape[1:3]
    x = layers.Rescaling(1 / 255, name="video_scale")(x)
    x = ops.reshape(x, (-1, size, size, 3))  # (b * t, h, w, 3)
    x = efficientface.build(size)(x)
    x = ops.reshape(x, (-1, count, efficientface.EMBEDDING))
    return _video_step(_video_step(x, 64, 0), 64, 1)


def _video_step(x, filters, index):
    return _conv1d(x, filters, "same", f"video_conv{index}")


def _conv1d(x, filters, padding, name):
    x = layers.Conv1D(filters, 3, padding=padding, name=name)(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _weigh(audio, video):
    """Weighs the steps of each: the attention that the other's queries, summed, pay to them."""
    weights = {
        "audio": ops.sum(attention_map(video, audio, "audio_map"), axis=1),
        "video": ops.sum(attention_map(audio, video, "video_map"), axis=1),
    }
    x = {"audio": audio, "video": video}
    for name, steps in x.items():
        weight = layers.Reshape((-1, 1), name=f"{name}_weight")(weights[name])
        x[name] = layers.Multiply(name=f"{name}_weighed")([steps, weight])
    return x


def _cross(audio, video):
    return {
        "audio": cross_block(audio, video, "audio_cross"),
        "video": cross_block(video, audio, "video_cross"),
    }


def cross_block(queries: Any, keys: Any, name: str) -> Any:
    """A transformer block in which one sequence queries another, as wide as the one that queries.

    What is queried takes the place of the queries, it is not added to them.

    Args:
        queries: tensor (b, q, c).
        keys: tensor (b, k, d), also the values.
        name: str, before the names of the layers.

    Returns:
        tensor (b, q, c).
    """
    width = queries.shape[-1]
    queries = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_queries")(queries)
    keys = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_keys")(keys)
    attention = attention_map(queries, keys, name)
    values = layers.Dense(width, use_bias=False, name=f"{name}_values")(keys)
    x = layers.Dot((2, 1), name=f"{name}_attended")([attention, values])
    x = layers.Dense(width, name=f"{name}_out")(x)
    inner = layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm_mlp")(x)
    inner = layers.Dense(2 * width, activation="gelu", name=f"{name}_mlp")(inner)
    inner = layers.Dense(width, name=f"{name}_mlp_out")(inner)
    return layers.Add(name=f"{name}_added")([x, inner])


def attention_map(queries: Any, keys: Any, name: str) -> Any:
    """softmax(Q K^T / sqrt(c)) over the keys (Vaswani et al. 2017, arXiv:1706.03762), one head.

    Args:
        queries: tensor (b, q, c).
        keys: tensor (b, k, d).
        name: str, before the names of the layers.

    Returns:
        tensor (b, q, k).
    """
    width = queries.shape[-1]
    q = layers.Dense(width, use_bias=False, name=f"{name}_q")(queries)
    k = layers.Dense(width, use_bias=False, name=f"{name}_k")(keys)
    scores = layers.Dot(2, name=f"{name}_scores")([q, k])
    scores = layers.Rescaling(width**-0.5, name=f"{name}_scaled")(scores)
    return layers.Softmax(name=f"{name}_softmax")(scores)
