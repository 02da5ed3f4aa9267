"""Splits that never share a speaker, and the published protocols by name.

A protocol is a list of folds, a fold is its test speakers. Where a protocol names no validation
speakers they are the test speakers of the next fold (cyclic, folds without a speaker in the corpus
skipped); all others train. The published folds are listed with their sources in docs/protocols.md.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion.data.corpora import crema_d, ravdess

if TYPE_CHECKING:
    from emotion.clip import Clip

PUBLISHED = ravdess.PROTOCOLS | crema_d.PROTOCOLS
FIXED = ("manifest", "images", "fer2013", "fer2013-private")  # the corpus says the role of a clip
PROTOCOLS = (*PUBLISHED, "speaker-kfold", *FIXED, "random")
ROLES = ("train", "validation", "test")
_RANDOM_FOLDS = 6


@dataclass(frozen=True)
class Split:
    """One fold of a protocol applied to a corpus.

    Attributes:
        train, validation, test: lists of Clip, sorted by id.
        protocol: str, the protocol's name.
        fold: int, from 0.
        speakers: dict of role to the sorted tuple of its speakers.
        absent: tuple of the protocol's speakers, of any fold, that the corpus lacks.
        warning: str that screen and report must show, or None.
        corpus: str, what the clips are of, where that is known.
        label_map: dict, of `labels.mapping`, where a label stands for another; else None.
    """

    train: list
    validation: list
    test: list
    protocol: str
    fold: int
    speakers: dict
    absent: tuple = ()
    warning: str | None = None
    corpus: str | None = None
    label_map: dict | None = None


def default_protocol(clips: list[Clip]) -> str:
    """Names the protocol for a corpus when the user names none.

    The corpus's own split where it has one; `ravdess-6fold` for RAVDESS and `cremad-5fold` for
    CREMA-D with speakers in at least three of the folds; else `speaker-kfold`, with fewer folds
    where there are fewer than 5 speakers.
    """
    if any(clip.split for clip in clips):
        return clips[0].info.get("protocol", "manifest")
    present = {clip.speaker for clip in clips}
    named = all(clip.info.get("channel") in ("speech", "song") for clip in clips)
    for protocol in ("ravdess-6fold", "cremad-5fold"):
        usable = sum(bool(present & set(fold)) for fold in PUBLISHED[protocol].folds)
        if named and present <= set(PUBLISHED[protocol].speakers) and usable >= 3:
            return protocol
    return f"speaker-kfold-{max(3, len(present))}" if len(present) < 5 else "speaker-kfold"


def fold_count(clips: list[Clip], protocol: str, seed: int = 0) -> list[int]:
    """Lists the folds a corpus can run.

    Args:
        clips: list of Clip.
        protocol: str, a name of `PROTOCOLS`; `speaker-kfold-10` has 10 folds instead of 5.
        seed: int, the seed that `split` will be given.

    Returns:
        List of int, the numbers of the folds of which a test speaker is in the corpus.

    Raises:
        ValueError: unknown protocol, or one that does not fit the corpus.
    """
    if protocol in FIXED:
        return [0]
    if protocol == "random":
        return list(range(_RANDOM_FOLDS))
    present = {clip.speaker for clip in clips}
    folds = _test_speakers(clips, protocol, seed)
    return [fold for fold, speakers in enumerate(folds) if present & set(speakers)]


def split(
    clips: list[Clip], protocol: str, fold: int = 0, seed: int = 0, needed: Iterable[str] = ROLES
) -> Split:
    """Splits a corpus into train, validation and test clips.

    Args:
        clips: list of Clip with distinct ids; their order does not matter.
        protocol: str, see `fold_count`.
        fold: int, from 0.
        seed: int, for `speaker-kfold` and `random`; the published protocols ignore it.
        needed: the roles that must have clips.

    Returns:
        Split. No speaker has two roles, except in `random`, which warns.

    Raises:
        ValueError: unknown protocol, fold out of range, a needed role without clips, or a
            speaker with two roles.
    """
    clips = sorted(clips, key=lambda clip: clip.id)
    if protocol == "random":
        return _random(clips, fold, seed)
    absent = ()
    if protocol in FIXED:
        _check_fold(protocol, fold, 1)
        roles = _manifest_roles(clips, seed)
    else:
        folds = _test_speakers(clips, protocol, seed)
        _check_fold(protocol, fold, len(folds))
        roles = _roles(clips, protocol, folds, fold)
        if protocol in PUBLISHED:
            present = {clip.speaker for clip in clips}
            absent = tuple(sorted(set(PUBLISHED[protocol].speakers) - present))
    parts: dict[str, Any] = {
        role: [clip for clip, assigned in zip(clips, roles) if assigned == role] for role in ROLES
    }
    speakers = _speakers(parts)
    for first, second in combinations(ROLES, 2):
        shared = set(speakers[first]) & set(speakers[second])
        if shared:
            raise ValueError(
                f"Speaker {min(shared)} is in both {first} and {second} of {protocol}; "
                "all clips of a speaker must share one role."
            )
    for role in needed:
        if not parts[role]:
            raise ValueError(
                f"Fold {fold} of {protocol} has no {role} clips: the corpus has too few speakers "
                f"({_listed({clip.speaker for clip in clips})}); add speakers or try "
                "--protocol speaker-kfold-3."
            )
    return Split(**parts, protocol=protocol, fold=fold, speakers=speakers, absent=absent)


def all_tested(clips: list[Clip]) -> Split:
    """Returns the Split of a corpus of which all clips are tested, for a model that met none."""
    clips = sorted(clips, key=lambda clip: clip.id)
    parts: dict[str, Any] = {"train": [], "validation": [], "test": clips}
    return Split(**parts, protocol="all", fold=0, speakers=_speakers(parts))


def _test_speakers(clips, protocol, seed):
    """Returns the test speakers of each fold of a speaker-disjoint protocol: tuple of tuples."""
    present = {clip.speaker for clip in clips}
    if protocol in PUBLISHED:
        everyone = PUBLISHED[protocol].speakers
        unknown = present.difference(everyone)
        if unknown:
            raise ValueError(
                f"{protocol} is for the speakers {everyone[0]}-{everyone[-1]}; speaker "
                f"{min(unknown)!r} is none of them: use --protocol speaker-kfold."
            )
        return PUBLISHED[protocol].folds
    match = re.fullmatch(r"speaker-kfold(?:-(\d+))?", protocol)
    if match is None:
        raise ValueError(
            f"`protocol` must be one of {', '.join(PROTOCOLS)}, or speaker-kfold-K for K folds. "
            f"Received: {protocol!r}."
        )
    count = int(match[1] or 5)
    if count < 3:
        raise ValueError(
            f"{protocol} must have at least 3 folds: one each to test, validate and train on."
        )
    if len(present) < count:
        raise ValueError(
            f"{protocol} needs at least {count} speakers and the corpus has {len(present)} "
            f"({_listed(present)}); use fewer folds (at least 3) or add speakers."
        )
    return _balanced(clips, count, seed)


def _balanced(clips, count, seed):
    """Assigns speakers to folds so that each fold has its share of every class.

    Greedy: speakers with many clips first, ties in seeded order, each to the fold where it adds
    least to the sum of squares of class shares (then to the fold with fewest speakers).
    """
    labels = Counter(clip.label for clip in clips)
    counts = {speaker: np.zeros(len(labels)) for speaker in sorted({c.speaker for c in clips})}
    column = {label: i for i, label in enumerate(sorted(labels))}
    for clip in clips:
        counts[clip.speaker][column[clip.label]] += 1
    order = np.random.default_rng(seed).permutation(list(counts))
    totals = np.array([labels[label] for label in column])
    folds, shares = [[] for _ in range(count)], np.zeros((count, len(labels)))
    for speaker in sorted(order.tolist(), key=lambda name: -counts[name].sum()):
        share = counts[speaker] / totals
        # The gain of (s + x)^2 over s^2, without x^2, which is the same for every fold.
        cost = np.round(shares @ share, 12)
        best = min(range(count), key=lambda i: (cost[i], len(folds[i])))
        folds[best].append(speaker)
        shares[best] += share
    return tuple(tuple(sorted(fold)) for fold in folds)


def _roles(clips, protocol, folds, fold):
    """Returns the role of each clip in a speaker-disjoint protocol."""
    present = {clip.speaker for clip in clips}
    if not present & set(folds[fold]):
        raise ValueError(
            f"Fold {fold} of {protocol} tests speakers {_listed(folds[fold])}, none of which is "
            f"in the corpus; folds with speakers: {_listed(fold_count(clips, protocol))}."
        )
    validation = protocol in PUBLISHED and PUBLISHED[protocol].validation
    if not validation:
        following = (folds[(fold + step) % len(folds)] for step in range(1, len(folds)))
        validation = next((speakers for speakers in following if present & set(speakers)), ())
    role = dict.fromkeys(folds[fold], "test") | dict.fromkeys(validation, "validation")
    return [role.get(clip.speaker, "train") for clip in clips]


def _manifest_roles(clips, seed):
    """Returns each clip's own split; without validation clips, train speakers are set aside."""
    without = [clip.id for clip in clips if clip.split not in ROLES]
    if without:
        raise ValueError(
            f"The protocol needs a `split` for every clip; clip {without[0]!r} has none: "
            "fill the column of the manifest, or use --protocol speaker-kfold."
        )
    roles = [clip.split for clip in clips]
    train = [clip for clip in clips if clip.split == "train"]
    speakers = {clip.speaker for clip in train}
    if "validation" not in roles and len(speakers) > 1:
        aside = set(_balanced(train, min(5, len(speakers)), seed)[0])
        roles = [
            "validation" if role == "train" and clip.speaker in aside else role
            for clip, role in zip(clips, roles)
        ]
    return roles


