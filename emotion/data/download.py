"""Downloads RAVDESS from its Zenodo record, verified against the record's checksums."""

from __future__ import annotations

import logging
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pooch
from pooch.downloaders import doi_to_repository

from emotion.data.corpora import ravdess as names

DOI = "10.5281/zenodo.1188976"
_ATTEMPTS_AGAIN = 3
_log = logging.getLogger(__name__)
_ARCHIVES = ".archives"  # hidden, so that corpora/ravdess.py ignores it


def ravdess(
    actors: Sequence[str] = names.ACTORS,
    audio_only: bool = False,
    output: str | Path = "dataset",
    channel: str = "speech",
    record: Any | None = None,
) -> list[Path]:
    """Fetches and unpacks the archives of RAVDESS (CC BY-NC-SA 4.0; speech with video: 13 GB).

    A stopped download is continued by running it again: an actor's folder appears only when it is
    whole, what is there is not fetched again, and an archive is deleted once it is unpacked.

    Args:
        actors: sequence of two-digit str.
        audio_only: bool, leave out the videos.
        output: path of the folder to fill, as <archive>/Actor_NN/<file>.
        channel: "speech", "song" or "all".
        record: a pooch data repository to use instead of the one that the DOI leads to.

    Returns:
        List of Path, the actor folders that were added.

    Raises:
        ValueError: unknown channel, or a checksum that is still wrong at the fourth attempt.
        OSError: the record cannot be reached, or the disk is full.
    """
    output = Path(output)
    wanted = {
        archive: [actor for actor in numbers if not _folder(output, archive, actor).exists()]
        for archive, numbers in _plan(actors, audio_only, channel).items()
    }
    wanted = {archive: missing for archive, missing in wanted.items() if missing}
    if not wanted:
        return []
    store = pooch.create(
        output / _ARCHIVES, base_url=f"doi:{DOI}/", retry_if_failed=_ATTEMPTS_AGAIN
    )
    record = record or doi_to_repository(DOI, timeout=30)
    try:
        record.populate_registry(store)
    except KeyError:
        raise ConnectionError(
            f"doi:{DOI} was answered without a list of files; try again later."
        ) from None
    count = len(wanted)
    _log.info("RAVDESS, CC BY-NC-SA 4.0, doi:%s: %d archives into %s", DOI, count, output)
    added = []
    for archive, missing in wanted.items():
        store.urls[f"{archive}.zip"] = record.download_url(f"{archive}.zip")
        downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16)
        path = Path(store.fetch(f"{archive}.zip", downloader=downloader))
        added += _unpack(path, output, archive, missing)
        path.unlink()
    shutil.rmtree(output / _ARCHIVES)
    return added


def _plan(actors, audio_only, channel):
    """Returns dict of archive name (without .zip) to the requested actors in it."""
    if channel not in ("speech", "song", "all"):
        raise ValueError(f"`channel` must be speech, song or all. Received: {channel!r}.")
    plan = {}
    for kind in ("speech", "song") if channel == "all" else (channel,):
        numbers = [actor for actor in actors if names.expected(kind, actor)]
        plan[f"Audio_{kind.title()}_Actors_01-24"] = numbers
        if not audio_only:
            plan |= {f"Video_{kind.title()}_Actor_{actor}": [actor] for actor in numbers}
    return plan


def _folder(output, archive, actor):
    return output / archive / f"Actor_{actor}"


def _unpack(path, output, archive, actors):
    """Unpacks the RAVDESS files of some actors; a folder gets its final name when it is whole.

    Only the last part of a member's name is used, and only where it is a RAVDESS name: nothing an
    archive holds can land outside its actor's folder.
    """
    added = []
    with zipfile.ZipFile(path) as file:
        members = [(names.parse(PurePosixPath(m.filename).name), m) for m in file.infolist()]
        for actor in actors:
            folder = _folder(output, archive, actor)
            partial = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            wanted = [member for name, member in members if name and name.actor == actor]
            if not wanted:
                raise ValueError(f"{path.name} holds no file of actor {actor}; report this.")
            for member in wanted:
                target = partial / PurePosixPath(member.filename).name
                with file.open(member) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
            os.replace(partial, folder)
            added.append(folder)
    return added
