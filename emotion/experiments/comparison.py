"""Compares presets, each with sound alone, picture alone and both.

All are trained on the same clips, those that every one of them can use, and on the same folds and
seeds. A run is a folder OUT/PRESET-MODALITY/seed-S-fold-F; the one that is complete is never
trained again, a half one goes on where it was, and the tables are made anew from the files.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion import backend, encoders, models, processes
from emotion.data import splits
from emotion.data.labels import label_set
from emotion.evaluation import plots
from emotion.evaluation.results import complete
from emotion.experiments import completion
from emotion.experiments.summary import COSTS, markdown, summarize, timing
from emotion.files import locked, write_csv, write_text
from emotion.preset import MODALITIES, Preset
from emotion.run import load_run
from emotion.signals.cache import SignalCache
from emotion.training.train import Training, train

if TYPE_CHECKING:
    import pandas as pd

    from emotion.clip import Clip
    from emotion.processes import Pool

_REPEATS = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A preset with the modality it is compared with, and the cache of its signals."""

    preset: Preset
    signals: SignalCache

    @property
    def name(self) -> str:
        """str, such as "cnn3d_mfcc-audio"."""
        return f"{self.preset.name}-{self.preset.modality}"


def entries(
    presets: list[Preset],
    modalities: Sequence[str] = MODALITIES,
    epochs: int | None = None,
    detector: str = "auto",
    cache_folder: Path | None = None,
) -> list[Entry]:
    """Lists what is to be compared.

    Args:
        presets: list of Preset.
        modalities: names of MODALITIES; a preset takes part in those that it has.
        epochs: int, at most, or None for each preset's own.
        detector: str, "auto", "yunet" or "haar".
        cache_folder: Path of the signal cache, or None for the default one.

    Returns:
        List of Entry.

    Raises:
        ValueError: a modality is unknown, `epochs` is not positive, or nothing is left.
        FileNotFoundError: as `detect.Detector`.
    """
    unknown = sorted(set(modalities).difference(MODALITIES))
    if unknown:
        raise ValueError(
            f"`modalities` must be among {', '.join(MODALITIES)}. Received: {', '.join(unknown)}."
        )
    if epochs is not None and epochs < 1:
        raise ValueError(f"`epochs` must be positive. Received: {epochs}.")
    listed = []
    for preset in presets:
        has = {*preset.features, preset.modality}
        for modality in (name for name in MODALITIES if name in {*modalities} & has):
            reduced = preset.only(modality)
            reduced = replace(
                reduced, recipe=replace(reduced.recipe, epochs=epochs or reduced.recipe.epochs)
            )
            listed.append(Entry(reduced, SignalCache(reduced.spec(detector), cache_folder)))
    if not listed:
        raise ValueError(f"no preset has one of the modalities {', '.join(modalities)}.")
    return listed