def _random(clips, fold, seed):
    """Splits clips, not speakers: what many published numbers rest on; the Split says so."""
    _check_fold("random", fold, _RANDOM_FOLDS)
    if len(clips) < _RANDOM_FOLDS:
        raise ValueError(f"random needs at least {_RANDOM_FOLDS} clips. Received: {len(clips)}.")
    order = np.random.default_rng(seed).permutation(len(clips))
    place = np.empty(len(clips), int)
    place[order] = np.arange(len(clips)) % _RANDOM_FOLDS
    role = {fold: "test", (fold + 1) % _RANDOM_FOLDS: "validation"}
    parts = {name: [] for name in ROLES}
    for clip, number in zip(clips, place.tolist()):
        parts[role.get(number, "train")].append(clip)
    warning = (
        "Protocol random: the same speakers are in train, validation and test, so the result says "
        "nothing about people the model has not met, and must not be compared with "
        "speaker-disjoint results."
    )
    warnings.warn(warning, stacklevel=3)
    return Split(**parts, protocol="random", fold=fold, speakers=_speakers(parts), warning=warning)


def _speakers(parts):
    return {role: tuple(sorted({clip.speaker for clip in parts[role]})) for role in ROLES}


def _check_fold(protocol, fold, count):
    if not 0 <= fold < count:
        raise ValueError(f"`fold` must be 0 to {count - 1} for {protocol}. Received: fold={fold}.")


def _listed(names):
    return ", ".join(str(name) for name in sorted(names))
