"""Preset: what enters a model, what the model is, and the recipe of its training."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from emotion.data.feature_tables import NAMES
from emotion.faces.detect import Detector
from emotion.features import FEATURES, FaceFrames
from emotion.signals.augment import Augmentation
from emotion.signals.cache import Spec

if TYPE_CHECKING:
    from emotion.clip import Arrays, Clip, Signal

MODALITIES = ("audio", "video", "both")
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("plateau", "cosine")
_TYPES = {"dict": dict, "list": list, "tuple": tuple, "str": str, "int": int, "bool": bool} | {
    "float": (int, float)
}
SECTIONS = ("recipe", "audio", "video", "augmentation")  # what `override` can change


@dataclass(frozen=True)
class Recipe:
    """The training numbers that a preset recommends.

    Attributes:
        epochs: int, at most.
        batch_size: int, clips.
        learning_rate: float, reached after the warm-up.
        warmup_epochs: int, epochs over which the learning rate rises from zero; and again when
            encoders begin to train.
        clipnorm: float, largest norm of the gradient of a weight, or None for any.
        weight_decay: float; a step takes learning_rate * weight_decay of each weight away, beside
            its gradient (Loshchilov & Hutter 2019, arXiv:1711.05101).
        patience: int, epochs without a better validation UAR before training stops.
        plateau_patience: int, epochs without a lower validation loss before the learning rate
            falls; the loss is steadier than the UAR.
        plateau_factor: float, what it is then multiplied with.
        min_learning_rate: float.
        optimizer: str, one of OPTIMIZERS.
        momentum: float in [0, 1], of SGD.
        nesterov: bool, whether SGD uses Nesterov momentum.
        schedule: str, one of SCHEDULES: the learning rate falls when the validation loss does not,
            or along half a cosine from the first epoch to the last.
        label_smoothing: float in [0, 1), part of the target that is spread over all classes.
        balanced: bool, whether classes are weighted so that each has the same part in the loss.
        milestones: tuple of int, epochs counted from 1 at whose start the learning rate falls to a
            tenth. Where there are any, it does not look at the validation loss.
        head_epochs: int, epochs at the start in which encoders with learned weights do not train,
            at most `patience`, so that early stopping cannot end the training among them. Encoders
            that begin with random weights train from the start, except for layers that the model
            never trains, which stay random.
        encoder_learning_rate: float, of all that trains after those epochs, or None for
            `learning_rate`.

    Raises:
        ValueError: `epochs`, `batch_size` or `learning_rate` is not positive; `head_epochs` is
            negative or above `patience`, or goes with milestones.
    """

    epochs: int = 50
    batch_size: int = 16
    learning_rate: float = 1e-3
    warmup_epochs: int = 2
    clipnorm: float | None = 1.0
    weight_decay: float = 0.0
    patience: int = 15
    plateau_patience: int = 5
    plateau_factor: float = 0.5
    min_learning_rate: float = 1e-6
    optimizer: str = "adam"
    momentum: float = 0.9
    nesterov: bool = False
    schedule: str = "plateau"
    label_smoothing: float = 0.0
    balanced: bool = True
    milestones: tuple = ()
    head_epochs: int = 0
    encoder_learning_rate: float | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive. Received: {getattr(self, name)}.")
        if not 0 <= self.head_epochs <= self.patience:
            raise ValueError(
                f"`head_epochs` must be from 0 to `patience` ({self.patience}). "
                f"Received: head_epochs={self.head_epochs}."
            )
        if self.schedule not in SCHEDULES:
            raise ValueError(
                f"`schedule` must be one of {', '.join(SCHEDULES)}. Received: {self.schedule}."
            )
        if self.head_epochs and (self.milestones or self.schedule == "cosine"):
            raise ValueError(
                "`head_epochs` and `milestones` or a cosine both set the learning rate; give one. "
                f"Received: head_epochs={self.head_epochs}, milestones={self.milestones}, "
                f"schedule={self.schedule}."
            )


# Settings of a feature that librosa divides by.
_COUNTS = ("sample_rate", "frame_length", "hop_length", "n_mels", "n_mfcc")


@dataclass(frozen=True)
class Preset:
    """A named design.

    Attributes:
        name: str.
        model: str, the file in emotion/models/ that builds it.
        audio: feature that makes the model's "audio" input, or None where it hears nothing.
        video: feature that makes the model's "video" input, or None where it sees nothing.
        augmentation: Augmentation of the training signals.
        recipe: Recipe.
        fusion: str, where the modalities meet, for a model that knows several places; else None.
    """

    name: str
    model: str
    audio: Any
    video: Any
    augmentation: Augmentation = field(default_factory=Augmentation)
    recipe: Recipe = field(default_factory=Recipe)
    fusion: str | None = None

    def __post_init__(self):
        for feature in self.features.values():
            for name in _COUNTS:
                if (count := getattr(feature, name, 1)) < 1:
                    raise ValueError(f"`{name}` must be at least 1. Received: {count}.")

    @property
    def features(self) -> dict[str, Any]:
        """Dict of input name to feature, for the modalities the preset has."""
        pairs = {"audio": self.audio, "video": self.video}
        return {name: feature for name, feature in pairs.items() if feature is not None}

    @property
    def modality(self) -> str:
        """str, one of MODALITIES."""
        return "both" if len(self.features) == 2 else next(iter(self.features))

    def only(self, modality: str) -> Preset:
        """Returns the preset with one modality of the two, or as it is for "both".

        Raises:
            ValueError: the preset does not have that modality.
        """
        if modality not in MODALITIES:
            raise ValueError(
                f"`modality` must be one of {', '.join(MODALITIES)}. Received: {modality}."
            )
        missing = {"audio": ("audio",), "video": ("video",), "both": ("audio", "video")}[modality]
        if any(name not in self.features for name in missing):
            raise ValueError(
                f"`modality` must be one that {self.name} has: {self.modality}. "
                f"Received: {modality}."
            )
        return (
            self
            if modality == "both"
            else replace(self, **{name: None for name in self.features if name != modality})
        )

    @property
    def faces(self) -> FaceFrames | None:
        """FaceFrames, the feature that needs face crops, or None: then no detector is needed."""
        return self.video if isinstance(self.video, FaceFrames) else None

    def lacking(self, clip: Clip) -> list[str]:
        """Returns the list of modalities of the preset that a clip has neither file nor table for.

        Args:
            clip: Clip.
        """
        files = {"audio": clip.audio, "video": clip.video if self.faces else None}
        tabled = {
            name: clip.table is not None and _kind(feature) in NAMES
            for name, feature in self.features.items()
        }
        return [name for name in self.features if files[name] is None and not tabled[name]]

    def spec(self, face_detector: str = "auto") -> Spec:
        """Returns the cache.Spec that decodes a signal for this preset.

        Args:
            face_detector: str, "yunet", "haar", or "auto": YuNet where its weights are there, else
                Haar. Without face crops it makes no difference.
        """
        if self.faces is None:
            face_detector = "none"
        elif face_detector == "auto":
            face_detector = Detector("auto").name
        return Spec(
            sample_rate=self.audio.sample_rate if self.audio else None,
            size=self.faces.size if self.faces else None,
            margin=self.faces.margin if self.faces else 0.0,
            detector=face_detector,
            table_features=tuple(
                kind for kind in map(_kind, self.features.values()) if kind in NAMES
            ),
        )

    def extract(self, signal: Signal, vary: Callable[[Signal], Signal] | None = None) -> Arrays:
        """Computes the model's inputs: the one place features are computed.

        What a feature does to a signal beforehand (its method `prepare`, such as trimming silence)
        comes before any augmentation, in training as in inference.

        Args:
            signal: Signal.
            vary: function of the prepared Signal that returns another, the augmentation; or None.

        Returns:
            dict of input name to array, as the features give them; no batch axis.
        """
        for feature in self.features.values():
            signal = feature.prepare(signal) if hasattr(feature, "prepare") else signal
        signal = vary(signal) if vary else signal
        return {name: feature(signal) for name, feature in self.features.items()}

    def to_json(self) -> dict:
        """Returns plain values that `from_json` turns back into an equal preset."""
        record = asdict(self)
        for name, feature in self.features.items():
            record[name]["feature"] = _kind(feature)
        return record


def from_json(record: dict) -> Preset:
    """Returns the Preset that `to_json` recorded.

    Raises:
        ValueError: a feature or a setting is one that this version does not have.
    """
    record = dict(record)
    for name in ("audio", "video"):
        if record.get(name) is not None:
            settings = dict(record[name])
            kind = settings.pop("feature")
            if kind not in FEATURES:
                raise ValueError(
                    f"the run's feature must be one of {', '.join(FEATURES)}; "
                    f"it was made by another version. Received: {kind}."
                )
            record[name] = _rebuild(FEATURES[kind], settings)
    varied = dict(record["augmentation"])
    varied.pop("trim_db", None)  # of older runs: the feature trims, as it did for them, too
    record["augmentation"] = _rebuild(Augmentation, varied)
    record["recipe"] = _rebuild(Recipe, record["recipe"])
    return _rebuild(Preset, record)


def _kind(feature):
    return next(name for name, kind in FEATURES.items() if kind is type(feature))


def _rebuild(kind, settings):
    known = {item.name for item in fields(kind)}
    unknown = sorted(set(settings).difference(known))
    if unknown:
        raise ValueError(
            f"{kind.__name__} has no setting {', '.join(unknown)}; "
            "the run was made by another version."
        )
    listed = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    refuse_types(kind, listed)
    return kind(**listed)


def refuse_types(kind: type, settings: dict) -> None:
    """Raises ValueError where a value has not the plain type of its field of a dataclass.

    Args:
        kind: dataclass with hints such as "int" or "float | None"; others are not checked.
        settings: dict of field name to value.
    """
    for item in (item for item in fields(kind) if item.name in settings):
        value, (name, *optional) = settings[item.name], str(item.type).split(" | ")
        right = isinstance(value, _TYPES.get(name, object)) or value is None and bool(optional)
        if not right or isinstance(value, bool) and name in ("int", "float"):
            raise ValueError(
                f"`{item.name}` of {kind.__name__} must be {item.type}. Received: {value!r:.60}."
            )


def override(preset: Preset, texts: Iterable[str]) -> Preset:
    """Returns the preset with some of its settings replaced.

    Args:
        preset: Preset.
        texts: sequence of str, SECTION.FIELD=VALUE: a field of the preset's `recipe`, `audio`,
            `video` or `augmentation`. A value is read as the type of the field; "none" is None
            where the field may be that, a tuple is numbers with commas between them. Of a field
            that is named twice the last value counts.

    Raises:
        ValueError: there is no such section or field, the value is of another type, or the section
            refuses it.

    >>> from emotion.models import preset
    >>> changed = override(preset("cnn3d_mfcc"), ["recipe.patience=25", "audio.trim_db=none"])
    >>> changed.recipe.patience, changed.audio.trim_db
    (25, None)
    """
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        section, dot, setting = name.strip().partition(".")
        if not (equals and dot):
            raise ValueError(
                "a setting must be SECTION.FIELD=VALUE, such as recipe.patience=25. "
                f"Received: {text!r}."
            )
        _refuse_unknown("section", section, SECTIONS)
        part = getattr(preset, section)
        if part is None:
            raise ValueError(f"{preset.name} has no {section} here; leave out {text!r}.")
        known = {item.name: item for item in fields(part)}
        _refuse_unknown(f"field of {section}", setting, known)
        kind = get_type_hints(type(part))[setting]
        value = _read(name.strip(), kind, known[setting].default, value)
        if section in ("audio", "video") and type(value) is int and value < 1:
            raise ValueError(f"{name.strip()} must be positive. Received: {value}.")
        changes.setdefault(section, {})[setting] = value
    parts = {name: replace(getattr(preset, name), **new) for name, new in changes.items()}
    changed = replace(preset, **parts)
    for name, feature in changed.features.items():
        if min(feature.shape) < 1:
            raise ValueError(
                f"{name} must have a positive shape; set a longer duration. "
                f"Received: {feature}, of shape {feature.shape}."
            )
    return changed


def _refuse_unknown(what, name, known):
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]}?" if close else "."
        raise ValueError(f"the {what} must be one of {', '.join(known)}. Received: {name}{hint}")


def _read(name, annotation, default, text):
    """Reads the value of a dataclass field, by its annotation and, of a tuple, its default."""
    text, kinds = text.strip(), get_args(annotation) or (annotation,)
    optional = type(None) in kinds
    if optional and text.lower() == "none":
        return None
    try:
        if kinds[0] is tuple:
            return _read_tuple(default, text)
        return _READERS[kinds[0]](text)
    except ValueError:
        kind = _NAMES[kinds[0]] + (" or none" if optional else "")
        if kinds[0] is tuple and default:
            kind = f"{len(default)} numbers with a comma between them"
        raise ValueError(f"{name} must be {kind}. Received: {text!r}.") from None


def _read_tuple(default, text):
    """A tuple as long as its default and of its type; of whole numbers where that is empty."""
    values = text.split(",") if text else []
    if default and len(values) != len(default):
        raise ValueError
    return tuple(_READERS[type(default[0]) if default else int](value) for value in values)


def _finite(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _truth(text):
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


_READERS = {int: int, float: _finite, bool: _truth, str: str}
_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "whole numbers with commas between them, or nothing",
}