def usable(
    entries: list[Entry],
    clips: list[Clip],
    pool: Pool | None = None,
    encoder_weights: Sequence[str] = (),
) -> tuple[list[Entry], list[Clip], dict[str, str], dict[str, str]]:
    """Finds the entries that can run on a corpus, and the clips that all of these can use.

    Args:
        entries: list of Entry.
        clips: list of Clip.
        pool: processes.Pool, or None to decode in this process.
        encoder_weights: as in `compare`; here they are fetched.

    Returns:
        (entries, clips, unfit, left_out): the lists without the entries that cannot run or can use
        less than half of the clips, dict of an entry's name to the reason, dict of a clip's id to
        the reason.

    Raises:
        ValueError: no entry can run, or they have no clip in common; ValueError, OSError also as
            `encoders.load`, but where weights cannot be fetched.
    """
    lacking = {}  # spec of one modality -> {clip id: reason}
    parts = {entry.name: [] for entry in entries}
    for entry in entries:
        for modality in entry.preset.features:
            spec = entry.preset.only(modality).spec(entry.signals.spec.detector)
            if spec not in lacking:
                facts = replace(entry.signals, spec=spec).prepare(clips, pool)
                lacking[spec] = {id: held.reason for id, held in facts.items() if held.reason}
            parts[entry.name].append(spec)
    unfit, left_out = {}, {}
    for entry in entries:
        specs = parts[entry.name]
        most = max((lacking[spec] for spec in specs), key=len)
        if len(most) > len(clips) / 2:  # it would take more clips from the others than it leaves
            share = f"it can use {len(clips) - len(most)} of {len(clips)} clips"
            unfit[entry.name] = f"{share}: {next(iter(most.values()))}"
        elif reason := _unfetched(entry.preset, encoder_weights):
            unfit[entry.name] = reason
        else:
            left_out |= {clip: reason for spec in specs for clip, reason in lacking[spec].items()}
    fit = [entry for entry in entries if entry.name not in unfit]
    remaining = [clip for clip in clips if clip.id not in left_out]
    if not fit:
        name, reason = next(iter(unfit.items()))
        raise ValueError(f"no preset can run on this data; {name}: {reason}")
    if not remaining:
        raise ValueError("the presets have no clip in common that each can use; compare fewer.")
    return fit, remaining, unfit, left_out


def compare(
    entries: list[Entry],
    clips: list[Clip],
    out: Path,
    protocol: str,
    numbers: list[int] | None,
    seeds: list[int],
    *,
    encoder_weights: Sequence[str] = (),
    count: int = 0,
    notes: Sequence[str] = (),
    origin: dict | None = None,
) -> pd.DataFrame:
    """Trains what is not yet trained; writes comparison.csv, .md and .png, anew after each run.

    Args:
        entries, clips: as `usable` returns them.
        out: Path of the folder.
        protocol: str.
        numbers: list of int, the folds; or None for all that have a speaker.
        seeds: list of int.
        encoder_weights: sequence of str, as in `Training`; a NAME=SOURCE is for those entries
            that have the encoder.
        count: int, processes that make batches of a run in one of its own; 0: all in this one.
        notes: list of str, lines for comparison.md, such as what was left out.
        origin: dict, as `train` takes it.

    Returns:
        pandas.DataFrame, as `summary.summarize`.

    Raises:
        ValueError: `out` holds a run of other settings, or the protocol does not fit the clips.
        OSError: a file could not be written; what was finished before is whole.
    """
    names = label_set(clip.label for clip in clips)
    asked = {
        entry.name: _asked(models.build_model(entry.preset, len(names)), encoder_weights)
        for entry in entries
    }
    runs = []  # fold by fold, so that a table that is not finished compares like with like
    for seed in seeds:
        chosen = splits.fold_count(clips, protocol, seed) if numbers is None else numbers
        for split in [splits.split(clips, protocol, fold, seed) for fold in chosen]:
            for entry in entries:
                weights, sources = asked[entry.name]
                training = Training(entry.preset, split, names, entry.signals, seed, weights)
                folder = out / entry.name / f"seed-{seed}-fold-{split.fold}"
                if (folder / "run.json").is_file():
                    _refuse_other(folder, training, sources)
                runs.append((training, folder))
    heading = _heading(runs, clips, names, notes)
    for index, (training, folder) in enumerate(runs):
        finished = complete(folder)
        if not finished:
            progress = f"run {index + 1} of {len(runs)}{_left(runs, index)}"
            _log.info("%s: %s", progress, folder)
        if not (finished and _costed(folder)):
            do = partial(processes.apart, _run, initializer=backend.start) if count else _run
            do(training, folder, count, origin)
        if not finished or index + 1 == len(runs):
            table = summarize([folder for _, folder in runs if complete(folder)])
            _write(table, heading, len(names), out)
    return table


