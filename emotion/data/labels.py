"""Label sets: the class names of a corpus, in the one order its runs use."""

from __future__ import annotations

from collections.abc import Iterable

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
