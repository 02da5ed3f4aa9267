"""Run: one training of a preset, as the folder that it leaves."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emotion import backend, cache, corpora, folds, tables
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
            FileNotFoundError: the run was not trained to its end, or is an export.
        """
        path = self.folder / "model.keras"
        if "exported" in self.record:
            raise FileNotFoundError(
                f"{self.folder} is an export, which only predicts; name the run it was made of."
            )
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.folder} holds no model.keras: its training has not ended; "
                f"continue it with `python train_model.py --run {self.folder} --resume`."
            )
        backend.start()
        import keras  # not above: an exported model needs none of it

        return keras.saving.load_model(path, compile=False, safe_mode=True)

    @property
    def spec(self):
        """cache.Spec of the signals it was trained on."""
        return self.preset.spec(self.record["detector"])

    def data(
        self, root=None, features=None, cache_folder=None, corpus=None, protocol=None, fold=None
    ):
        """Finds the clips that it was trained on, and those that it is tested on.

        Args:
            root: path of the data folder, manifest or table; None for the one it was trained on.
            features: path of a table to join, likewise.
            cache_folder: Path of the signal cache, or None for the default one.
            corpus, protocol: str, likewise. A corpus that training guessed is guessed anew for
                another data folder.
            fold: int, likewise; of a `protocol` that is named, the first.

        Returns:
            (split, load): folds.Split of the clips that could be used, which may have test clips
            alone, and a function of a Clip that returns its Signal.

        Raises:
            ValueError, FileNotFoundError: as `corpora.clips` and `folds.split`; ValueError also
                where the run does not say where its clips are.
        """
        same = not root or str(Path(root).resolve()) == self.record.get("data_path")
        root = root or self.record.get("data_path")
        if root is None:
            raise ValueError(
                f"{self.folder} does not say where its clips are; name them with --data."
            )
        features = features or self.record.get("features_path")
        if same or not self.record.get("corpus_guessed"):  # the folder may hold more by now
            corpus = corpus or self.record.get("corpus")
        clips = corpora.clips(root, corpus, features)
        clips = [clip for clip in clips if clip.id not in self.record.get("left_out", ())]
        if fold is None:
            fold = 0 if protocol else self.record["fold"]
        protocol = protocol or self.record["protocol"]
        split = folds.split(clips, protocol, fold, self.record["seed"], needed=("test",))
        return split, partial(cache.load, spec=self.spec, folder=cache_folder)

    def owns(self, split):
        """Returns bool, whether a folds.Split is the one it was made with, clip by clip."""
        made = self.record.get("data"), self.record["protocol"], self.record["fold"]
        return (identity(split), split.protocol, split.fold) == made

    def refuse_other(self, split):
        """Raises ValueError where it does not own a split: its folder keeps its own numbers."""
        if not self.owns(split):
            raise ValueError(
                f"these are other clips than {self.folder} was made with; name an --output of "
                "`evaluate` or `explain`, so that what is in its folder stays its own."
            )


def load_runs(folder):
    """Returns the list of Run in a folder: the one, or those of a protocol's folds by number.

    Raises:
        FileNotFoundError: there is none.
    """
    parts = [path.parent for path in Path(folder).glob("fold-*/run.json")]
    if parts:
        return [load_run(part) for part in sorted(parts, key=lambda one: int(one.name[5:]))]
    return [load_run(folder)]


def load_run(folder):
    """Returns the Run in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        parts = sorted(Path(folder).glob("fold-*/run.json"))
        told = f"name one of its folds, such as {parts[0].parent}" if parts else "train one first"
        raise FileNotFoundError(f"{folder} is not a run: it holds no run.json; {told}.")
    return Run(Path(folder), json.loads(path.read_text()))


def identity(split):
    """Digest of what the clips of a split are called, how large their files are, what is given."""
    digest = hashlib.blake2b(digest_size=16)
    for role in folds.ROLES:
        for clip in getattr(split, role):
            files = [p and (p.name, p.stat().st_size) for p in (clip.audio, clip.video)]
            digest.update(repr((role, clip.id, clip.label, clip.speaker, files)).encode())
            for name, array in tables.values(clip.given, clip.id).items() if clip.given else ():
                digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def newest(runs):
    """Finds the run that was trained last, and says which it is.

    Args:
        runs: str or Path of a folder of runs.

    Returns:
        Path of the run.

    Raises:
        FileNotFoundError: there is none.
    """
    runs = Path(runs)
    found = [path for path in runs.rglob("model.keras") if (path.parent / "run.json").is_file()]
    if not found:
        raise FileNotFoundError(
            f"{runs} holds no trained run; train one with `python train_model.py`, or name one "
            "with --model RUN."
        )
    run = max(found, key=lambda path: path.stat().st_mtime).parent
    print(f"model: {run} (the newest in {runs.name}/)")
    return run


def write_text(path, text):
    """Writes a file that appears under its name only when it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
