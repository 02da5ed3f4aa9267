"""Encoders: pretrained bodies, each with `build(...)` and a loader of published weights.

A model that has one has a layer of its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion import shipped
from emotion.encoders import checkpoint, efficientface, face_expression, resnet, wav2vec2

if TYPE_CHECKING:
    import keras

ENCODERS = {
    "efficientface": efficientface,
    "face_encoder": face_expression,
    "resnet18": resnet,
    "resnet50": resnet,
    "wav2vec2": wav2vec2,
}
# What an encoder starts from where nothing else is asked for: weights that can be fetched.
DEFAULTS = {
    "face_encoder": "starter",
    "resnet18": "imagenet",
    "resnet50": "imagenet",
    "wav2vec2": "facebook/wav2vec2-base",
}


def sources(model: keras.Model, asked: Sequence[str] = ()) -> dict[str, str]:
    """Resolves the source of the weights of each encoder.

    Args:
        model: keras.Model.
        asked: sequence of str, each SOURCE, for the model's one encoder, or NAME=SOURCE. A source
            is what the encoder's `load_weights` reads: "imagenet", "starter", an id of a hub, a
            path; or "none", random weights, which alone is said to all encoders.

    Returns:
        dict of the encoder's name to its source, without those that start from random weights.

    Raises:
        ValueError: the model has not the encoder, or several of which none is named.
    """
    present = [layer.name for layer in model.layers if layer.name in ENCODERS]
    chosen = {name: DEFAULTS.get(name) for name in present}
    if model.name == "face_expression" or not shipped.starter():  # which trains this encoder
        chosen |= {"face_encoder": None} if "face_encoder" in present else {}
    for text in map(str, asked):
        name, _, source = text.partition("=")
        if name in ENCODERS:
            names = [name]
        else:
            names, source = present, text
        if source == "none" and set(names) <= set(present):
            chosen.update(dict.fromkeys(names))
        elif not present or names[0] not in present:
            raise ValueError(
                f"encoder weights are for models with one of {', '.join(ENCODERS)}; {model.name} "
                f"with these inputs has {' and '.join(present) or 'none'}. Received: {text}."
            )
        elif len(names) > 1:
            raise ValueError(
                f"encoder weights of {model.name} must name the encoder, {' or '.join(present)}: "
                f"{present[0]}=SOURCE. Received: {text}."
            )
        else:
            chosen[names[0]] = source
    return {name: source for name, source in chosen.items() if source}


def configs(sources: dict[str, str]) -> dict[str, Any]:
    """Reads the sizes of the encoders whose weights are of other sizes than `build()` gives.

    Args:
        sources: dict of `sources(model)`.

    Returns:
        dict of the encoder's name to its config: of Wav2Vec2, whose sources other than a single
        file have a config.json.

    Raises:
        ValueError, OSError: as `wav2vec2.config`.
    """
    source = sources.get("wav2vec2")
    if source is None or Path(source).is_file():
        return {}
    config = wav2vec2.config(source)
    return {} if config == wav2vec2.BASE else {"wav2vec2": config}


def identify(source: str) -> str:
    """Returns what tells weights apart in a record: a digest of a file's content, else the source.

    Args:
        source: str of a path, of a folder with one of checkpoint.NAMES, or of what is no path.
    """
    if source == "starter":
        source = shipped.starter() or source
    names = (*checkpoint.NAMES, "model.keras")
    paths = [Path(source), *(Path(source, name) for name in names)]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:  # its reader tells if there should be one
        return str(source)
    with open(path, "rb") as file:
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load(model: keras.Model, sources: dict[str, str]) -> None:
    """Loads pretrained weights into a model's encoders.

    Args:
        model: keras.Model.
        sources: dict of `sources(model)`.

    Raises:
        ValueError: weights do not fit their encoder.
        OSError: there are none, or they cannot be fetched.
        ModuleNotFoundError: what fetches them is not installed.
    """
    for name, source in sources.items():
        ENCODERS[name].load_weights(model.get_layer(name), source)
