"""Warm start: begins the training of both modalities from a run of each alone.

Design 5 trains a voice model and a face model first and then the two together. What a branch is
follows from names: the layers of a run that the run of the other modality does not have, since
both have the head.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emotion.run import load_run

if TYPE_CHECKING:
    import keras

    from emotion.preset import Preset


class Initial:
    """Weights to begin a training of both modalities with.

    Args:
        audio: str or Path of a run with sound alone.
        video: str or Path of a run with picture alone.
        freeze: bool, whether the layers that get weights stay as they are in training; their batch
            normalization then uses the means and variances it came with.

    Attributes:
        record: dict, for run.json: a digest of the weights of each run, and `frozen`.

    Raises:
        FileNotFoundError: a folder holds no run, or one whose training has not ended.
    """

    def __init__(self, audio: str | Path, video: str | Path, freeze: bool = False):
        self.runs = {"audio": load_run(audio), "video": load_run(video)}
        weights = {
            name: {layer.name: layer.get_weights() for layer in run.model().layers if layer.weights}
            for name, run in self.runs.items()
        }
        shared = weights["audio"].keys() & weights["video"].keys()
        self._weights = {
            name: {layer: arrays for layer, arrays in layers.items() if layer not in shared}
            for name, layers in weights.items()
        }
        self.freeze = freeze
        self.record = {
            **{n: _digest(layers) for n, layers in self._weights.items()},
            "frozen": freeze,
        }

    def load(
        self,
        model: keras.Model,
        preset: Preset,
        labels: Sequence[str],
        speakers: dict[str, Sequence[str]],
        protocol: str,
    ) -> None:
        """Sets the weights of the layers that bear the names of a branch's.

        Args:
            model: keras.Model of `preset`, not yet compiled; left as it is where one does not fit.
            preset: Preset with both modalities.
            labels: tuple of str, the label order.
            speakers: dict of role to tuple of str, of the split.
            protocol: str; in "random" speakers are shared anyway.

        Raises:
            ValueError: the preset has one modality, or a run has another preset, modality, labels
                or shapes, or was trained on speakers who are kept apart here; or `freeze` leaves
                nothing to train.
        """
        if preset.modality != "both":
            raise ValueError(
                "initial runs are for a training with sound and picture. "
                f"Received: {preset.name} with {preset.modality}."
            )
        for name, run in self.runs.items():
            _refuse_other(run, name, preset, labels)
            if protocol != "random":
                _refuse_leak(run, speakers)
        for layer, arrays in self._pairs(model):
            layer.set_weights(arrays)
            layer.trainable = layer.trainable and not self.freeze
        if not model.trainable_weights:
            raise ValueError(
                f"{model.name} has no layer beside its branches, so nothing is left to train; "
                "leave out --freeze-encoders."
            )

    def _pairs(self, model):
        """Returns a list of (layer of the model, its arrays)."""
        layers = {layer.name: layer for layer in model.layers}
        pairs = []
        for modality, weights in self._weights.items():
            shared = {name: arrays for name, arrays in weights.items() if name in layers}
            if not shared:
                raise ValueError(f"{self.runs[modality].folder} shares no layer with {model.name}.")
            for name, arrays in shared.items():
                shapes = [array.shape for array in arrays]
                expected = [tuple(weight.shape) for weight in layers[name].weights]
                if shapes != expected:
                    raise ValueError(
                        f"{self.runs[modality].folder}: {name} must have the shapes {expected}. "
                        f"Received: {shapes}."
                    )
                pairs.append((layers[name], arrays))
        return pairs


def _refuse_other(run, modality, preset, labels):
    trained = run.preset
    if (trained.name, trained.modality) != (preset.name, modality):
        raise ValueError(
            f"{run.folder} must be a run of {preset.name} with {modality} alone. "
            f"Received: {trained.name} with {trained.modality}."
        )
    if run.labels != tuple(labels):
        raise ValueError(
            f"{run.folder} must have the labels {', '.join(labels)}. "
            f"Received: {', '.join(run.labels)}."
        )


def _refuse_leak(run, speakers):
    """Test speakers must have had no part in a branch, validation speakers none in its weights."""
    trained, chosen = (set(run.record.speakers[role]) for role in ("train", "validation"))
    met = (trained | chosen) & set(speakers["test"]) | trained & set(speakers["validation"])
    if met:
        raise ValueError(
            f"{run.folder} was trained on speakers who test or validate here "
            f"({', '.join(sorted(met))}); take runs of the same protocol, fold and seed."
        )


def _digest(weights):
    digest = hashlib.blake2b(digest_size=16)
    for name, arrays in weights.items():
        digest.update(name.encode())
        for array in arrays:
            digest.update(array.tobytes())
    return digest.hexdigest()
