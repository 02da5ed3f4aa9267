"""Label sets: the class names of a corpus, in the one order its runs use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion.clip import Clip

RAVDESS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
# What other systems and papers call the same class.
SYNONYMS = {
    "neutrality": "neutral",
    "calmness": "calm",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "anger": "angry",
    "fear": "fearful",
    "disgusted": "disgust",
    "surprise": "surprised",
    **{name[:3]: name for name in RAVDESS},
}


# What a class counts as for a model that does not have it.
WIDER = {"calm": "neutral"}


def mapping(present: Iterable[str], labels: Sequence[str]) -> dict[str, str | None]:
    """Maps the labels of a corpus onto those of a model.

    Args:
        present: iterable of str, the labels of a corpus.
        labels: sequence of str, those of the model.

    Returns:
        dict of each present label to the model's: itself, the same class by another name, or the
        class that it counts as (WIDER); None where the model has none of these.

    >>> mapping(["calm", "joy", "bored"], ["neutral", "happy"])
    {'bored': None, 'calm': 'neutral', 'joy': 'happy'}
    """
    targets = {}
    for name in sorted(set(present)):
        names = (name, SYNONYMS.get(name.lower()), WIDER.get(name))
        targets[name] = next((each for each in names if each in labels), None)
    return targets


def mapped(clips: list[Clip], labels: Sequence[str]) -> tuple[list[Clip], dict[str, str | None]]:
    """Gives clips the labels of a model, and leaves out those whose label has no counterpart.

    Args:
        clips: list of Clip.
        labels: sequence of str.

    Returns:
        (clips, mapping): list of Clip, and the dict of `mapping`.

    Raises:
        ValueError: no label has a counterpart.
    """
    chosen = mapping((clip.label for clip in clips), labels)
    if not any(chosen.values()):
        raise ValueError(
            f"no label of the clips is one of {', '.join(labels)}. Received: {', '.join(chosen)}."
        )
    return [replace(c, label=chosen[c.label]) for c in clips if chosen[c.label]], chosen


def describe(mapping: dict[str, str | None]) -> str:
    """Returns in words how labels are mapped, or "" where each stays as it is.

    >>> describe({"calm": "neutral", "happy": "happy", "bored": None})
    'calm counts as neutral; left out: bored'
    """
    moved = [f"{old} counts as {new}" for old, new in mapping.items() if new not in (None, old)]
    lost = ", ".join(old for old, new in mapping.items() if new is None)
    return "; ".join(moved + ([f"left out: {lost}"] if lost else []))


def label_set(present: Iterable[str]) -> tuple[str, ...]:
    """Returns the label order for the labels that occur in a corpus.

    RAVDESS order for the names RAVDESS has (so a partial download keeps every class of a known
    set in its place), then any other name alphabetically.

    Args:
        present: iterable of str, labels with or without repeats.

    Returns:
        Tuple of str without repeats.

    >>> label_set(["sad", "neutral", "sad", "bored"])
    ('neutral', 'sad', 'bored')
    """
    names = set(present)
    known = [name for name in RAVDESS if name in names]
    return (*known, *sorted(names.difference(RAVDESS)))
