"""The run that a command uses."""

from pathlib import Path


def chosen(model):
    """Returns the Path of a run: `model`, or without one the newest, which is then printed."""
    if model:
        return Path(model)
    from emotion.run import newest

    folder = newest()
    print(f"model: {folder} (the newest in {folder.parent.name}/)")
    return folder
