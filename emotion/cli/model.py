"""The run that a command uses."""

from __future__ import annotations

from pathlib import Path


def chosen(model: Path | None) -> Path:
    """Returns the Path of a run: `model`, or without one the newest, which is then printed."""
    if model:
        return Path(model)
    from emotion.run import newest
    from emotion.shipped import starter

    folder = newest()
    if folder == starter():
        print(f"model: the starter, since no run was trained ({folder / 'model_card.md'})")
    else:
        print(f"model: {folder} (the newest in {folder.parent.name}/)")
    return folder
