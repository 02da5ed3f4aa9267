"""Frozen encoders: their embeddings are computed once per clip and cached.

A branch in which nothing trains says the same of a clip in every epoch. `cut` asks it once; what
is trained then begins behind the layer `audio_embedding` or `video_embedding`. The clip enters the
branch as it is, without augmentation, and dropout is off there; where clips are mixed, embeddings
are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from emotion.signals.cache import SignalCache

if TYPE_CHECKING:
    import keras

    from emotion.clip import Clip, Signal
    from emotion.preset import Preset


@dataclass(frozen=True, eq=False)
class Embedding:
    """Stands in a preset for the feature that a frozen branch reads; never recorded.

    Attributes:
        modality: str, "audio" or "video".
        absent: float32 array (c,), what the branch makes of the zeros that stand for a signal
            without the modality.
    """

    modality: str
    absent: np.ndarray

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(c,)."""
        return self.absent.shape

    def __call__(self, signal: Signal) -> np.ndarray:
        """Returns the embedding that `EmbeddedSignals.load` has put into the signal.

        Args:
            signal: Signal.

        Returns:
            float32 array (c,); `absent` where the signal was given none.
        """
        return signal.features.get(f"{self.modality}_embedding", self.absent)


@dataclass(frozen=True)
class EmbeddedSignals:
    """Signals with embeddings in place of what a frozen branch would read.

    Attributes:
        signals: SignalCache of the modalities that have no embedding.
        keys: dict of modality to the settings that its embeddings are stored under.
    """

    signals: SignalCache
    keys: dict

    def load(self, clip: Clip) -> Signal:
        """Returns the Signal of a Clip.

        Raises:
            FileNotFoundError: an embedding is no longer there.
            MediaError, ValueError: as `SignalCache.load`.
        """
        embeddings = {}
        for name, key in self.keys.items():
            if path := getattr(clip, name):
                embeddings |= self.signals.computed(path, key, partial(_refuse, path))
        return self.signals.load(clip, embeddings)


def cut(
    model: keras.Model, preset: Preset, clips: list[Clip], signals: SignalCache
) -> tuple[keras.Model, Preset, SignalCache | EmbeddedSignals]:
    """Cuts the frozen branches off a model and computes what they make of clips.

    A branch is frozen where no layer with weights trains up to the one named MODALITY_embedding.
    None is cut where values come from a table, or where `augmentation.modality_dropout` weakens
    inputs: the embedding of half a picture is not half an embedding.

    Args:
        model: keras.Model of `preset`, with the weights it begins with.
        preset: Preset.
        clips: list of Clip, those for training and validation.
        signals: SignalCache.

    Returns:
        (head, preset, signals): keras.Model to logits that shares the layers of `model`, the preset
        with an Embedding for each branch that was cut, and the EmbeddedSignals that it reads. The
        arguments themselves where none was.

    Raises:
        MediaError, ValueError: as `SignalCache.load`.
    """
    spec, keys = signals.spec, {}
    stand_ins: dict[str, Any] = {}
    bodies = (
        {}
        if spec.table_features or preset.augmentation.modality_dropout
        else _bodies(model, preset)
    )
    if not bodies:
        return model, preset, signals
    for name, body in bodies.items():
        feature = preset.features[name]
        zeros = np.zeros(feature.shape, feature.dtype)
        stand_ins[name] = Embedding(name, _run(body, name, zeros))
        keys[name] = ("embedding", name, spec.settings(name), feature, _digest(body))
        for clip in tqdm(clips, desc=f"embed {name}", unit="clip"):
            if path := getattr(clip, name):
                embed = partial(_embed, clip, name, preset.only(name), body, signals.load)
                signals.computed(path, keys[name], embed)
    rest = replace(spec, **{{"audio": "sample_rate", "video": "size"}[n]: None for n in bodies})
    embedded = EmbeddedSignals(replace(signals, spec=rest), keys)
    ends = {n: bodies[n].output if n in bodies else x for n, x in model.input.items()}
    return head(model, ends), replace(preset, **stand_ins), embedded


def _bodies(model, preset):
    """Dict of modality to the keras.Model from its input to its embedding, where that is frozen."""
    import keras  # not above: a worker, which loads signals, has no backend

    bodies, names = {}, {layer.name for layer in model.layers}
    for name in preset.features:
        if f"{name}_embedding" in names:
            embedding = model.get_layer(f"{name}_embedding").output
            body = keras.Model({name: model.input[name]}, embedding, name=f"{name}_body")
            # Weights that no gradient moves train too: the statistics of batch normalization.
            if not any(layer.trainable and layer.weights for layer in body.layers):
                bodies[name] = body
    return bodies


def head(model: keras.Model, ends: dict[str, Any]) -> keras.Model:
    """Returns the part of a model that lies behind some of its tensors; layers are shared.

    Args:
        model: keras.Model.
        ends: dict of the name that an input shall have to the KerasTensor that it stands for; all
            that lies behind none of them must be an input of `model` and among them.
    """
    import keras

    inputs = {n: keras.Input(x.shape[1:], dtype=x.dtype, name=n) for n, x in ends.items()}
    # keras.Model(ends, model.output) would leave a `model` that cannot be saved (Keras 3.15).
    rest = keras.Function(list(ends.values()), model.output)
    return keras.Model(inputs, rest.call(list(inputs.values())), name=model.name)


def _digest(body):
    """Digest of a branch's structure and weights."""
    digest = hashlib.blake2b(body.to_json().encode(), digest_size=16)
    for array in body.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def _embed(clip, name, preset, body, load):
    signal = load(clip)
    if not {"audio": signal.has_audio, "video": signal.has_face}[name]:
        return {}
    return {f"{name}_embedding": _run(body, name, preset.extract(signal)[name])}


def _run(body, name, x):
    # One clip alone: the last bits of a result may depend on the size of its batch.
    return body.predict_on_batch({name: x[None]})[0]


def _refuse(path):
    raise FileNotFoundError(
        f"the embedding of {path} is gone from the cache; the same command with --resume makes it "
        "anew and goes on."
    )
