"""Record: what run.json says of a training, and whether two trainings are the same."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from dataclasses import dataclass, fields, replace
from pathlib import Path

from emotion.files import write_text
from emotion.preset import from_json, refuse_types

LARGEST = 100_000_000  # values of an input of a model


@dataclass(frozen=True)
class Record:
    """The content of run.json; None for values that it does not have.

    Attributes:
        preset: dict, of `Preset.to_json`.
        labels: list of str, the order of the model's outputs.
        seed: int.
        protocol: str.
        fold: int.
        speakers: dict of role to list of str.
        absent: list of str, speakers of the protocol that the corpus lacks.
        warning: str, of the split.
        clips: dict of role to int.
        detector: str, "yunet" or "haar"; None without face crops.
        decoding: dict, the version and the settings that frames were decoded with.
        data: str, `identity` of the split. extra: str, `identity_extra`.
        encoder_weights, encoder_configs: dict of an encoder's name to what it started from.
        initial: dict, digests of the branches it started from, of `warm_start.Initial`.
        versions: dict of a library to its version.
        digest: str, tells its states from those of other trainings.
        ended: dict, `epochs` trained and whether by `early_stopping`; None while it trains.
        window: float, seconds, the median duration of the training clips.
        lacking: dict of modality to the ids of clips that lack it.
        data_path, features_path, cache_path: str, absolute, or None.
        initial_paths: list of str, the runs of `initial`.
        encoder_sources: list of str, as they were named.
        tensorboard: bool.
        corpus: str.
        corpus_guessed: bool.
        folds: list of int, the folds trained together with this one.
        left_out: dict of a clip's id to why it could not be used.
        passed_over: list of str, what else of the data folder was left out.
        label_target: str, "intended" or "crowd".
        trained_on: dict of corpus to the list of its speakers who took part in the training of the
            weights or in choosing them, those of the runs that it started from included.
        extra_paths: list of str, further corpora that were trained on.
        asked_labels: list of str, the classes that were asked for, where the corpus has others.
        protocols: dict of corpus to the protocol that it is tested by, of the starter.
        temperatures: dict of modality to float, which the weights of its branch were divided by.
        thresholds: dict of modality to float, of the starter or an export: the confidence below
            which a prediction from it is uncertain.
        exported: dict, of an export: its `format`, `weights`, what it was made of, and its check.
    """

    preset: dict | None = None
    labels: list | None = None
    seed: int | None = None
    protocol: str | None = None
    fold: int | None = None
    speakers: dict | None = None
    absent: list | None = None
    warning: str | None = None
    clips: dict | None = None
    detector: str | None = None
    decoding: dict | None = None
    data: str | None = None
    extra: str | None = None
    encoder_weights: dict | None = None
    encoder_configs: dict | None = None
    initial: dict | None = None
    versions: dict | None = None
    digest: str | None = None
    ended: dict | None = None
    window: float | None = None
    lacking: dict | None = None
    data_path: str | None = None
    features_path: str | None = None
    cache_path: str | None = None
    initial_paths: list | None = None
    encoder_sources: list | None = None
    tensorboard: bool | None = None
    corpus: str | None = None
    corpus_guessed: bool | None = None
    folds: list | None = None
    left_out: dict | None = None
    passed_over: list | None = None
    label_target: str | None = None
    trained_on: dict | None = None
    extra_paths: list | None = None
    asked_labels: list | None = None
    protocols: dict | None = None
    temperatures: dict | None = None
    thresholds: dict | None = None
    exported: dict | None = None

    @classmethod
    def read(cls, path: Path) -> Record:
        """Returns the Record in a run.json, of this version or an earlier one.

        Raises:
            ValueError: it is damaged: it is no JSON, a value is of another type or out of its
                range, or there is no such preset.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_constant)
            record = cls(**{field.name: values.get(field.name) for field in fields(cls)})
            record._check()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"{type(error).__name__}: " if not isinstance(error, ValueError) else ""
            raise ValueError(
                f"{path} is damaged or of another version ({reason}{error}); "
                "restore it, or train the run anew."
            ) from error
        return record

    def _check(self):
        """Raises ValueError, or what a value of another type causes, where one cannot be used."""
        refuse_types(type(self), vars(self))
        for parts in (self.speakers, self.trained_on):
            for names in (parts or {}).values():
                if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                    raise ValueError("the names of speakers must be listed")
        if self.speakers and not {"train", "validation", "test"} <= self.speakers.keys():
            raise ValueError("`speakers` must have those of train, validation and test")
        for feature in from_json(self.preset).features.values() if self.preset else ():
            if math.prod(feature.shape) > LARGEST:
                raise ValueError(f"an input of the preset has the shape {feature.shape}")
        names = self.labels
        if names is not None and not (
            2 <= len(set(names)) == len(names) and all(isinstance(name, str) for name in names)
        ):
            raise ValueError("`labels` must be the distinct names of two classes or more")
        if self.window is not None and not 0 < self.window <= 3600:
            raise ValueError(f"`window` must be above 0 and at most 3600. Received: {self.window}")
        for values in (self.temperatures, self.thresholds):
            if not all(0 <= float(value) for value in (values or {}).values()):
                raise ValueError(f"temperatures and thresholds must be numbers. Received: {values}")

    def write(self, path: Path) -> None:
        """Writes a run.json; what is None is left out."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        write_text(path, json.dumps(values, indent=1))

    def decisive(self) -> dict:
        """Returns dict of the settings that decide a training, as JSON holds them."""
        return json.loads(json.dumps({name: getattr(self, name) for name in _DECISIVE}))

    def met(self) -> dict[str, set]:
        """Returns dict of corpus family to the set of speakers that the weights have met."""
        if self.trained_on is None:  # a run of an earlier version
            roles = self.speakers or {}
            return {family(self.corpus): {*roles.get("train", ()), *roles.get("validation", ())}}
        return {name: set(speakers) for name, speakers in self.trained_on.items()}


# Two trainings that agree in these are the same, to the bit where library versions agree too.
_DECISIVE = (
    *("preset", "labels", "seed", "protocol", "fold", "speakers", "absent", "warning", "clips"),
    *("detector", "decoding", "data", "extra", "encoder_weights", "encoder_configs", "initial"),
)


def _constant(name):
    """Reads what JSON itself has no number for; a temperature may be infinite."""
    if name != "Infinity":
        raise ValueError(f"{name} is no number")
    return math.inf


def family(corpus: str | None) -> str:
    """Returns what the ways to read a corpus have in common, since its speakers are the same.

    >>> family("ravdess-song"), family("table"), family(None)
    ('ravdess', 'ravdess', '')
    """
    return "ravdess" if corpus == "table" else (corpus or "").partition("-")[0]


def digest(record: Record) -> str:
    """Returns str that tells a training apart from any other.

    Args:
        record: Record. Epochs and library versions may change.
    """
    settings = record.decisive()
    del settings["preset"]["recipe"]["epochs"]
    text = json.dumps(settings, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def refuse_other_training(before: Record, now: Record, folder: Path) -> None:
    """Raises ValueError where a run would be resumed as another training than it was.

    Args:
        before: Record of the run.
        now: Record of the training that would continue it.
        folder: Path of the run.
    """
    different = record_differences(before, now)
    different.pop("preset.recipe.epochs", None)  # more of the same training are the same training
    if different:
        listed = "; ".join(f"{name}: {text}" for name, text in different.items())
        raise ValueError(
            f"{folder} cannot be resumed as another training ({listed}); "
            "give it what it had, or start a new --run."
        )
    if before.versions != now.versions:
        names = [n for n, v in now.versions.items() if before.versions.get(n) != v]
        warnings.warn(
            f"{folder} was begun with other versions of {', '.join(names)}: "
            "it continues, but its weights may differ slightly.",
            stacklevel=3,
        )


def record_differences(before: Record, now: Record) -> dict[str, str]:
    """Returns dict of the name of a setting to str, "... then, ... now", where two records differ.

    Args:
        before: Record of a run, perhaps of an earlier version.
        now: Record of a training; library versions do not count.
    """
    recorded = from_json(before.preset).to_json()  # with the settings that came later
    pairs = _leaves(replace(before, preset=recorded).decisive(), now.decisive())
    return {name: f"{old} then, {new} now" for name, old, new in pairs}


def _leaves(before, now, prefix=""):
    """The settings that differ: (dotted name, old, new)."""
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _leaves(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", old, new
