"""Still images of faces: any folder of labelled images, and what all corpora of images share.

    FOLDER/CLASS/image.png      or      FOLDER/SPLIT/CLASS/image.png

SPLIT is train (training), validation (valid, val) or test. An image is a face crop; a clip is one
image. Such corpora do not say who is in an image, so that the digest of an image stands for its
speaker: equal images never lie in two roles.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from emotion.clip import Clip
from emotion.data.labels import SYNONYMS
from emotion.media import suffixes
from emotion.metrics.subgroups import few

UNKNOWN = "image-"  # what the speaker of an image begins with
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    "test": "test",
}
_HELD_OUT = 10  # one in so many training images validates, where no split does


def clips(root: Path) -> list[Clip]:
    """Lists the images of a folder.

    Args:
        root: Path of the folder.

    Returns:
        List of Clip, sorted by id; without those that `left_out` names.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds no labelled image.
    """
    return usable(listed(root))[0]


def left_out(root: Path) -> list[str]:
    """Returns a list of str, a line for each reason why `clips` leaves images out."""
    return usable(listed(root))[1]


def listed(root: Path) -> list[Clip]:
    """Returns a Clip for each labelled image of a folder; raises as `clips`."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder; name the folder of the images.")
    entries = []
    for path in sorted(root.glob("*/*")) + sorted(root.glob("*/*/*")):
        parts = path.relative_to(root).parts[:-1]
        split = SPLITS.get(parts[0].lower()) if len(parts) == 2 else None
        if path.suffix.lower() in suffixes.IMAGES and (len(parts) == 1 or split):
            name = path.relative_to(root).as_posix()
            entries.append(clip(name, parts[-1], path.read_bytes(), path, split=split))
    if not entries:
        raise ValueError(
            f"{root} holds no labelled images; they lie in {root}/CLASS or {root}/SPLIT/CLASS, "
            f"where SPLIT is one of {', '.join(SPLITS)}."
        )
    return entries


def clip(
    id: str,
    label: str,
    content: bytes,
    path: Path,
    index: int | None = None,
    split: str | None = None,
) -> Clip:
    """Returns the Clip of an image, whose speaker is the digest of its content."""
    name = label.lower()
    speaker = UNKNOWN + hashlib.blake2b(content, digest_size=8).hexdigest()
    return Clip(id, SYNONYMS.get(name, name), speaker, video=path, index=index, split=split)


def usable(clips: list[Clip], protocol: str = "images") -> tuple[list[Clip], list[str]]:
    """Leaves out training images that cannot be used, and assigns validation images.

    Left out are training images that occur with several labels, training images that are equal to
    a validation or test image, and validation images that are equal to a test image. Where no image
    is for validation, one in ten training images is, chosen by its digest.

    Args:
        clips: list of Clip, all of a corpus.
        protocol: str, the name of the split that the corpus fixes.

    Returns:
        (clips, lines): those that remain, sorted by id, and list of str, the reasons.
    """
    labels, roles = defaultdict(set), defaultdict(set)
    for each in clips:
        roles[each.speaker].add(each.split)
        if each.split in ("train", None):
            labels[each.speaker].add(each.label)
    held_out = any("validation" in names for names in roles.values())
    remaining, conflicting, copies = [], 0, 0
    for each in sorted(clips, key=lambda each: each.id):
        conflict = each.split in ("train", None) and len(labels[each.speaker]) > 1
        later = {"train": {"validation", "test"}, "validation": {"test"}}.get(each.split, set())
        copy = bool(later & roles[each.speaker])
        conflicting, copies = conflicting + conflict, copies + (copy and not conflict)
        if conflict or copy:
            continue
        if each.split == "train" and not held_out and _chosen(each.speaker):
            each = replace(each, split="validation")
        remaining.append(replace(each, info={"protocol": protocol, "label_target": "annotated"}))
    lines = []
    if conflicting:
        lines.append(f"{conflicting} training images are left out: they occur with several labels.")
    if copies:
        lines.append(f"{copies} images are left out: equal ones are for validation or test.")
    return remaining, lines


def _chosen(speaker):
    return int(speaker.removeprefix(UNKNOWN), 16) % _HELD_OUT == 0


def duplicates(clips: list[Clip]) -> list[str]:
    """Returns lines on equal images within and across splits, and on their labels."""
    groups = defaultdict(list)
    for each in clips:
        groups[each.speaker].append(each)
    lines, across = [], defaultdict(int)
    repeated = [group for group in groups.values() if len(group) > 1]
    for group in repeated:
        splits = sorted({each.split or "no split" for each in group})
        across[" and ".join(splits)] += len(group)
    lines += [f"equal images in {names}: {count}" for names, count in sorted(across.items())]
    several = [group for group in repeated if len({each.label for each in group}) > 1]
    if several:
        lines.append(
            f"equal images with several labels: {sum(map(len, several))} "
            f"({len(several)} different ones)"
        )
    return lines


def named(speakers: Iterable[str]) -> str:
    """Returns "2 speakers (01, 02)", the first 100 of many, or "unknown speakers".

    >>> named(["01", "02"])
    '2 speakers (01, 02)'
    """
    speakers = list(speakers)
    if speakers and all(name.startswith(UNKNOWN) for name in speakers):
        return "unknown speakers"
    return f"{len(speakers)} speakers ({few(speakers)})"


def described(count: int, speakers: Iterable[str]) -> str:
    """Returns "24 clips of 2 speakers", or "24 images, speakers unknown".

    >>> described(24, ["01", "02"])
    '24 clips of 2 speakers'
    >>> described(24, ["image-00"])
    '24 images, speakers unknown'
    """
    speakers = list(speakers)
    if speakers and all(name.startswith(UNKNOWN) for name in speakers):
        return f"{count} images, speakers unknown"
    return f"{count} clips of {len(speakers)} speakers"
