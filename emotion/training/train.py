"""Trains a preset on a split; can be resumed exactly."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pandas as pd

from callbacks import (
    BestModel,
    Cosine,
    Milestones,
    ProgressLine,
    RunState,
    Stopwatch,
    Unfreeze,
    WarmUp,
)
from emotion import __version__, backend, encoders
from emotion.clip import MediaError
from emotion.data.splits import ROLES, Split
from emotion.files import atomic_write, write_csv
from emotion.metrics.keras_uar import UnweightedAverageRecall
from emotion.models import build_model
from emotion.preset import OPTIMIZERS, Preset
from emotion.record import Record, digest, record_differences, refuse_other_training
from emotion.run import Run, identity, identity_extra, load_run, resume_command
from emotion.signals import presence
from emotion.signals.cache import VERSION, SignalCache
from emotion.training import frozen
from emotion.training.batches import Batches, balanced_weights
from emotion.training.warm_start import Initial, Pretrained

if TYPE_CHECKING:
    from emotion.processes import Pool

_PACKAGES = ("keras", "tensorflow", "numpy", "librosa", "audiomentations", "opencv-python", "av")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """All that decides the weights which a training ends with, to the bit.

    Attributes:
        preset: Preset.
        split: splits.Split.
        labels: tuple of str, the label order.
        signals: SignalCache; its Spec names the face detector.
        seed: int, decides the initial weights, dropout, order and augmentation.
        encoder_weights: sequence of str, what the model's encoders start from, as
            `encoders.sources` reads it.
        initial: warm_start.Initial or Pretrained, weights of other runs to begin with, or None;
            with them, encoders are given no default weights first.
    """

    preset: Preset
    split: Split
    labels: tuple
    signals: SignalCache
    seed: int = 0
    encoder_weights: Sequence[str] = ()
    initial: Initial | Pretrained | None = None

    def record(self, sources: dict[str, str]) -> Record:
        """Returns the Record of its run.

        Args:
            sources: dict of `encoders.sources`, where the weights of encoders come from.
        """
        split, spec = self.split, self.signals.spec
        configs = encoders.configs(sources)
        values = dict(
            preset=self.preset.to_json(),
            labels=self.labels,
            seed=self.seed,
            protocol=split.protocol,
            fold=split.fold,
            speakers=split.speakers,
            absent=split.absent,
            warning=split.warning,
            clips={role: len(getattr(split, role)) for role in ROLES},
            detector=spec.detector if spec.size else None,
            decoding={"version": VERSION, "settings": spec.settings("video")},
            data=identity(split),
            extra=identity_extra(split),
            encoder_weights={n: encoders.identify(s) for n, s in sources.items()} or None,
            encoder_configs={name: asdict(config) for name, config in configs.items()} or None,
            initial=self.initial and self.initial.record,
            versions={"python": platform.python_version(), **_versions()},
        )
        return Record(**json.loads(json.dumps(values)))  # as it will be read: tuples are lists

    def differences(self, run: Run, sources: dict[str, str]) -> dict[str, str]:
        """Returns dict of a setting to str, "... then, ... now", where a Run differs from it.

        Args:
            run: Run.
            sources: as for `record`; library versions do not count.
        """
        return record_differences(run.record, self.record(sources))


def train(
    training: Training,
    folder: str | Path,
    *,
    pool: Pool | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    origin: dict | None = None,
) -> Run:
    """Trains a preset on a split.

    Frozen encoders run once for each clip (`frozen.cut`); those that begin with learned weights
    train after `recipe.head_epochs` (`callbacks.Unfreeze`). The caller should hold the folder with
    `files.locked` until the run is scored.

    Args:
        training: Training.
        folder: str or Path of the run.
        pool: processes.Pool, or None to make batches in this process.
        resume: bool, whether to continue the run that `folder` holds.
        tensorboard: bool, whether to log to `folder`/tensorboard.
        origin: dict, further fields of the Record, which say where the data came from.

    Returns:
        Run whose model.keras has the weights of the epoch with the best validation UAR. While
        it trains, the file has those of the best epoch so far, and `ended` in run.json is null.

    Raises:
        FileExistsError: `folder` holds a run, or the state of one, and `resume` is False.
        ValueError: the run to resume has other settings, which the message names, or has trained
            more epochs than the recipe has; or as `RunState` and `presence.check`.
        MediaError: a clip cannot be used.
        OSError: the state could not be written; what was saved before is whole.
        ValueError, OSError, ModuleNotFoundError: as `encoders.load`; ValueError also as
            `Initial.load`.
    """
    preset, split, labels = training.preset, training.split, training.labels
    folder = Path(folder)
    every = [*split.train, *split.validation, *split.test]
    facts = {clip.id: training.signals.facts(clip) for clip in every}
    for held in facts.values():
        if held.reason:
            raise MediaError(held.reason)
    counts = presence.count(preset, every, facts)
    presence.check(preset, counts)
    backend.make_deterministic(training.seed)
    model = build_model(preset, len(labels))
    initial, weights = training.initial, training.encoder_weights
    sources = {} if initial and not weights else encoders.sources(model, weights)
    if configs := encoders.configs(sources):
        model = build_model(preset, len(labels), configs)
    record = training.record(sources)
    recipe, identifier = preset.recipe, digest(record)
    if (folder / "run.json").exists():
        begun_as = load_run(folder).record
        if not resume:
            raise FileExistsError(
                f"{folder} holds a run already; continue it with "
                f"`{resume_command(folder, begun_as)}` or choose another --run."
            )
        refuse_other_training(begun_as, record, folder)
        identifier = begun_as.digest  # None where states do not name their run yet
    elif resume:
        raise FileNotFoundError(f"{folder} holds no run to resume; start one without --resume.")
    elif any(folder.glob("state/epoch-*")):
        raise FileExistsError(
            f"{folder} holds the state of a training whose run.json is gone; "
            f"delete {folder / 'state'} or choose another --run."
        )
    early_stopping = keras.callbacks.EarlyStopping(
        "val_uar", mode="max", patience=recipe.patience, restore_best_weights=True
    )
    schedule = _schedule(recipe)
    state = RunState(folder / "state", early_stopping, schedule, identifier)
    if state.epoch > recipe.epochs:
        raise ValueError(
            f"{folder} has trained {state.epoch} epochs, which cannot be taken back; --epochs must "
            f"be at least as many. Received: {recipe.epochs}."
        )
    window = float(np.median([facts[clip.id].duration for clip in split.train]))
    lacking = {count.modality: count.lacking for count in counts}
    begun = replace(record, digest=identifier, window=window, lacking=lacking, **(origin or {}))
    run = Run(folder, begun)

    encoders.load(model, sources)
    if initial:
        initial.load(model, preset, labels, split.speakers, split.protocol)
    clips = [*split.train, *split.validation]
    head, fed, signals = frozen.cut(model, preset, clips, training.signals)
    head.compile(
        optimizer=_optimizer(recipe),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        metrics=[UnweightedAverageRecall(len(labels))],
        jit_compile=keras.backend.backend() == "jax",  # on TensorFlow it is slower on a CPU
    )
    head.optimizer.build(head.trainable_variables)
    run.record.write(folder / "run.json")
    common: dict[str, Any] = {
        "preset": fed,
        "labels": labels,
        "batch_size": recipe.batch_size,
        "load": signals.load,
        "pool": pool,
    }
    batches = Batches(
        split.train,
        augmentation=preset.augmentation,
        seed=training.seed,
        epoch=state.epoch,
        class_weights=balanced_weights(split.train) if recipe.balanced else None,
        **common,
    )
    warm_up = WarmUp(recipe.learning_rate, recipe.warmup_epochs * len(batches))
    callbacks = [
        warm_up,
        schedule,
        early_stopping,
        BestModel(folder / "model.keras", model, state.best),
        state,
        keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: _write_history(folder, state)),
        Stopwatch(folder / "timing.json", len(split.train), state.epoch),
    ]
    if _log.isEnabledFor(logging.WARNING):  # not with --quiet
        callbacks.append(ProgressLine(recipe.epochs, state.history))
    learned = _learned(model, encoders.ENCODERS if initial else sources)
    if learned and recipe.head_epochs:
        rate = recipe.encoder_learning_rate or recipe.learning_rate
        callbacks.append(Unfreeze(learned, recipe.head_epochs, rate, warm_up))
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    if state.stopped or state.epoch >= recipe.epochs:
        state.set_model(head)
        state.restore()
        head.set_weights(early_stopping.best_weights)
    else:
        with backend.streams(batches, Batches(split.validation, **common)) as (train, validation):
            head.fit(
                train,
                validation_data=validation,
                epochs=recipe.epochs,
                steps_per_epoch=len(batches),
                initial_epoch=state.epoch,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
    _write_history(folder, state)
    with atomic_write(folder / "model.keras") as part:
        model.save(part)
    ended = {"epochs": state.epoch, "early_stopping": state.stopped}
    run = replace(run, record=replace(run.record, ended=ended))
    run.record.write(folder / "run.json")
    return run


def _optimizer(recipe):
    if recipe.optimizer not in OPTIMIZERS:
        raise ValueError(
            f"`optimizer` must be one of {', '.join(OPTIMIZERS)}. Received: {recipe.optimizer}."
        )
    common = {
        "learning_rate": recipe.learning_rate,
        "weight_decay": recipe.weight_decay or None,
        "clipnorm": recipe.clipnorm,
    }
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=recipe.momentum, nesterov=recipe.nesterov, **common)
    return keras.optimizers.Adam(**common)


def _schedule(recipe):
    if recipe.milestones:
        return Milestones(recipe.learning_rate, recipe.milestones)
    if recipe.schedule == "cosine":
        return Cosine(recipe.learning_rate, recipe.epochs, recipe.min_learning_rate)
    return keras.callbacks.ReduceLROnPlateau(
        "val_loss",
        factor=recipe.plateau_factor,
        patience=recipe.plateau_patience,
        min_lr=recipe.min_learning_rate,
    )


def _learned(model, names):
    """The layers of the encoders of these names, without those that are frozen for good."""
    layers = [layer for layer in model.layers if layer.name in names]
    return [part for encoder in layers for part in encoder.layers if part.trainable]


def _write_history(folder, state):
    write_csv(folder / "history.csv", pd.DataFrame(state.history))


def _versions():
    """Dict of a library to its version; TensorFlow may be absent where Keras runs on another."""
    versions = {"emotion": __version__}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