def _run(training, folder, count, origin):
    """Trains and scores one of the runs, as far as that is not done, and measures what it costs."""
    # Each is a model of its own: that TensorFlow traces it anew is no mistake.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    split, load = training.split, training.signals.load
    if not complete(folder):
        with locked(folder, "choose another --output"), processes.pool(count) as pool:
            resume = (folder / "run.json").is_file()
            run = train(training, folder, pool=pool, resume=resume, origin=origin)
            completion.complete(run, split, load, pool)
    if not _costed(folder):
        cost = _cost(load_run(folder), load(split.test[0]))
        write_text(folder.parent / "cost.json", json.dumps(cost))


def _write(table, heading, classes, out):
    write_csv(out / "comparison.csv", table)
    write_text(out / "comparison.md", f"# Comparison\n\n{heading}\n{markdown(table)}")
    plots.comparison(table, 1 / classes, heading.partition(".")[0], out)


def _heading(runs, clips, names, notes):
    """Describes data and protocol as Markdown; the first sentence is the plot's title."""
    trainings = [training for training, _ in runs]
    split, seeds = trainings[0].split, dict.fromkeys(str(each.seed) for each in trainings)
    numbers = dict.fromkeys(str(each.split.fold) for each in trainings)
    target = clips[0].info.get("label_target", "intended")
    lines = [
        f"Protocol {split.protocol}, folds {', '.join(numbers)}, seeds {', '.join(seeds)}. "
        f"{len(clips)} clips of {len({clip.speaker for clip in clips})} speakers, those that every "
        f"row can use; labels ({target}): {', '.join(names)}. Nothing is adapted "
        "to a test speaker. Mean ± standard deviation over folds and seeds; top-1 is WAR.",
        *([f"Absent speakers: {', '.join(split.absent)}."] if split.absent else []),
        *([f"WARNING: {split.warning}"] if split.warning else []),
        *notes,
    ]
    return "".join(f"{line}\n\n" for line in lines).rstrip("\n") + "\n"


def _costed(folder):
    return (folder.parent / "cost.json").is_file()


def _asked(model, encoder_weights):
    """The encoder weights that are for a model's encoders, and their dict of sources."""
    has = {layer.name for layer in model.layers}
    asked = [text for text in encoder_weights if text == "none" or text.partition("=")[0] in has]
    return asked, encoders.sources(model, asked)


def _unfetched(preset, encoder_weights):
    """Returns why the weights of a preset's encoders cannot be fetched, or None."""
    sources = _asked(models.build_model(preset, 2), encoder_weights)[1]
    try:
        encoders.load(models.build_model(preset, 2, encoders.configs(sources)), sources)
    except (ConnectionError, ModuleNotFoundError) as error:
        return str(error)
    return None


def _refuse_other(folder, training, sources):
    different = training.differences(load_run(folder), sources)
    if different:
        listed = "; ".join(f"{name}: {text}" for name, text in different.items())
        raise ValueError(f"{folder} was another training ({listed}); choose another --output.")


def _left(runs, index):
    """Estimates the remaining training time of the runs from `index` on."""
    spent = {}
    for _, folder in runs:
        if complete(folder):
            spent.setdefault(folder.parent, []).append(sum(timing(folder)["seconds"].values()))
    if not spent:
        return ""
    means = {name: np.mean(seconds) for name, seconds in spent.items()}
    other = np.mean(list(means.values()))
    waiting = [folder.parent for _, folder in runs[index:] if not complete(folder)]
    seconds = sum(means.get(name, other) for name in waiting)
    return f", about {timedelta(seconds=round(seconds))} of training left"


def _cost(run, signal):
    """Trainable parameters, and the ms from one decoded signal to logits: features and model."""
    model, seconds = run.model(), []
    for _ in range(1 + _REPEATS):  # the first warms up
        begun = time.perf_counter()
        inputs = {name: array[None] for name, array in run.preset.extract(signal).items()}
        model.predict_on_batch(inputs)
        seconds.append(time.perf_counter() - begun)
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    return dict(zip(COSTS, (count, 1000 * float(np.median(seconds[1:])))))
