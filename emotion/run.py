"""Run: the folder of one training."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emotion import backend, shipped
from emotion.data import corpora, feature_tables, labels, splits
from emotion.files import read_json
from emotion.preset import from_json
from emotion.record import Record, family
from emotion.signals.cache import SignalCache

if TYPE_CHECKING:
    import keras

    from emotion.clip import Load
    from emotion.data.splits import Split
    from emotion.preset import Preset
    from emotion.signals.cache import Spec

_log = logging.getLogger(__name__)
_CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """One training of a preset.

    Attributes:
        folder: Path with run.json, history.csv, model.keras and state/.
        record: Record, what run.json says.
    """

    folder: Path
    record: Record

    @property
    def preset(self) -> Preset:
        """Preset, with the recipe the run was trained by."""
        return from_json(self._known("preset"))

    @property
    def labels(self) -> tuple[str, ...]:
        """Tuple of str, the order of the model's outputs."""
        return tuple(self._known("labels"))

    def _known(self, name):
        """A value of the Record without which a run cannot be used."""
        value = getattr(self.record, name)
        if not value:
            raise ValueError(f"{self.folder / 'run.json'} has no `{name}`; train the run anew.")
        return value

    def model(self) -> keras.Model:
        """Loads the best model, a keras.Model to logits.

        Raises:
            FileNotFoundError: no epoch of the run has ended, or it is an export.
            ValueError: model.keras is damaged, is of another run, or has weights that are no
                numbers.
        """
        path = self.folder / "model.keras"
        if self.record.exported:
            raise FileNotFoundError(
                f"{self.folder} is an export, which only predicts; name the run it was made of."
            )
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.folder} holds no model.keras: no epoch of its training has ended; "
                f"continue it with `{resume_command(self.folder, self.record)}`."
            )
        backend.start()
        import keras  # not above: an exported model needs none of it

        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # of Keras, h5py, zipfile and json, of any kind
            raise ValueError(
                f"{path} is damaged ({' '.join(str(error).split()):.100}); restore it, or continue "
                f"the run with `{resume_command(self.folder, self.record)}`."
            ) from error
        shapes = {name: value.shape for name, value in self.preset.features.items()}
        expected = {name: (None, *shape) for name, shape in shapes.items()}, len(self.labels)
        if ({each.name: each.shape for each in model.inputs}, model.output.shape[-1]) != expected:
            raise ValueError(f"{path} is the model of another run.json; restore the right one.")
        if not all(np.isfinite(array).all() for array in model.get_weights()):
            raise ValueError(f"{path} has weights that are no numbers; train the run anew.")
        return model

    @property
    def temperature(self) -> float:
        """Float, what logits are divided by: fitted by `evaluate` on validation clips, else 1."""
        return self._measured("temperature") or 1.0

    @property
    def thresholds(self) -> dict[str, float]:
        """Dict of modality to float, the confidence below which a prediction is uncertain.

        `evaluate` chooses one for all on validation clips; without that it is 0.
        """
        measured = self._measured("threshold") or 0.0
        return self.record.thresholds or dict.fromkeys(self.preset.features, measured)

    def _measured(self, name):
        """A number that metrics.json gives for the model that is in the folder, or None."""
        path = self.folder / "metrics.json"
        measured = read_json(path) if path.is_file() else {}
        if measured.get("model") != weights_digest(self.folder):
            return None
        value = measured.get(name)
        if value is not None and not (type(value) in (int, float) and value >= 0):
            raise ValueError(
                f"{path} is damaged (`{name}` must be a number of at least 0. Received: "
                f"{value!r:.60}); `emotion evaluate` writes it anew."
            )
        return value

    @property
    def spec(self) -> Spec:
        """cache.Spec of the signals it was trained on."""
        return self.preset.spec(self.record.detector)

    def data(
        self,
        root: str | Path | None = None,
        features: Path | None = None,
        cache_folder: str | Path | None = None,
        corpus: str | None = None,
        protocol: str | None = None,
        fold: int | None = None,
    ) -> tuple[Split, Load]:
        """Finds the clips that it was trained on, and those that it is tested on.

        Args:
            root: path of the data folder, manifest or table; None for the one it was trained on.
            features: path of a table to join, likewise.
            cache_folder: Path of the signal cache, or None for the default one.
            corpus, protocol: str, likewise. A corpus that training guessed is guessed anew for
                another data folder. Another corpus than the one it was trained on is tested by the
                split that it brings, else as a whole; labels are mapped by `labels.mapping`.
            fold: int, likewise; of a `protocol` that is named, the first.

        Returns:
            (split, load): splits.Split of the clips that could be used, which may have test clips
            alone, and a function of a Clip that returns its Signal.

        Raises:
            ValueError, FileNotFoundError: as `corpora.clips` and `splits.split`; ValueError also
                where the run does not say where its clips are.
        """
        same = not root or str(Path(root).resolve()) == self.record.data_path
        root = root or self.record.data_path
        if root is None:
            raise ValueError(
                f"{self.folder} does not say where its clips are; name them with --data."
            )
        features = features or self.record.features_path
        if same or not self.record.corpus_guessed:  # the folder may hold more by now
            corpus = corpus or self.record.corpus
        load = SignalCache(self.spec, Path(cache_folder) if cache_folder else None).load
        corpus = corpus or corpora.guess(Path(root))
        clips = corpora.clips(Path(root), corpus, features)
        clips, chosen = labels.mapped(clips, self.labels)
        text = labels.describe(chosen)
        if text:
            _log.info("labels of %s: %s", root, text)
        known_as: dict[str, Any] = {"corpus": corpus, "label_map": chosen if text else None}
        if family(corpus) == family(self.record.corpus):
            clips = [clip for clip in clips if clip.id not in (self.record.left_out or ())]
        trained = family(self.record.corpus or corpus)  # an early record names none
        known = self.record.protocols or {trained: self.record.protocol}
        if protocol is None and family(corpus) in known:
            protocol = known[family(corpus)]
            fold = self.record.fold if fold is None else fold
        elif protocol is None and any(clip.split for clip in clips):
            protocol = splits.default_protocol(clips)
        elif protocol is None:
            return replace(splits.all_tested(clips), **known_as), load
        split = splits.split(clips, protocol, fold or 0, self.record.seed, needed=("test",))
        return replace(split, **known_as), load

    def owns(self, split: Split) -> bool:
        """Returns bool, whether a splits.Split is the one it was made with, clip by clip."""
        made = self.record.data, self.record.protocol, self.record.fold
        return (identity(split), split.protocol, split.fold) == made

    def refuse_other(self, split: Split) -> None:
        """Raises ValueError where it does not own a split: its folder keeps its own numbers."""
        if not self.owns(split):
            raise ValueError(
                f"these are other clips than {self.folder} was made with; name an --output of "
                "`evaluate` or `explain`, so that what is in its folder stays its own."
            )


