"""CREMA-D: 91 actors speak twelve sentences in six emotions; raters label what they perceive.

Source: Cao, Cooper, Keutmann, Gur, Nenkova & Verma, "CREMA-D: Crowd-sourced Emotional Multimodal
Actors Dataset", IEEE Transactions on Affective Computing 5(4), 2014,
doi:10.1109/TAFFC.2014.2336244; files: https://github.com/CheyneyComputerScience/CREMA-D.

A name such as 1001_DFA_ANG_XX.flv holds four fields: actor, sentence, emotion, and the level that
was asked for (LO, MD, HI; XX where none was). What pairs sound and picture is their name, so any
arrangement of folders will do.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict, namedtuple
from dataclasses import replace
from pathlib import Path

from emotion.clip import Clip
from emotion.data import feature_tables
from emotion.data.corpora import ravdess
from emotion.data.protocol import HICMAE, OTHER_FOLDS, PEOPLE, PRETRAINED, Protocol, Result
from emotion.media import suffixes

ACTORS = tuple(str(actor) for actor in range(1001, 1092))
LABELS = ("neutral", "happy", "sad", "angry", "fearful", "disgust")
SENTENCES = ("DFA", "IEO", "IOM", "ITH", "ITS", "IWL", "IWW", "MTI", "TAI", "TIE", "TSI", "WSI")
EMOTIONS = dict(zip(("NEU", "HAP", "SAD", "ANG", "FEA", "DIS"), LABELS))
_LETTERS = {code[0]: label for code, label in EMOTIONS.items()}  # in the tables of votes
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
FOLDERS = {"audiowav", "videoflash", "videomp4"}
MAJORITY, COUNTS = "summaryTable.csv", "tabulatedVotes.csv"  # of the votes
SHOWN = {"1": "audio", "2": "video", "3": "both"}  # to raters, by the first digit in COUNTS
TARGETS = ("intended", "crowd", "votes")
NAMING = "CREMA-D names are like 1001_DFA_ANG_XX.wav"
# Left out by HiCMAE (Sun et al. 2024) too, whose preparation cites the corpus's repository.
BROKEN = {
    "1064_IEO_DIS_MD": "a minute of several emotions",
    "1064_TIE_SAD_XX": "cut short",
    "1076_MTI_NEU_XX": "cut short",
    "1076_MTI_SAD_XX": "no sound",
}

PROTOCOLS = {
    # HiCMAE (Sun et al. 2024): actors in order, 18 a fold and 19 in the last.
    "cremad-5fold": Protocol(
        (*(ACTORS[i : i + 18] for i in range(0, 72, 18)), ACTORS[72:]), ACTORS
    ),
}
_VQMAE = "Sadok et al. 2023, VQ-MAE-AV"
_CAO = "Cao et al. 2014, IEEE Transactions on Affective Computing 5(4)"
PUBLISHED = (
    Result("HiCMAE", 84.9, "both", "cremad-5fold", PRETRAINED, HICMAE),
    Result("VAVL", 82.6, "both", None, OTHER_FOLDS, "Goncalves et al. 2024, VAVL"),
    Result(
        "VQ-MAE-AV",
        80.4,
        "both",
        None,
        f"{PRETRAINED}; {OTHER_FOLDS}",
        "Sadok et al. 2023, VQ-MAE-AV",
    ),
    Result("people", 63.6, "both", None, f"{PEOPLE}; against the intended label", _CAO),
    Result("people", 58.2, "video", None, f"{PEOPLE}; against the intended label", _CAO),
    Result("people", 40.9, "audio", None, f"{PEOPLE}; against the intended label", _CAO),
)

Name = namedtuple("Name", "actor sentence emotion level")

_NAME = re.compile(
    rf"(100[1-9]|10[1-8]\d|109[01])_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_({'|'.join(LEVELS)})"
)
_SUFFIXES = (suffixes.AUDIO | suffixes.VIDEO) - {".mp3"}
_MISSPELT = {"1040_ITH_SAD_X": "1040_ITH_SAD_XX"}  # the .wav, as published
_HOW_TO_GET = (
    "Put AudioWAV and VideoFlash of https://github.com/CheyneyComputerScience/CREMA-D there "
    "(with git lfs), see dataset/README.md."
)


def parse(path: str | Path) -> Name | None:
    """Reads a CREMA-D file name.

    Args:
        path: str or Path; only its last part counts.

    Returns:
        Name of four str, or None where the name is not one CREMA-D can have.

    >>> parse("VideoFlash/1001_DFA_ANG_XX.flv").emotion
    'ANG'
    >>> parse("1092_DFA_ANG_XX.flv") is None
    True
    """
    path = Path(path)
    match = _NAME.fullmatch(_MISSPELT.get(path.stem, path.stem))
    if match is None or path.suffix.lower() not in _SUFFIXES:
        return None
    return Name(*match.groups())


def named(id: str) -> Clip | None:
    """Returns the Clip that an id or a file name names, without its files, or None.

    >>> named("1001_DFA_ANG_XX.flv").label
    'angry'
    """
    name = parse(Path(id).stem + ".wav")
    return name and _clip("_".join(name), name, [], EMOTIONS[name.emotion], "intended")


def laid_out(root: Path) -> bool:
    """Returns whether a path is a folder with AudioWAV, VideoFlash or VideoMP4 in it, or is one."""
    root = Path(root).resolve()
    return root.is_dir() and any(p.name.lower() in FOLDERS for p in (root, *root.iterdir()))


def files(root: Path) -> list[Path]:
    """Lists the media files below a folder, whatever their names, as `ravdess.files` does.

    The .mp3 files are ignored: they are the sound of the .wav again, and some of them are blank.

    Raises:
        FileNotFoundError: `root` is not a folder.
    """
    if not Path(root).is_dir():
        raise FileNotFoundError(f"{root} is not a folder. {_HOW_TO_GET}")
    return [path for path in ravdess.files(root) if path.suffix.lower() in _SUFFIXES]


def clips(root: Path, labels: str = "intended") -> list[Clip]:
    """Lists the takes below a folder: sound and picture of one name are one clip.

    The sound is an audio file where there is one, else that of the video. Of two files of a kind
    the one whose path sorts first is taken; files of zero bytes count as absent. `left_out` tells
    what else is ignored.

    Args:
        root: path of a folder that holds CREMA-D files at any depth, or of an .npz of log-mel
            spectrograms (data/log_mel_table.py), whose clips have sound alone.
        labels: "intended", what the actor was asked to play; "crowd", what most of those who saw
            and heard the clip perceived, from processedResults/summaryTable.csv in `root`; or
            "votes", the intended labels, while training targets are the shares of the votes, from
            tabulatedVotes.csv beside it or beside the .npz (`info["votes"]`, see data/votes.py).

    Returns:
        List of Clip, sorted by id, which is the name without its suffix.

    Raises:
        FileNotFoundError: `root` is not a folder, or it lacks the table of votes.
        ValueError: unknown labels, no such recording below `root`, or a table that breaks a rule.
    """
    if Path(root).suffix.lower() == ".npz":
        return _tabled(Path(root), labels)
    listed, omitted = _sort(root, labels)
    if not listed:
        why = f" ({'; '.join(omitted)})" if omitted else ""
        raise ValueError(f"No CREMA-D recording to use found in {root}{why}. {_HOW_TO_GET}")
    return listed


def left_out(root: Path, labels: str = "intended") -> list[str]:
    """Returns a list of str, a line for each reason why `clips` passes takes over."""
    return [] if Path(root).suffix.lower() == ".npz" else _sort(root, labels)[1]


def expected(channel: str, actor: str) -> set[str]:
    """Returns the set of clip ids made of an actor; 20 of all were never published."""
    acted = [(sentence, emotion, "XX") for sentence in SENTENCES for emotion in EMOTIONS]
    acted = [take for take in acted if take[0] != "IEO" or take[1] == "NEU"]
    acted += [("IEO", e, level) for e in EMOTIONS if e != "NEU" for level in ("LO", "MD", "HI")]
    return {"_".join((actor, *take)) for take in acted}.difference(BROKEN)


def _sort(root, labels):
    """Returns the list of Clip to use, and the lines on the takes that are left out."""
    if labels not in TARGETS:
        raise ValueError(f"`labels` must be one of {', '.join(TARGETS)}. Received: {labels!r}.")
    takes = defaultdict(list)
    for path in files(root):
        name = parse(path)
        if name and path.stat().st_size:
            takes["_".join(name)].append((name, path))
    broken = sorted(BROKEN.keys() & takes)
    takes = {id: members for id, members in takes.items() if id not in BROKEN}
    lines = []
    if broken:
        named = ", ".join(f"{id}: {BROKEN[id]}" for id in broken)
        lines.append(f"left out, known to be broken: {len(broken)} ({named})")
    majority = _majority(root) if labels == "crowd" and takes else {}
    votes = _counts(root) if labels == "votes" and takes else {}
    listed, ties, unrated = [], 0, 0
    for id, members in sorted(takes.items()):
        name = members[0][0]
        voted = majority.get(id, ()) if labels == "crowd" else (EMOTIONS[name.emotion],)
        if len(voted) == 1:
            paths = [path for _, path in members]
            listed.append(_clip(id, name, paths, voted[0], labels, votes.get(id)))
        ties += len(voted) > 1
        unrated += not voted
    if ties:
        lines.append(f"left out, the crowd's vote is a tie: {ties}")
    if unrated:
        lines.append(f"left out, {MAJORITY} has no vote: {unrated}")
    return listed, lines


def _tabled(path, labels):
    """The clips of a table of log-mel spectrograms, without media."""
    if labels == "crowd":
        raise ValueError(f"{path} has the intended labels; use --corpus cremad or cremad-votes.")
    votes = _counts(path.parent) if labels == "votes" else {}
    names = ((id, parse(f"{id}.wav")) for id in feature_tables.read(path))
    return [
        replace(_clip(id, name, [], EMOTIONS[name.emotion], labels, votes.get(id)), table=path)
        for id, name in sorted(names)
        if name and id not in BROKEN
    ]


def _clip(id, name, paths, label, labels, votes=None):
    sounds = [path for path in paths if path.suffix.lower() in suffixes.AUDIO]
    pictures = [path for path in paths if path.suffix.lower() in suffixes.VIDEO]
    return Clip(
        id=id,
        label=label,
        speaker=name.actor,
        audio=(sounds or pictures or [None])[0],
        video=pictures[0] if pictures else None,
        info={
            "channel": "speech",
            "intensity": LEVELS[name.level],
            "statement": name.sentence,
            "intended": EMOTIONS[name.emotion],
            "label_target": "intended" if labels == "votes" else labels,
            **({"votes": votes} if votes else {}),
        },
    )


def _table(root, name, columns):
    """Yields (where, id, row) of a CSV of votes: its place in words, and dict of column to str."""
    path = next(
        (path for path in (root / "processedResults" / name, root / name) if path.is_file()), None
    )
    if path is None:
        raise FileNotFoundError(
            f"{root / 'processedResults' / name} does not exist; the crowd's votes are in it: put "
            "it there from the CREMA-D repository, or use --corpus cremad for the intended labels."
        )
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restval="")
        names = {str(column).lower(): column for column in reader.fieldnames or []}
        if not {column.lower() for column in columns} <= names.keys():
            raise ValueError(
                f"{path} must have the columns {', '.join(columns)}. "
                f"Received: {', '.join(names.values()) or 'none'}."
            )
        for row in reader:
            cells = {column: row[names[column.lower()]].strip() for column in columns}
            yield f"{path}, row {reader.line_num}", Path(cells["FileName"]).stem, cells


def _majority(root):
    """Returns dict of clip id to the tuple of labels that had most votes."""
    votes = {}
    for where, id, row in _table(Path(root), MAJORITY, ("FileName", "MultiModalVote")):
        vote = row["MultiModalVote"]
        if not set(vote.split(":")) <= _LETTERS.keys():
            raise ValueError(
                f"{where}: the vote must be one of {' '.join(_LETTERS)}, or several with colons "
                f"between them. Received: {vote!r}."
            )
        votes[id] = tuple(_LETTERS[letter] for letter in vote.split(":"))
    return votes


def _counts(root):
    """Returns dict of clip id to dict of modality to dict of label to votes."""
    votes = defaultdict(dict)
    for where, id, row in _table(Path(root), COUNTS, ("", "FileName", *_LETTERS)):
        counts = [row[letter] for letter in _LETTERS]
        if row[""][:1] not in SHOWN or not all(count.isdecimal() for count in counts):
            raise ValueError(
                f"{where}: its number must begin with 1, 2 or 3, and each of {', '.join(_LETTERS)} "
                f"be a count. Received: {', '.join((row[''], *counts))}."
            )
        votes[id][SHOWN[row[""][0]]] = dict(zip(_LETTERS.values(), map(int, counts)))
    return votes
