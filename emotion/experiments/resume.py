"""Resume: finds unfinished trainings and the settings in their run.json.

A training is a run, or a folder of the folds of a protocol that one command trains.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from emotion.evaluation.results import complete
from emotion.run import load_runs, resume_command

if TYPE_CHECKING:
    from emotion.preset import Preset


def unfinished(runs: Path) -> Path | None:
    """Finds the training that was at work last among those that did not come to their end.

    Args:
        runs: Path of the folder of runs.

    Returns:
        Path of its folder, or None.
    """
    waiting = [folder for folder, parts in _trainings(runs) if not _complete(folder, parts)]
    return max(waiting, key=_last_change, default=None)


def extendable(runs: Path) -> list[tuple[Path, int, str]]:
    """Lists the trainings that ended since their epochs did; more epochs continue them.

    Args:
        runs: Path of the folder of runs.

    Returns:
        List of (Path of the folder, int of the epochs done, str of the command line for twice as
        many).
    """
    listed = []
    for folder, parts in _trainings(runs):
        done = [_epochs(part) for part in parts if _ended_by_epochs(part)]
        if done:
            more = "--epochs", str(2 * max(done))
            command = resume_command(parts[0].folder, parts[0].record, *more)
            listed.append((folder, max(done), command))
    return listed


def settings(folder: Path) -> tuple[Preset, dict]:
    """Reads what a training was asked to be.

    Args:
        folder: Path of a run, or of the folds of a protocol.

    Returns:
        (preset, options): Preset with its recipe, and dict of the name of an option of
        train_model.py to its value, and `folds`; what was not recorded is None.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: it was made by a version with other settings.
    """
    parts = load_runs(folder)
    record, preset = parts[0].record, parts[0].preset
    epochs = max(part.preset.recipe.epochs for part in parts)  # raised in the first folds first
    paths = record.initial_paths or ()
    audio, video = paths if len(paths) == 2 else (None, None)
    options = {
        "preset": preset.name,
        "modality": preset.modality,
        "data": record.data_path,
        "features": record.features_path,
        "corpus": record.corpus,
        "corpus_guessed": record.corpus_guessed,
        "protocol": record.protocol,
        "fold": "all" if parts[0].folder != Path(folder) else str(record.fold),
        "seed": record.seed,
        "face_detector": record.detector,
        "cache": record.cache_path,
        "encoder_weights": record.encoder_sources,
        "labels": record.asked_labels,
        "extra_data": [Path(path) for path in record.extra_paths or ()],
        "init": paths[0] if len(paths) == 1 else None,
        "init_audio": audio,
        "init_video": video,
        "freeze_encoders": (record.initial or {}).get("frozen"),
        "tensorboard": record.tensorboard,
        "folds": record.folds,
    }
    names = ("data", "features", "cache", "init", "init_audio", "init_video")
    options |= {name: options[name] and Path(options[name]) for name in names}
    return replace(preset, recipe=replace(preset.recipe, epochs=epochs)), options


def _trainings(runs):
    """Yields (folder, list of Run) of the trainings right in a folder."""
    for folder in sorted(path for path in Path(runs).glob("*") if path.is_dir()):
        try:
            parts = load_runs(folder)
        except (FileNotFoundError, ValueError):  # none, or a damaged one
            continue
        record = parts[0].record
        together = record.folds or parts[0].folder == folder  # not put there one by one
        if together and record.preset and not record.exported:
            yield folder, parts


def _complete(folder, parts):
    if parts[0].folder == folder:
        return complete(folder)
    missing = set(parts[0].record.folds).difference(part.record.fold for part in parts)
    joined = (folder / "metrics.json").is_file()
    return joined and not missing and all(complete(part.folder) for part in parts)


def _ended_by_epochs(run):
    """Returns whether a run was not stopped early and can be resumed."""
    ended = run.record.ended
    if ended is None:  # a run of an earlier version
        early = _epochs(run) < run.preset.recipe.epochs
    else:
        early = ended["early_stopping"]
    return not early and any(run.folder.glob("state/epoch-*.npz"))


def _epochs(run):
    path = run.folder / "history.csv"
    return len(pd.read_csv(path)) if path.is_file() else 0


def _last_change(folder):
    names = ("run.json", "history.csv", "fold-*/run.json", "fold-*/history.csv")
    return max(path.stat().st_mtime for name in names for path in folder.glob(name))
