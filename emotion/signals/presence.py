"""Presence: counts the clips that lack the sound or the face that a model needs.

A clip without a face gives the model black frames, and one without sound silence. A model that is
trained on many of these learns nothing from that modality, and its loss does not tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion.clip import Clip
    from emotion.preset import Preset
    from emotion.signals.cache import Facts

NAMES = {"audio": "sound", "video": "face"}
MOST = 1 / 3  # of the clips whose files should hold a modality may lack it


@dataclass(frozen=True)
class Count:
    """How many clips have a modality.

    Attributes:
        modality: str, "audio" or "video".
        clips: int, clips in all.
        expected: int, those with a file or a table that should hold it.
        lacking: tuple of str, ids of these in which none was found.
    """

    modality: str
    clips: int
    expected: int
    lacking: tuple


def count(preset: Preset, clips: list[Clip], facts: dict[str, Facts]) -> list[Count]:
    """Counts what was found of each modality of a preset.

    Args:
        preset: Preset.
        clips: list of Clip.
        facts: dict of clip id to cache.Facts; clips that cannot be used do not count.

    Returns:
        List of Count, one for each modality.
    """
    usable = [clip for clip in clips if not facts[clip.id].reason]
    counts = []
    for modality in preset.features:
        expected = [clip for clip in usable if modality not in preset.lacking(clip)]
        has = {"audio": "has_audio", "video": "has_face"}[modality]
        lacking = tuple(clip.id for clip in expected if not getattr(facts[clip.id], has))
        counts.append(Count(modality, len(usable), len(expected), lacking))
    return counts


def lines(preset: Preset, counts: list[Count]) -> list[str]:
    """Returns a list of str, a line for each modality that some clips lack."""
    exempt = " (it trains with missing modalities, so they stay)" if _drops(preset) else ""
    return [
        f"no {NAMES[count.modality]} found in {len(count.lacking)} of {count.expected} "
        f"clips{exempt}: "
        f"{', '.join(count.lacking[:4])}{', ...' if len(count.lacking) > 4 else ''}"
        for count in counts
        if count.lacking
    ]


def check(preset: Preset, counts: list[Count]) -> None:
    """Refuses a training of both modalities in which too many clips lack one of them.

    Args:
        preset: Preset.
        counts: list of Count.

    Raises:
        ValueError: more than half of the clips have no file for a modality; or none was found in
            more than a third of those that have one, and the preset does not drop modalities in
            training on purpose (`augmentation.modality_dropout`).
    """
    for count, other in zip(counts, reversed(counts)) if preset.modality == "both" else ():
        name, alone = NAMES[count.modality], f"--modality {other.modality}"
        if count.clips - count.expected > count.clips / 2:
            raise ValueError(
                f"{preset.name} learns from sound and face, and {count.clips - count.expected} of "
                f"{count.clips} clips have no file for the {name}; add what is missing "
                f"(dataset/README.md) or train on the rest with {alone}."
            )
        if len(count.lacking) > MOST * count.expected and not _drops(preset):
            remedy = "another --face-detector" if count.modality == "video" else "other files"
            raise ValueError(
                f"{preset.name} learns from sound and face, and no {name} was found in "
                f"{len(count.lacking)} of {count.expected} clips ({count.lacking[0]} is one); "
                f"look at these and try {remedy}, or train with {alone}."
            )


def _drops(preset):
    return preset.augmentation.modality_dropout
