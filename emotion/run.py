"""Run: one training of a preset, as the folder that it leaves."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import keras

from emotion.preset import from_json


@dataclass(frozen=True)
class Run:
    """One training of a preset.

    Attributes:
        folder: Path with run.json, history.csv, model.keras and state/.
        record: dict, what run.json holds.
    """

    folder: Path
    record: dict

    @property
    def preset(self):
        """Preset, with the recipe the run was trained by."""
        return from_json(self.record["preset"])

    @property
    def labels(self):
        """Tuple of str, the order of the model's outputs."""
        return tuple(self.record["labels"])

    def model(self):
        """Loads the best model, a keras.Model to logits.

        Raises:
            FileNotFoundError: the run was not trained to its end.
        """
        path = self.folder / "model.keras"
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.folder} holds no model.keras: its training has not ended; "
                f"continue it with `python train_model.py --run {self.folder} --resume`."
            )
        return keras.saving.load_model(path, compile=False)


def load_run(folder):
    """Returns the Run in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a run: it holds no run.json; train one first.")
    return Run(Path(folder), json.loads(path.read_text()))


def write_text(path, text):
    """Writes a file that appears under its name only when it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
