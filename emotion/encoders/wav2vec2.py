"""Wav2Vec2: a transformer on the waveform, with the weights of its authors or of who fine-tuned it.

    waveform (n,) -> 7 convolutions, 20 ms a step, 512 -> norm, Dense 768
    -> + a grouped convolution over 128 steps, which tells position
    -> 12 blocks of self-attention and of 768 -> 3072 -> 768 -> hidden states (t, 768)

Source: Baevski, Zhou, Mohamed, Auli, "wav2vec 2.0: A Framework for Self-Supervised Learning of
Speech Representations" (NeurIPS 2020, arXiv:2006.11477). Two variants: BASE normalises over time
after the first convolution and after each sum in a block, LARGE (as large-lv60 and XLSR) over
channels after every convolution and before each part of a block. The masking, quantizer and heads
of pretraining are left out.

Layers bear the names of the published state dict, with dashes for its dots, which PyTorch takes in
no name of a parameter. The groups of the positional convolution are layers of their own: on a CPU
TensorFlow took 100 times as long for the gradient of a grouped one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from emotion.encoders import checkpoint, wav2vec2_weights

_POSITION = "encoder-pos_conv_embed-conv"


@dataclass(frozen=True)
class Config:
    """Sizes, by the names they have in a published config.json; the defaults are BASE.

    Attributes:
        conv_dim, conv_kernel, conv_stride: tuples of int, one entry a convolution of the extractor.
        conv_bias: bool, whether those have a bias.
        feat_extract_norm: str, "group" (after the first of them, over time) or "layer" (after
            each, over channels).
        hidden_size: int, width of a hidden state.
        num_hidden_layers, num_attention_heads, intermediate_size: int, of the transformer.
        num_conv_pos_embeddings, num_conv_pos_embedding_groups: int, kernel and groups of the
            positional convolution.
        layer_norm_eps: float, of all norms but the extractor's, which have 1e-5.
        do_stable_layer_norm: bool, whether a block normalises what enters its parts.
        hidden_dropout: float in [0, 1), in training, everywhere in the transformer.
    """

    conv_dim: tuple = (512,) * 7
    conv_kernel: tuple = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_extract_norm: str = "group"
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    layer_norm_eps: float = 1e-5
    do_stable_layer_norm: bool = False
    hidden_dropout: float = 0.1


BASE = Config()
LARGE = Config(
    conv_bias=True,
    feat_extract_norm="layer",
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    do_stable_layer_norm=True,
)


def steps(count: int, config: Config = BASE) -> int:
    """Number of hidden states of a waveform.

    Args:
        count: int, samples.
        config: Config.

    Returns:
        int; at most 0 where the waveform is too short for one.

    >>> steps(16000), steps(400), steps(399)
    (49, 1, 0)
    """
    for kernel, stride in zip(config.conv_kernel, config.conv_stride):
        count = (count - kernel) // stride + 1
    return count


def build(config: Config = BASE, name: str = "wav2vec2") -> keras.Model:
    """Builds the network up to its hidden states.

    Args:
        config: Config.
        name: str, of the model.

    Returns:
        keras.Model from waveforms (b, n) float32, 16 kHz, of zero mean and unit variance, to
        hidden states (b, steps(n), hidden_size).

    Raises:
        ValueError: the heads or the groups do not divide `hidden_size`.
    """
    for divisor in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if config.hidden_size % getattr(config, divisor):
            raise ValueError(
                f"`{divisor}` must divide `hidden_size` ({config.hidden_size}). "
                f"Received: {divisor}={getattr(config, divisor)}."
            )
    waveform = keras.Input((None,), name="waveform")
    x = _extract(ops.expand_dims(waveform, -1), config)
    x = _norm(x, "feature_projection-layer_norm", config)
    x = layers.Dense(config.hidden_size, name="feature_projection-projection")(x)
    x = layers.Dropout(config.hidden_dropout, name="feature_projection-dropout")(x)
    x = layers.Add(name="encoder-positioned")([x, _position(x, config)])
    if not config.do_stable_layer_norm:
        x = _norm(x, "encoder-layer_norm", config)
    x = layers.Dropout(config.hidden_dropout, name="encoder-dropout")(x)
    for index in range(config.num_hidden_layers):
        x = _block(x, f"encoder-layers-{index}", config)
    if config.do_stable_layer_norm:
        x = _norm(x, "encoder-layer_norm", config)
    return keras.Model(waveform, x, name=name)


def config(source: str) -> Config:
    """Reads the sizes of published weights.

    Args:
        source: str or Path, a folder with a config.json, or an id of the hub such as
            "facebook/wav2vec2-base".

    Returns:
        Config.

    Raises:
        ValueError: it is no Wav2Vec2, or one that this network is not.
        OSError: there is no config.json, or the hub cannot be reached.
    """
    (path,) = checkpoint.find(source, [("config.json",)])
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kind = record.get("model_type")
    except (ValueError, AttributeError):
        raise ValueError(f"{path} must be the JSON of a Wav2Vec2's sizes; get it anew.") from None
    wanted = {"model_type": "wav2vec2", "hidden_act": "gelu", "feat_extract_activation": "gelu"}
    wanted["add_adapter"] = False
    record = {**wanted, **record, "model_type": kind}
    for name, value in wanted.items():
        if record[name] != value:
            raise ValueError(f"{path} must have {name}: {value}. Received: {record[name]}.")
    settings: dict[str, Any] = {f.name: record[f.name] for f in fields(Config) if f.name in record}
    lists = {name: tuple(value) for name, value in settings.items() if isinstance(value, list)}
    return Config(**settings | lists)


def load_weights(encoder: keras.Model, source: str) -> None:
    """Loads published weights, from this machine or from the hub.

    Args:
        encoder: keras.Model of `build`; left as it is where the weights do not fit.
        source: str or Path: a folder with config.json and model.safetensors or pytorch_model.bin;
            such a file alone, whose sizes are then told by its arrays; or an id of the hub at
            $HF_ENDPOINT, such as "facebook/wav2vec2-base", which is fetched once.

    Raises:
        ValueError: they cannot be read, or are not those of this network.
        OSError: there are none, or the hub cannot be reached.
    """
    if Path(source).is_file():
        path = Path(source)
    else:
        wav2vec2_weights.refuse_other(encoder, config(source), source)
        (path,) = checkpoint.find(source, [checkpoint.NAMES])
    state = checkpoint.read(path)
    try:
        wav2vec2_weights.assign(encoder, state)
    except ValueError as error:
        alone = path == Path(source)
        hint = " If they are of another size, give the folder with their config.json."
        raise ValueError(
            f"{source} does not hold the weights of this Wav2Vec2: {error}{hint if alone else ''}"
        ) from None


def _extract(x, config):
    for index, (filters, kernel, stride) in enumerate(
        zip(config.conv_dim, config.conv_kernel, config.conv_stride)
    ):
        name = f"feature_extractor-conv_layers-{index}"
        x = layers.Conv1D(filters, kernel, stride, use_bias=config.conv_bias, name=f"{name}-conv")(
            x
        )
        if config.feat_extract_norm == "layer":
            x = layers.LayerNormalization(epsilon=1e-5, name=f"{name}-layer_norm")(x)
        elif index == 0:  # as many groups as channels
            x = layers.GroupNormalization(-1, epsilon=1e-5, name=f"{name}-layer_norm")(x)
        x = layers.Activation("gelu", name=f"{name}-gelu")(x)
    return x


def _position(x, config):
    groups, kernel = config.num_conv_pos_embedding_groups, config.num_conv_pos_embeddings
    # A convolution over an even kernel would give a step too many, which the authors leave out.
    x = layers.ZeroPadding1D((kernel // 2, (kernel - 1) // 2), name=f"{_POSITION}_pad")(x)
    parts = [
        layers.Conv1D(part.shape[-1], kernel, name=f"{_POSITION}-{index}")(part)
        for index, part in enumerate(ops.split(x, groups, axis=-1))
    ]
    x = layers.Concatenate(name=f"{_POSITION}_groups")(parts) if groups > 1 else parts[0]
    return layers.Activation("gelu", name=f"{_POSITION}_gelu")(x)


def _block(x, name, config):
    for part, norm in ((_attend, "layer_norm"), (_feed_forward, "final_layer_norm")):
        norm = f"{name}-{norm}"
        inner = part(_norm(x, norm, config) if config.do_stable_layer_norm else x, name, config)
        inner = layers.Dropout(config.hidden_dropout, name=f"{norm}_dropout")(inner)
        x = layers.Add(name=f"{norm}_sum")([x, inner])
        x = x if config.do_stable_layer_norm else _norm(x, norm, config)
    return x


def _attend(x, name, config):
    heads, dropout = config.num_attention_heads, config.hidden_dropout
    width = config.hidden_size // heads
    return layers.MultiHeadAttention(heads, width, dropout=dropout, name=f"{name}-attention")(x, x)


def _feed_forward(x, name, config):
    name = f"{name}-feed_forward"
    inner = layers.Dense(
        config.intermediate_size, activation="gelu", name=f"{name}-intermediate_dense"
    )(x)
    inner = layers.Dropout(config.hidden_dropout, name=f"{name}-intermediate_dropout")(inner)
    return layers.Dense(config.hidden_size, name=f"{name}-output_dense")(inner)


def _norm(x, name, config):
    return layers.LayerNormalization(epsilon=config.layer_norm_eps, name=name)(x)
