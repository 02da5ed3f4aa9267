"""Models: one design a file, each with `build(preset, classes)` and its PRESETS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emotion.models import (
    action_unit_bilstm,
    cnn3d_mfcc,
    efficientface_fusion,
    face_expression,
    face_voice,
    mean_mfcc_resnet18_transformer,
    mfcc_action_units,
    wav2vec2_resnet50,
)

if TYPE_CHECKING:
    import keras

    from emotion.preset import Preset

MODELS = {
    "cnn3d_mfcc": cnn3d_mfcc,
    "mean_mfcc_resnet18_transformer": mean_mfcc_resnet18_transformer,
    "efficientface_fusion": efficientface_fusion,
    "action_unit_bilstm": action_unit_bilstm,
    "wav2vec2_resnet50": wav2vec2_resnet50,
    "mfcc_action_units": mfcc_action_units,
    "face_expression": face_expression,
    "face_voice": face_voice,
}
PRESETS = {preset.name: preset for model in MODELS.values() for preset in model.PRESETS}


def preset(name: str) -> Preset:
    """Returns the preset of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"`preset` must be one of {', '.join(PRESETS)}. Received: {name}.")
    return PRESETS[name]


def describe(preset: Preset) -> str:
    """Returns the first line of the docstring of a preset's model, with the preset's fusion."""
    line = MODELS[preset.model].__doc__.partition("\n")[0]
    fusion = preset.fusion and preset.fusion.replace("_", " ")
    return f"{line.removesuffix('.')} ({fusion})." if fusion else line


def attention_layers(preset: Preset) -> dict[str, tuple[str, str]]:
    """Returns dict of a layer's name to (modality of the queries, modality of the keys)."""
    return getattr(MODELS[preset.model], "ATTENTION", {})


def vector_layer(preset: Preset) -> tuple[str, list[str]] | None:
    """Returns (name, names): the layer whose input is one vector of named values, and those names.

    None where a preset's model has no such layer.
    """
    named = getattr(MODELS[preset.model], "vector_layer", None)
    return named and named(preset)


def build_model(preset: Preset, classes: int, configs: dict | None = None) -> keras.Model:
    """Builds a preset's model.

    Args:
        preset: Preset.
        classes: int.
        configs: dict of `encoders.configs`, for encoders of other sizes than the preset's.

    Returns:
        keras.Model from the named inputs of `preset.extract` (batched) to logits (b, classes).
    """
    build = MODELS[preset.model].build
    return build(preset, classes, configs) if configs else build(preset, classes)
