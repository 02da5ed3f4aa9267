"""Warm start: begins a training with the weights of other runs.

`Initial` begins the training of both modalities from a run of each alone: design 5 trains a voice
model and a face model first and then the two together. What a branch is follows from names: the
layers of a run that the run of the other modality does not have, since both have the head.

`Pretrained` begins a training with what one run of any corpus has learned.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emotion.data.corpora.images import named
from emotion.record import family
from emotion.run import load_run

if TYPE_CHECKING:
    import keras

    from emotion.preset import Preset

_log = logging.getLogger(__name__)


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


class Pretrained:
    """The weights of a run, of any preset, labels and corpus, to begin a training with.

    Args:
        folder: str or Path of the run.
        corpus: str, the corpus that is trained on now.

    Attributes:
        record: dict, for run.json: a digest of the weights.

    Raises:
        FileNotFoundError: the folder holds no run, or one whose training has not ended.
    """

    def __init__(self, folder: str | Path, corpus: str):
        self.run, self.corpus = load_run(folder), corpus
        layers = self.run.model().layers
        self._weights = {layer.name: layer.get_weights() for layer in layers if layer.weights}
        self.record = {"run": _digest(self._weights)}

    def load(
        self,
        model: keras.Model,
        preset: Preset,
        labels: Sequence[str],
        speakers: dict[str, Sequence[str]],
        protocol: str,
    ) -> None:
        """Sets the weights of the layers that have the name and the shapes of one of the run's.

        Of the layer that ends in classes, the weights of the classes that both have are set.

        Args:
            model: keras.Model, not yet compiled; left as it is where nothing fits.
            preset: Preset, not used.
            labels: tuple of str, the label order.
            speakers: dict of role to tuple of str, of the split.
            protocol: str; in "random" speakers are shared anyway.

        Raises:
            ValueError: no layer fits, or the run has met speakers who test or validate here.
        """
        if protocol != "random":
            self._refuse_leak(speakers)
        before, fitting = self.run.labels, {}
        for layer in model.layers:
            arrays, current = self._weights.get(layer.name), layer.get_weights()
            if not arrays or not current:
                continue
            if [a.shape for a in arrays] == [a.shape for a in current] and (
                before == tuple(labels) or not layer.name.endswith("logits")
            ):
                fitting[layer] = arrays
            elif layer.name.endswith("logits") and arrays[0].shape[0] == current[0].shape[0]:
                pairs = [(before.index(n), i) for i, n in enumerate(labels) if n in before]
                for array, values in zip(arrays, current, strict=True):
                    for old, new in pairs:
                        values[..., new] = array[..., old]
                fitting[layer] = current
        if not any(not layer.name.endswith("logits") for layer in fitting):
            raise ValueError(
                f"{self.run.folder} shares no layer with {model.name}; begin with a run of the "
                "same preset, or of one with the same branch."
            )
        for layer, arrays in fitting.items():
            layer.set_weights(arrays)
        count = len([layer for layer in model.layers if layer.weights])
        _log.info("%s: %d of %d layers begin with it", self.run.folder, len(fitting), count)

    def _refuse_leak(self, speakers):
        """Test speakers must be new; validation speakers may have chosen the run."""
        record = self.run.record
        same = family(record.corpus) == family(self.corpus)
        trained = set(record.speakers["train"]) if same else set()
        known = record.met().get(family(self.corpus), set())
        met = known & set(speakers["test"]) | trained & set(speakers["validation"])
        if met:
            raise ValueError(
                f"{self.run.folder} has met speakers who test or validate here "
                f"({named(met)}); begin with a run that was trained without them."
            )


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
