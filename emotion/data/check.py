"""Checks a data folder: a table by speaker and emotion, and what is missing or broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from emotion import media
from emotion.clip import MediaError
from emotion.data import corpora
from emotion.data.corpora import crema_d, fer2013, images, ravdess
from emotion.data.labels import label_set
from emotion.media import suffixes

_NAMED = 8  # a list in the report names this many, then counts
_FEW_SPEAKERS = 5
_LFS = b"version https://git-lfs"  # what a clone without git lfs has in place of media


def check(root: Path, corpus: str | None = None, workers: int = 8) -> tuple[str, int]:
    """Opens every media file of a corpus, as far as its first frame and sound, and reports.

    Missing takes, unpaired clips, copies and a partial download are notes: training works with
    what is there. Unreadable, empty and misnamed files are problems: what is in them is lost.

    Args:
        root: path of the data folder, manifest CSV or table.
        corpus: str, a name of `corpora.CORPORA`, or None to guess; RAVDESS is then reported with
            speech and song, and a line says how many of the takes training leaves out.
        workers: int, threads that open files.

    Returns:
        (text, problems): str of several lines without a final newline, and the number of files
        with a problem.

    Raises:
        ValueError, FileNotFoundError: there is nothing to report on, see `corpora.clips`.
    """
    trained_on = corpus or corpora.guess(root)
    if trained_on.startswith(("fer2013", "images")):
        return _images(Path(root), trained_on)
    corpus = corpus or ("ravdess-all" if trained_on.startswith("ravdess") else trained_on)
    naming = crema_d if corpus.startswith("cremad") else ravdess
    named = [] if corpus in ("manifest", "table") else naming.files(root)
    named = [path for path in named if path.stem not in crema_d.BROKEN]
    other = ravdess if naming is crema_d else crema_d
    misnamed = [path for path in named if naming.parse(path) is None]
    foreign = {path for path in misnamed if other.named(path.name)}
    named, misnamed = ([path for path in some if path not in foreign] for some in (named, misnamed))
    usable = set(named).difference(misnamed)
    nothing_usable = (named or foreign) and not any(path.stat().st_size for path in usable)
    clips = [] if nothing_usable else corpora.clips(root, corpus)
    paths = {path for clip in clips for path in (clip.audio, clip.video) if path}
    infos, problems = _open(sorted(paths.union(named).difference(misnamed)), workers)
    for clip in clips:
        if clip.audio in infos and clip.audio != clip.video and not infos[clip.audio].audio:
            problems[clip.audio] = f"{clip.audio}: it has no sound track; replace the file."
        if clip.video in infos and not infos[clip.video].video:
            problems[clip.video] = f"{clip.video}: it has no picture; replace the file."

    groups = defaultdict(list)
    for clip in clips:
        groups["clips" if corpus == "manifest" else clip.info["channel"]].append(clip)
    lines = []
    for name, group in sorted(groups.items(), reverse=True):
        lines += [f"{name}:", *_table(group), ""]
        if corpus == "table":
            lines.append(f"modalities: values of a table {len(group)}")
        else:
            lines += _modalities(group, infos, problems)
        if corpus != "manifest":
            lines += _missing(group, name, naming)
        lines.append("")
    lines += corpora.left_out(root, trained_on) if clips else []
    if foreign:
        guess = "CREMA-D, `--corpus cremad`" if other is crema_d else "RAVDESS, `--corpus ravdess`"
        lines.append(f"of another corpus: {len(foreign)} ({guess}); check them by themselves")
    copies = Counter((p.stem, p.suffix.lower() in suffixes.AUDIO) for p in named)
    twice = [stem for (stem, _), count in copies.items() if count > 1]
    lines += _list("more than one copy, the first by path is used", twice)
    lines += _list(f"misnamed ({naming.NAMING})", misnamed)
    lines += _list("unreadable", [problems[path] for path in sorted(problems)])
    total = len(problems) + len(misnamed)
    files = len(paths.union(named))
    lines.append(f"{len(clips)} clips, {files} files, {total or 'none'} with a problem.")
    return "\n".join(lines), total


def _images(root, corpus):
    """The report on a corpus of images: counts by split and class, and equal images."""
    naming = images if corpus == "images" else fer2013
    clips = naming.listed(root)
    whole = [replace(clip, speaker=clip.split or "all") for clip in clips]
    lines = ["images by split:", *_table(whole, "split"), "", *images.duplicates(clips)]
    lines += corpora.left_out(root, corpus)
    problems = {}
    for clip in clips:
        try:
            if clip.index is None:
                media.read_image(clip.video)
        except MediaError as error:
            problems[clip.video] = str(error)
    lines += _list("unreadable", [problems[path] for path in sorted(problems)])
    lines.append(f"{len(clips)} images, {len(problems) or 'none'} with a problem.")
    return "\n".join(lines), len(problems)


def _open(paths, workers):
    """Returns dict of Path to Info for the files that open, and of Path to reason for the rest."""
    infos, problems = {}, {}
    with ThreadPoolExecutor(workers) as pool:
        results = pool.map(_probe, paths)
        progress = tqdm(results, "opening", len(paths), unit="file", leave=False)
        for path, result in zip(paths, progress):
            (problems if isinstance(result, str) else infos)[path] = result
    return infos, problems


def _probe(path):
    """Returns the Info of a file, or the str that says why it cannot be used."""
    if path.stat().st_size == 0:
        return f"{path}: it is empty (0 bytes); fetch it again."
    with open(path, "rb") as file:
        if file.read(len(_LFS)) == _LFS:
            return f"{path}: it only stands for a file of git lfs; run `git lfs pull`."
    try:
        return media.probe(path)
    except MediaError as error:
        return str(error)


def _table(clips, kind="speaker"):
    """Returns the lines of a table of counts: a row a speaker, a column an emotion."""
    counts = Counter((clip.speaker, clip.label) for clip in clips)
    labels = label_set(clip.label for clip in clips)
    speakers = sorted({clip.speaker for clip in clips})
    rows = [[kind, *labels, "all"]]
    for speaker in speakers:
        row = [counts[speaker, label] for label in labels]
        rows.append([speaker, *row, sum(row)])
    rows.append(["all", *(sum(column) for column in zip(*(row[1:] for row in rows[1:])))])
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows)]
    return [
        "  ".join(
            [str(row[0]).ljust(widths[0])]
            + [str(cell or "-").rjust(width) for cell, width in zip(row[1:], widths[1:])]
        )
        for row in rows
    ]


def _modalities(clips, infos, problems):
    """Returns lines on which clips have sound and picture that can be opened."""
    kinds = defaultdict(list)
    for clip in clips:
        has_audio = clip.audio in infos and clip.audio not in problems and infos[clip.audio].audio
        has_video = clip.video in infos and clip.video not in problems
        kinds[has_audio, has_video].append(clip.id)
    names = {
        (True, True): "sound and picture",
        (True, False): "sound only",
        (False, True): "picture only",
        (False, False): "neither",
    }
    used = {key: kinds[key] for key in names if kinds[key]}
    lines = ["modalities: " + ", ".join(f"{names[key]} {len(ids)}" for key, ids in used.items())]
    if (True, True) in used:
        for key in ((True, False), (False, True)):
            lines += _list(f"unpaired, {names[key]}", used.get(key, []))
    return lines


def _missing(clips, channel, naming):
    """Returns lines on the speakers and takes that are not there; `naming` is the corpus's file."""
    present = {clip.speaker for clip in clips}
    whole = [actor for actor in naming.ACTORS if naming.expected(channel, actor)]
    absent = [actor for actor in whole if actor not in present]
    lines = []
    if absent:
        lines.append(f"speakers: {len(present)} of {len(whole)}, absent: {', '.join(absent)}")
    if len(present) < _FEW_SPEAKERS:
        lines.append(
            f"partial download: {len(present)} of {len(whole)} speakers: expect results near chance"
        )
    ids = {clip.id for clip in clips}
    for actor in sorted(present):
        takes = naming.expected(channel, actor)
        lines += _list(f"speaker {actor} lacks takes", sorted(takes - ids), shown=4)
    return lines


def _list(title, items, shown=_NAMED):
    """Returns no line, or one with the number and the first of the items."""
    if not items:
        return []
    if isinstance(items[0], Path) or ": " in items[0]:  # paths and sentences: a line each
        rest = [f"  and {len(items) - shown} more"] if len(items) > shown else []
        return [f"{title}: {len(items)}", *(f"  {item}" for item in items[:shown]), *rest]
    rest = ", ..." if len(items) > shown else ""
    return [f"{title}: {len(items)} ({', '.join(items[:shown])}{rest})"]
