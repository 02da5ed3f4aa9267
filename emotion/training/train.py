"""Training: a preset and a split in, a run folder out; resumable to the bit."""

import json
import os
import platform
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from callbacks import BestModel, Milestones, ProgressLine, RunState, Stopwatch, Unfreeze, WarmUp
from emotion import backend, encoders
from emotion.clip import MediaError
from emotion.files import write_text
from emotion.metrics.keras_uar import UnweightedAverageRecall
from emotion.models import build_model
from emotion.preset import OPTIMIZERS
from emotion.run import (
    Run,
    digest,
    identity,
    load_run,
    record_differences,
    refuse_other_training,
    resume_command,
)
from emotion.signals import cache, presence
from emotion.training import frozen
from emotion.training.batches import Batches, balanced_weights

_PACKAGES = ("keras", "tensorflow", "numpy", "librosa", "audiomentations", "opencv-python", "av")


def train(
    preset,
    split,
    labels,
    folder,
    spec,
    *,
    seed=0,
    cache_folder=None,
    pool=None,
    tensorboard=False,
    resume=False,
    encoder_weights=(),
    initial=None,
    extra=None,
):
    """Trains a preset on a split.

    Encoders that are frozen are asked once (`frozen.cut`); those that begin with learned
    weights follow after `recipe.head_epochs` (`callbacks.Unfreeze`). Whoever calls it should hold
    the folder with `run.locked`, and until the run is scored.

    Args:
        preset: Preset.
        split: splits.Split.
        labels: tuple of str, the label order.
        folder: str or Path of the run.
        spec: cache.Spec of the signals, names the face detector.
        seed: int, decides the initial weights, dropout, order and augmentation.
        cache_folder: Path of the signal cache, or None for the default one.
        pool: processes.Pool, or None to make batches in this process.
        tensorboard: bool, whether to log to `folder`/tensorboard.
        resume: bool, whether to continue the run that `folder` holds.
        encoder_weights: sequence of str, what the model's encoders start from, as
            `encoders.sources` reads it.
        initial: warm_start.Initial, weights of single-modality runs to begin with, or None; with
            them, encoders are given no default weights first.
        extra: dict, further entries for run.json (data path, clips left out).

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
    folder = Path(folder)
    every = [*split.train, *split.validation, *split.test]
    facts = {clip.id: cache.facts(clip, spec, cache_folder) for clip in every}
    for own in facts.values():
        if own.reason:
            raise MediaError(own.reason)
    counts = presence.count(preset, every, facts)
    presence.check(preset, counts)
    backend.make_deterministic(seed)
    model = build_model(preset, len(labels))
    begun = initial and not encoder_weights
    pretrained = {} if begun else encoders.sources(model, encoder_weights)
    if configs := encoders.configs(pretrained):
        model = build_model(preset, len(labels), configs)
    record = _record(preset, split, labels, spec, seed, pretrained, initial)
    recipe, own = preset.recipe, digest(record)
    if (folder / "run.json").exists():
        begun_as = load_run(folder).record
        if not resume:
            raise FileExistsError(
                f"{folder} holds a run already; continue it with "
                f"`{resume_command(folder, begun_as)}` or choose another --run."
            )
        refuse_other_training(begun_as, record, folder)
        own = begun_as.get("digest")  # None where states do not name their run yet
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
    state = RunState(folder / "state", early_stopping, schedule, own)
    if state.epoch > recipe.epochs:
        raise ValueError(
            f"{folder} has trained {state.epoch} epochs, which cannot be taken back; --epochs must "
            f"be at least as many. Received: {recipe.epochs}."
        )
    window = float(np.median([facts[clip.id].duration for clip in split.train]))
    record |= {"digest": own, "ended": None}
    lacking = {one.modality: one.lacking for one in counts}
    run = Run(folder, {**record, "window": window, "lacking": lacking, **(extra or {})})

    encoders.load(model, pretrained)
    if initial:
        initial.load(model, preset, labels, split.speakers, split.protocol)
    clips = [*split.train, *split.validation]
    head, fed, load = frozen.cut(model, preset, clips, spec, cache_folder)
    head.compile(
        optimizer=_optimizer(recipe),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[UnweightedAverageRecall(len(labels))],
        jit_compile=False,
    )
    head.optimizer.build(head.trainable_variables)
    write_text(folder / "run.json", json.dumps(run.record, indent=1))
    common = dict(preset=fed, labels=labels, batch_size=recipe.batch_size, load=load, pool=pool)
    batches = Batches(
        split.train,
        augmentation=preset.augmentation,
        seed=seed,
        epoch=state.epoch,
        class_weights=balanced_weights(split.train, labels),
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
        ProgressLine(recipe.epochs, state.history),
    ]
    learned = _learned(model, encoders.ENCODERS if initial else pretrained)
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
    part = folder / "model.part.keras"
    model.save(part)
    os.replace(part, folder / "model.keras")
    ended = {"epochs": state.epoch, "early_stopping": state.stopped}
    run = replace(run, record={**run.record, "ended": ended})
    write_text(folder / "run.json", json.dumps(run.record, indent=1))
    return run


def differences(run, preset, split, labels, spec, seed, pretrained=None):
    """Tells how a run differs from the training with these settings.

    Args:
        run: run.Run.
        preset, split, labels, spec, seed: as `train`.
        pretrained: dict of `encoders.sources`, or None.

    Returns:
        dict of the name of a setting to str, "... then, ... now"; library versions do not count.
    """
    return record_differences(
        run.record, _record(preset, split, labels, spec, seed, pretrained or {}, None)
    )


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
        return keras.optimizers.SGD(momentum=recipe.momentum, **common)
    return keras.optimizers.Adam(**common)


def _schedule(recipe):
    if recipe.milestones:
        return Milestones(recipe.learning_rate, recipe.milestones)
    return keras.callbacks.ReduceLROnPlateau(
        "val_loss",
        factor=recipe.plateau_factor,
        patience=recipe.plateau_patience,
        min_lr=recipe.min_learning_rate,
    )


def _learned(model, names):
    """The layers of the encoders of these names, without those that are frozen for good."""
    found = [layer for layer in model.layers if layer.name in names]
    return [part for encoder in found for part in encoder.layers if part.trainable]


def _write_history(folder, state):
    write_text(folder / "history.csv", pd.DataFrame(state.history).to_csv(index=False))


def _record(preset, split, labels, spec, seed, pretrained, initial):
    record = {
        "preset": preset.to_json(),
        "labels": labels,
        "seed": seed,
        "protocol": split.protocol,
        "fold": split.fold,
        "speakers": split.speakers,
        "absent": split.absent,
        "warning": split.warning,
        "clips": {role: len(getattr(split, role)) for role in ("train", "validation", "test")},
        "detector": spec.detector if spec.size else None,
        "decoding": {"version": cache.VERSION, "settings": spec.settings("video")},
        "data": identity(split),
        "encoder_weights": {n: encoders.identify(s) for n, s in pretrained.items()} or None,
        "encoder_configs": {n: asdict(c) for n, c in encoders.configs(pretrained).items()} or None,
        "initial": initial and initial.record,
        "versions": {"python": platform.python_version(), **{n: version(n) for n in _PACKAGES}},
    }
    return json.loads(json.dumps(record))  # as it will be read: tuples are lists
