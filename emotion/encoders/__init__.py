"""Encoders: pretrained bodies, each with `build(...)` and a loader of published weights.

A model that has one has a layer of its name.
"""

import hashlib
from pathlib import Path

from emotion.encoders import efficientface, resnet

ENCODERS = {"efficientface": efficientface, "resnet18": resnet, "resnet50": resnet}
# What an encoder starts from where nothing else is asked for: weights that can be fetched.
DEFAULTS = {"resnet18": "imagenet", "resnet50": "imagenet"}


def sources(model, asked=()):
    """Tells which weights each encoder of a model starts from.

    Args:
        model: keras.Model.
        asked: sequence of str, each SOURCE, for the model's one encoder, or NAME=SOURCE. A source
            is what the encoder's `load_weights` reads: "imagenet", an id of a hub, a path; or
            "none", random weights, which alone is said to all encoders.

    Returns:
        dict of the encoder's name to its source, without those that start from random weights.

    Raises:
        ValueError: the model has not the encoder, or several of which none is named.
    """
    found = [layer.name for layer in model.layers if layer.name in ENCODERS]
    chosen = {name: DEFAULTS.get(name) for name in found}
    for text in map(str, asked):
        name, _, source = text.partition("=")
        if name in ENCODERS:
            names = [name]
        else:
            names, source = found, text
        if source == "none" and set(names) <= set(found):
            chosen.update(dict.fromkeys(names))
        elif not found or names[0] not in found:
            raise ValueError(
                f"encoder weights are for models with one of {', '.join(ENCODERS)}; {model.name} "
                f"with these inputs has {' and '.join(found) or 'none'}. Received: {text}."
            )
        elif len(names) > 1:
            raise ValueError(
                f"encoder weights of {model.name} must name the encoder, {' or '.join(found)}: "
                f"{found[0]}=SOURCE. Received: {text}."
            )
        else:
            chosen[names[0]] = source
    return {name: source for name, source in chosen.items() if source}


def identify(source):
    """Returns what tells weights apart in a record: a digest of a file's content, else the source.

    Args:
        source: str of a path, of a folder with model.safetensors, or of what is no path.
    """
    path = Path(source)
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():  # its reader tells if it should be one
        return str(source)
    with open(path, "rb") as file:
        digest = hashlib.blake2b(digest_size=16)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load(model, sources):
    """Loads pretrained weights into a model's encoders.

    Args:
        model: keras.Model.
        sources: dict of `sources(model)`.

    Raises:
        ValueError: weights do not fit their encoder.
        OSError: there are none, or they cannot be fetched.
        ModuleNotFoundError: what reads them is not installed.
    """
    for name, source in sources.items():
        ENCODERS[name].load_weights(model.get_layer(name), source)
