"""RAVDESS: 24 actors speak and sing two sentences in eight emotions.

Source: Livingstone & Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song",
PLOS ONE 13(5), 2018, doi:10.1371/journal.pone.0196391; files: doi:10.5281/zenodo.1188976.

A name such as 01-01-05-02-01-02-12.mp4 holds seven fields: modality (01 sound and picture,
02 picture, 03 sound), channel (01 speech, 02 song), emotion, intensity, statement, repetition,
actor. All that is known of a file is read from its name, so any arrangement of folders will do.
One exception: some collections give the pictures number 03 too, so that sound and picture have one
name. Where a take has no picture of another number, its 03 videos are opened to see what they hold.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict, namedtuple
from functools import cache
from itertools import product
from pathlib import Path

from emotion.clip import Clip, MediaError
from emotion.data.labels import RAVDESS
from emotion.data.protocol import HICMAE, OTHER_FOLDS, PEOPLE, PRETRAINED, Protocol, Result
from emotion.media import decode, suffixes

CHANNELS = {"01": "speech", "02": "song"}
NAMING = "RAVDESS names are like 03-01-05-02-01-02-12.wav"
ACTORS = tuple(f"{actor:02d}" for actor in range(1, 25))
LABELS = RAVDESS


def _actors(*numbers):
    return tuple(f"{number:02d}" for number in numbers)


PROTOCOLS = {
    # HiCMAE (Sun et al. 2024): actors in order, four a fold.
    "ravdess-6fold": Protocol(tuple(ACTORS[i : i + 4] for i in range(0, 24, 4)), ACTORS),
    # Luna-Jimenez et al. 2021 and 2022.
    "ravdess-5fold": Protocol(
        (
            _actors(2, 5, 14, 15, 16),
            _actors(3, 6, 7, 13, 18),
            _actors(10, 11, 12, 19, 20),
            _actors(8, 17, 21, 23, 24),
            _actors(1, 4, 9, 22),
        ),
        ACTORS,
    ),
    "ravdess-holdout": Protocol((_actors(5, 10, 16, 19),), ACTORS, _actors(11, 13, 18, 22)),
}
_LUNA = "Luna-Jiménez et al. 2022, Applied Sciences 12(1)"
_XIANG = "Xiang et al. 2024"
_VQMAE = "Sadok et al. 2023, VQ-MAE-AV"
PUBLISHED = (
    Result("HiCMAE-B", 87.99, "both", "ravdess-6fold", PRETRAINED, HICMAE),
    Result(
        "wav2vec 2.0 and action units",
        86.70,
        "both",
        "ravdess-5fold",
        "encoder pretrained on other people's speech",
        _LUNA,
    ),
    Result("VQ-MAE-AV", 84.8, "both", None, f"{PRETRAINED}; {OTHER_FOLDS}", _VQMAE),
    Result(
        "MultiMAE-DER", 83.61, "both", None, f"{PRETRAINED}; {OTHER_FOLDS}", "Xiang et al. 2024"
    ),
    Result(
        "intermediate attention fusion",
        81.58,
        "both",
        None,
        f"face encoder pretrained on stills; {OTHER_FOLDS}",
        "Chumachenko et al. 2022, ICPR",
    ),
    Result(
        "transfer learning",
        80.08,
        "both",
        "ravdess-5fold",
        "encoders pretrained on other sounds and faces",
        "Luna-Jiménez et al. 2021, Sensors 21(22)",
    ),
    Result("wav2vec 2.0", 81.82, "audio", "ravdess-5fold", "pretrained, as above", _LUNA),
    Result("BiLSTM on action units", 62.13, "video", "ravdess-5fold", "", _LUNA),
    Result("MLP on action units", 60.22, "video", "ravdess-5fold", "", _LUNA),
    Result("people", 67.0, "audio", None, f"{PEOPLE}; as printed in the source", _LUNA),
    Result("people", 75.0, "video", None, f"{PEOPLE}; as printed in the source", _LUNA),
)

Name = namedtuple("Name", "modality channel emotion intensity statement repetition actor")

_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")


def parse(path: str | Path) -> Name | None:
    """Reads a RAVDESS file name.

    Args:
        path: str or Path; only its last part counts.

    Returns:
        Name of seven two-digit strings, or None where the name is not one RAVDESS can have: song
        has no disgust and no surprise, and modality 02 has no sound, so is no audio file.

    >>> parse("Actor_12/03-01-05-02-01-02-12.wav").actor
    '12'
    >>> parse("angry (1).wav") is None
    True
    """
    path = Path(path)
    suffix = path.suffix.lower()
    match = _NAME.fullmatch(path.stem)
    if match is None or suffix not in suffixes.AUDIO | suffixes.VIDEO:
        return None
    name = Name(*match.groups())
    sung_beyond_fearful = name.channel == "02" and name.emotion > "06"
    silent_audio_file = name.modality == "02" and suffix in suffixes.AUDIO
    return None if sung_beyond_fearful or silent_audio_file else name


def named(id: str) -> Clip | None:
    """Returns the Clip that an id or a file name names, without its files, or None.

    >>> named("Actor_12/03-01-05-02-01-02-12.wav") == named("01-05-02-01-02-12")
    True
    """
    stem = Path(id).stem
    name = parse(f"{stem}.mp4" if stem.count("-") == 6 else f"01-{stem}.mp4")
    return name and clip(name)


def files(root: Path) -> list[Path]:
    """Lists the media files below a folder, whatever their names, in a fixed order.

    Hidden files and folders, the `__MACOSX` folders of unpacked archives, and a synthetic corpus
    below are ignored; linked folders are followed.

    Raises:
        FileNotFoundError: `root` is not a folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder. {_how_to_get()}")
    named, visited = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        drawn = "synthetic.json" in names and Path(folder) != root  # its names are RAVDESS's
        if real in visited or drawn:  # a link back to a folder above would be walked for ever
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(n for n in subfolders if n[0] != "." and n != "__MACOSX")
        named += [Path(folder, name) for name in names if name[0] != "."]
    media = suffixes.AUDIO | suffixes.VIDEO
    return sorted(path for path in named if path.suffix.lower() in media)