def load_runs(folder: str | Path) -> list[Run]:
    """Returns the list of Run in a folder: the one, or those of a protocol's folds by number.

    Raises:
        FileNotFoundError: there is none.
    """
    parts = [path.parent for path in Path(folder).glob("fold-*/run.json")]
    if parts:
        return [load_run(part) for part in sorted(parts, key=lambda fold: int(fold.name[5:]))]
    return [load_run(folder)]


def load_run(folder: str | Path) -> Run:
    """Returns the Run in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        parts = sorted(Path(folder).glob("fold-*/run.json"))
        fix = f"name one of its folds, such as {parts[0].parent}" if parts else "train one first"
        raise FileNotFoundError(f"{folder} is not a run: it holds no run.json; {fix}.")
    return Run(Path(folder), Record.read(path))


def identity(split: Split) -> str:
    """Digest of what the clips of a split are called, how large their files are, what is given.

    Clips of further corpora (`info["corpus"]`) do not count: `identity_extra` is of them.
    """
    roles = {r: [c for c in getattr(split, r) if "corpus" not in c.info] for r in splits.ROLES}
    return _digest_clips(roles)


def identity_extra(split: Split) -> str | None:
    """Returns the same of the clips of further corpora, or None without any."""
    extra = [clip for clip in split.train if "corpus" in clip.info]
    return _digest_clips({"extra": extra}) if extra else None


def _digest_clips(parts):
    digest = hashlib.blake2b(digest_size=16)
    for role, clips in parts.items():
        for clip in clips:
            files = [p and (p.name, p.stat().st_size) for p in (clip.audio, clip.video)]
            votes = [clip.info["votes"]] if "votes" in clip.info else []
            said = (role, clip.id, clip.label, clip.speaker, files, *votes)
            digest.update(repr(said).encode())
            for name, array in (
                feature_tables.values(clip.table, clip.id).items() if clip.table else ()
            ):
                digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def weights_digest(folder: Path) -> str | None:
    """Returns str that tells the weights in a run's model.keras apart, or None without them.

    It is the checksum that the archive itself holds, so no model is read.
    """
    try:
        with zipfile.ZipFile(Path(folder) / "model.keras") as archive:
            weights = archive.getinfo("model.weights.h5")
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
    return f"{weights.CRC:08x}-{weights.file_size}"


def runs_folder() -> Path:
    """Returns the Path of the folder of runs, from any working directory the same.

    $EMOTION_RUNS where it is set; else `saved_models` beside train_model.py, where this package
    lies in a checkout; else `saved_models` of the working directory.
    """
    there = (_CHECKOUT / "train_model.py").is_file() and Path.cwd() != _CHECKOUT
    return Path(os.environ.get("EMOTION_RUNS") or Path(_CHECKOUT if there else "", "saved_models"))


def newest(runs: str | Path | None = None) -> Path:
    """Finds the run that is taken where none is named.

    It is the one in the folder of runs whose model was written last; without any, the starter. A
    single fold in a folder of folds, or a run of `compare`, is never taken.

    Args:
        runs: str or Path of the folder of runs; None for `runs_folder()`.

    Returns:
        Path of the run.

    Raises:
        FileNotFoundError: there is none.
    """
    runs = runs_folder() if runs is None else Path(runs)
    models = [path for path in runs.rglob("model.keras") if (path.parent / "run.json").is_file()]
    models = [path for path in models if path.parent != runs / "starter"]
    starter = shipped.starter()
    if starter and not any(path.parent.parent == runs for path in models):
        return starter
    if not models:
        raise FileNotFoundError(
            f"{runs} holds no trained run; train one with `{shlex.join(program())}`, or name one: "
            "--model RUN, in Python model=RUN."
        )
    models.sort(key=lambda path: path.stat().st_mtime)
    folders = [path.parent for path in models if path.parent.parent == runs]
    if not folders:
        raise FileNotFoundError(
            f"{runs} holds only single folds and runs of a comparison, which must be named: "
            f"--model {shlex.quote(str(models[-1].parent))}"
        )
    return folders[-1]


def resume_command(folder: Path, record: Record, *more: str) -> str:
    """Returns the command line that continues a training, to be copied.

    Args:
        folder: Path of the run.
        record: Record; of a fold that was trained with others, the command continues all of
            them.
        more: str, further arguments.
    """
    named = folder.parent if record.folds else folder
    return shlex.join([*program(), "--run", str(named), "--resume", *more])


def program() -> list[str]:
    """Returns list of str, the command that trains, as it can be called from anywhere."""
    script = _CHECKOUT / "train_model.py"
    if not script.is_file():
        return ["emotion", "train"]
    return ["python", script.name if Path.cwd() == _CHECKOUT else str(script)]
