"""Override: settings of a preset replaced by what a user typed, such as recipe.patience=25."""

import difflib
import math
from dataclasses import fields, replace
from typing import get_args

SECTIONS = ("recipe", "audio", "video", "augmentation")


def override(preset, texts):
    """Returns the preset with some of its settings replaced.

    Args:
        preset: Preset.
        texts: sequence of str, SECTION.FIELD=VALUE: a field of the preset's `recipe`, `audio`,
            `video` or `augmentation`. A value is read as the type of the field; "none" is None
            where the field may be that, a tuple is numbers with commas between them. Of a field
            that is named twice the last value counts.

    Raises:
        ValueError: there is no such section or field, the value is of another type, or the section
            refuses it.

    >>> from emotion.models import preset
    >>> changed = override(preset("cnn3d_mfcc"), ["recipe.patience=25", "audio.trim_db=none"])
    >>> changed.recipe.patience, changed.audio.trim_db
    (25, None)
    """
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        section, dot, setting = name.strip().partition(".")
        if not (equals and dot):
            raise ValueError(
                "a setting must be SECTION.FIELD=VALUE, such as recipe.patience=25. "
                f"Received: {text!r}."
            )
        _refuse_unknown("section", section, SECTIONS)
        part = getattr(preset, section)
        if part is None:
            raise ValueError(f"{preset.name} has no {section} here; leave out {text!r}.")
        known = {item.name: item for item in fields(part)}
        _refuse_unknown(f"field of {section}", setting, known)
        value = _read(name.strip(), known[setting], value)
        if section in ("audio", "video") and type(value) is int and value < 1:
            raise ValueError(f"{name.strip()} must be positive. Received: {value}.")
        changes.setdefault(section, {})[setting] = value
    parts = {name: replace(getattr(preset, name), **new) for name, new in changes.items()}
    changed = replace(preset, **parts)
    for name, feature in changed.features.items():
        if min(feature.shape) < 1:
            raise ValueError(
                f"{name} must have a positive shape; set a longer duration. "
                f"Received: {feature}, of shape {feature.shape}."
            )
    return changed


def _refuse_unknown(what, name, known):
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise ValueError(f"the {what} must be one of {', '.join(known)}. Received: {name}{hint}")


def _read(name, item, text):
    """Reads the value of a dataclass field, by its annotation and, of a tuple, its default."""
    text, kinds = text.strip(), get_args(item.type) or (item.type,)
    optional = type(None) in kinds
    if optional and text.lower() == "none":
        return None
    try:
        if kinds[0] is tuple:
            return _read_tuple(item.default, text)
        return _READERS[kinds[0]](text)
    except ValueError:
        told = _NAMES[kinds[0]] + (" or none" if optional else "")
        if kinds[0] is tuple and item.default:
            told = f"{len(item.default)} numbers with a comma between them"
        raise ValueError(f"{name} must be {told}. Received: {text!r}.") from None


def _read_tuple(default, text):
    """A tuple as long as its default and of its type; of whole numbers where that is empty."""
    values = text.split(",") if text else []
    if default and len(values) != len(default):
        raise ValueError
    return tuple(_READERS[type(default[0]) if default else int](value) for value in values)


def _finite(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _truth(text):
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


_READERS = {int: int, float: _finite, bool: _truth, str: str}
_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "whole numbers with commas between them, or nothing",
}