def clips(root: Path, channel: str | None = "speech") -> list[Clip]:
    """Lists the takes below a folder, one clip for all the files of a take.

    The picture is the file of modality 01, else 02, else a video of modality 03 that holds
    pictures. The sound is an audio file where there is one (03 before 01), else that of a video
    (again 03 before 01). Of two copies of a file the one whose path sorts first is taken. Files of
    zero bytes count as absent; `python -m emotion check` names them.

    No media is opened, except the videos of modality 03 of takes without a picture of 01 or 02. One
    that cannot be opened counts as sound and picture, so that decoding reports it.

    Args:
        root: path of a folder that holds RAVDESS files at any depth.
        channel: "speech" (what published results are on), "song" or "all".

    Returns:
        List of Clip, sorted by id; the id is the file name without its modality and suffix.

    Raises:
        FileNotFoundError: `root` is not a folder.
        ValueError: unknown channel, or no such recording below `root`.
    """
    if channel not in (*CHANNELS.values(), "all"):
        raise ValueError(f"`channel` must be speech, song or all. Received: {channel!r}.")
    takes = _takes(root)
    if not takes:
        raise ValueError(f"No RAVDESS recording found in {root}. {_how_to_get()}")
    wanted = [m for take, m in takes.items() if channel in ("all", CHANNELS[take[0]])]
    if not wanted:
        other, corpus = ("song", "-song") if channel == "speech" else ("speech", "")
        raise ValueError(
            f"No RAVDESS {channel} recording found in {root}, only {other} (takes: {len(takes)}); "
            f"use `--corpus ravdess{corpus}`, or leave --corpus out."
        )
    return sorted((_clip(members) for members in wanted), key=lambda clip: clip.id)


def channels(root: Path) -> Counter:
    """Counts the takes below a folder, by their names.

    Returns:
        Counter of "speech" and "song" to the number of takes.

    Raises:
        FileNotFoundError: `root` is not a folder.
    """
    return Counter(CHANNELS[take[0]] for take in _takes(root))


def left_out(root: Path) -> list[str]:
    """Returns a list of str, one line where `clips` leaves song takes out of the speech."""
    count = channels(root)["song"]
    if not count:
        return []
    return [
        f"left out of training, song takes: {count} (`--corpus ravdess-song` uses the song alone, "
        "`--corpus ravdess-all` speech and song)"
    ]


def expected(channel: str, actor: str) -> set[str]:
    """Returns the set of clip ids the whole corpus has of an actor; actor 18 did not sing."""
    if channel == "song" and actor == "18":
        return set()
    code = {name: code for code, name in CHANNELS.items()}[channel]
    emotions = [f"0{i + 1}" for i in range(8 if channel == "speech" else 6)]
    acted = product(emotions, ("01", "02"), ("01", "02"), ("01", "02"))
    # Neutral was recorded at normal intensity only.
    return {"-".join((code, *take, actor)) for take in acted if take[:2] != ("01", "02")}


def _takes(root):
    """Returns dict of a Name without its modality to (Name, Path) pairs, in path order."""
    takes = defaultdict(list)
    for path in files(root):
        name = parse(path)
        if name and path.stat().st_size:
            takes[name[1:]].append((name, path))
    return takes


def _clip(members):
    """Builds a Clip from the (Name, Path) pairs of a take, which are in path order."""
    paths = defaultdict(list)
    for name, path in members:
        paths[name.modality, path.suffix.lower() in suffixes.VIDEO].append(path)
    pictures, containers = paths["01", True] + paths["02", True], paths["03", True]
    if containers and not pictures:
        holds = {path: _holds(path) for path in containers}
        pictures = [path for path in containers if "video" in holds[path]]
        containers = [path for path in containers if "audio" in holds[path]]
    sounds = paths["03", False] + paths["01", False] + containers + paths["01", True]
    return clip(name, audio=next(iter(sounds), None), video=next(iter(pictures), None))


def _holds(path):
    """Returns which of "audio" and "video" a file has streams of; both if it cannot be opened."""
    status = path.stat()
    return _look(path, status.st_size, status.st_mtime_ns)


@cache  # a report lists the clips once for each fold
def _look(path, size, changed):
    both = {"audio", "video"}
    try:
        with decode.open_file(path, skip="all") as container:
            return {kind for kind in both if decode.first_stream(container, kind)} or both
    except MediaError:
        return both


def clip(
    name: Name, audio: Path | None = None, video: Path | None = None, table: Path | None = None
) -> Clip:
    """Returns the Clip of a Name, with the files it is read from."""
    return Clip(
        id="-".join(name[1:]),
        label=RAVDESS[int(name.emotion) - 1],
        speaker=name.actor,
        audio=audio,
        video=video,
        table=table,
        info={
            "channel": CHANNELS[name.channel],
            "intensity": {"01": "normal", "02": "strong"}[name.intensity],
            "statement": {"01": "kids", "02": "dogs"}[name.statement],
            "repetition": name.repetition[1],
            "sex": "male" if int(name.actor) % 2 else "female",
        },
    )


def _how_to_get():
    return (
        "`python -m emotion download ravdess` fetches the corpus into dataset/, unpacked archives "
        "can be put anywhere below it, and `make demo` needs no data at all."
    )
