"""A training with all that follows it: clips, splits, folds, runs and their evaluations."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotion import backend, processes
from emotion.data import corpora, labels, splits
from emotion.data.corpora.images import described
from emotion.evaluation.results import Evaluation
from emotion.experiments import completion
from emotion.files import locked
from emotion.preset import Preset
from emotion.record import family
from emotion.run import Run, load_runs, runs_folder
from emotion.signals import presence
from emotion.signals.cache import SignalCache
from emotion.training.train import Training
from emotion.training.train import train as train_run
from emotion.training.warm_start import Initial, Pretrained

if TYPE_CHECKING:
    from emotion.processes import Pool

_log = logging.getLogger(__name__)


@dataclass
class Request:
    """A request to train: data, split and output.

    Attributes:
        data: Path of the data folder, manifest or table.
        features: Path of a table to join, or None.
        corpus: str, how to read `data`; None to guess it. corpus_guessed: bool, in a resume,
            whether it was guessed.
        protocol: str; None for the corpus's own.
        fold: str, a number or "all". folds: list of int, in a resume, those trained together.
        seed: int.
        face_detector: str, "auto", "yunet" or "haar".
        cache: Path of the signal cache, or None for the default one.
        encoder_weights: list of str, as in `Training`.
        labels: list of str, the classes of the run, or None for those of the corpus; clips are
            given them by `labels.mapped`.
        extra_data: list of Path of further corpora, whose clips are trained on and nothing else.
        init: Path of a run to begin with, or None.
        init_audio, init_video: Path of runs to begin with, or None. freeze_encoders: bool.
        run: Path of the run, or of the folder of folds; None for one in the folder of runs, which
            `train_folds` then sets.
        resume: bool.
        tensorboard: bool.
    """

    data: Path = Path("dataset")
    features: Path | None = None
    corpus: str | None = None
    corpus_guessed: bool | None = None
    protocol: str | None = None
    fold: str = "0"
    folds: list | None = None
    seed: int = 0
    face_detector: str = "auto"
    cache: Path | None = None
    encoder_weights: list | tuple = ()
    labels: list | tuple | None = None
    extra_data: list | tuple = ()
    init: Path | None = None
    init_audio: Path | None = None
    init_video: Path | None = None
    freeze_encoders: bool | None = False
    run: Path | None = None
    resume: bool = False
    tensorboard: bool | None = False


def train(
    data: str | Path = "dataset",
    preset: str | Preset = "cnn3d_mfcc",
    *,
    modality: str | None = None,
    epochs: int | None = None,
    protocol: str | None = None,
    fold: int | str = 0,
    seed: int = 0,
    run: str | Path | None = None,
    resume: bool = False,
    corpus: str | None = None,
    features: str | Path | None = None,
    face_detector: str = "auto",
    encoder_weights: tuple | list = (),
    labels: tuple | list | None = None,
    extra_data: tuple | list = (),
    init: str | Path | None = None,
    cache: str | Path | None = None,
    workers: int = 0,
) -> Run | list[Run]:
    """Trains a preset on a folder of clips, and evaluates it on its test speakers.

    Args:
        data: data folder, manifest or table (dataset/README.md).
        preset: name of a preset, or a Preset.
        modality: "audio", "video" or "both"; None for all that the preset has.
        epochs: at most; None for the preset's.
        protocol, seed, corpus, face_detector, encoder_weights, labels, extra_data, init, resume: as
            in `Request`.
        fold: number of the fold, or "all".
        run: folder of the run; None for one in the folder of runs.
        features: table of action units to join, or None.
        cache: folder of decoded clips; None for the default one.
        workers: processes that make batches; 0 for none.

    Returns:
        Run, or with fold="all" the list of runs.

    Raises:
        ValueError, FileNotFoundError, MediaError: the data, a setting or the run does not fit; the
            message says which.
    """
    backend.start()
    from emotion import models  # builds Keras layers: the backend comes first

    if isinstance(preset, str):
        preset = models.preset(preset)
    preset = preset.only(modality or preset.modality)
    if epochs is not None:
        preset = replace(preset, recipe=replace(preset.recipe, epochs=epochs))
    request = Request(
        Path(data),
        _path(features),
        corpus,
        protocol=protocol,
        fold=str(fold),
        seed=seed,
        face_detector=face_detector,
        cache=_path(cache),
        encoder_weights=encoder_weights,
        labels=labels,
        extra_data=[Path(path) for path in extra_data],
        init=_path(init),
        run=_path(run),
        resume=resume,
    )
    clips = corpora.clips(request.data, request.corpus, request.features)
    with processes.pool(workers) as pool:
        for folder, evaluation in train_folds(request, preset, clips, pool):
            _log.info("%s: %s", folder, evaluation.sentence())
    runs = load_runs(request.run)
    return runs if request.fold == "all" else runs[0]


def train_folds(
    request: Request, preset: Preset, clips: list, pool: Pool | None = None
) -> Iterator[tuple[Path, Evaluation]]:
    """Trains and evaluates each fold that is asked for.

    Args:
        request: Request.
        preset: Preset, with the recipe to train by.
        clips: list of Clip, of `corpora.clips`.
        pool: processes.Pool, or None.

    Yields:
        (folder, evaluation) of each fold; with fold="all" at the end of all folds together.

    Raises:
        ValueError, OSError, MediaError: as `splits.split` and `training.train`.
    """
    corpus = request.corpus or corpora.guess(request.data)
    guessed = request.corpus is None or bool(request.corpus_guessed)
    ignored = corpora.left_out(request.data, corpus)
    for line in ignored:
        _log.info(line)
    if request.features:
        _log.info(_joined(request.features, clips))
    if request.labels:
        clips = _mapped(request.data, clips, request.labels)
    extra = _extra(request, clips)
    several = request.fold == "all"
    protocol = request.protocol or splits.default_protocol(clips)
    first = splits.fold_count(clips, protocol, request.seed)[0] if several else _fold(request.fold)
    splits.split(clips, protocol, first, request.seed)  # errors come before all is decoded
    signals = SignalCache(preset.spec(request.face_detector), request.cache)
    facts = signals.prepare([*clips, *extra], pool)
    left_out = {id: held.reason for id, held in facts.items() if held.reason}
    for id, reason in left_out.items():
        _log.info("left out %s: %s", id, reason)
    clips, extra = ([c for c in some if c.id not in left_out] for some in (clips, extra))
    for line in presence.lines(preset, presence.count(preset, [*clips, *extra], facts)):
        _log.info(line)
    protocol = request.protocol or splits.default_protocol(clips)
    names = labels.label_set(request.labels or (clip.label for clip in clips))
    folder = request.run = request.run or runs_folder() / (
        f"{preset.name}-{preset.modality}-{protocol}-fold{request.fold}-seed{request.seed}"
    )
    numbers = splits.fold_count(clips, protocol, request.seed) if several else request.folds
    evaluations = []
    with locked(folder):
        for fold in numbers if several else [_fold(request.fold)]:
            split = splits.split(clips, protocol, fold, request.seed)
            met = {family(corpus): {*split.speakers["train"], *split.speakers["validation"]}}
            for clip in extra:
                met.setdefault(family(clip.info["corpus"]), set()).add(clip.speaker)
            split = replace(split, train=[*split.train, *extra])
            place = folder / f"fold-{fold}" if several else folder
            _log.info("%s: %s", place, _describe(split))
            with locked(place):
                initial = _initial(request, corpus, f"fold-{fold}" if numbers else "")
                if isinstance(initial, Pretrained):
                    for name, speakers in initial.run.record.met().items():
                        met[name] = met.get(name, set()) | speakers
                weights = request.encoder_weights
                training = Training(preset, split, names, signals, request.seed, weights, initial)
                run = train_run(
                    training,
                    place,
                    pool=pool,
                    resume=request.resume and (not several or (place / "run.json").exists()),
                    tensorboard=request.tensorboard,
                    origin={
                        **_origin(request),
                        "corpus": corpus,
                        "corpus_guessed": guessed,
                        "folds": numbers,
                        "left_out": left_out,
                        "passed_over": ignored,
                        "label_target": clips[0].info.get("label_target", "intended"),
                        "trained_on": {name: sorted(met[name]) for name in sorted(met)},
                    },
                )
                if several:  # it is of the folds as they were before
                    (folder / "metrics.json").unlink(missing_ok=True)
                evaluations.append(completion.complete(run, split, signals.load, pool))
            yield place, evaluations[-1]
        if several:
            yield folder, completion.join(evaluations, folder)


def _origin(request):
    """The fields of Record that say what was asked for; a resume needs them."""
    paths = {name: getattr(request, name) for name in ("data", "features", "cache")}
    branches = (request.init,) if request.init else (request.init_audio, request.init_video)
    return {
        **{f"{name}_path": path and str(path.resolve()) for name, path in paths.items()},
        "initial_paths": [str(path.resolve()) for path in branches if path],
        "asked_labels": list(request.labels) if request.labels else None,
        "extra_paths": [str(Path(path).resolve()) for path in request.extra_data] or None,
        "encoder_sources": [_absolute(text) for text in request.encoder_weights],
        "tensorboard": request.tensorboard,
    }


def _absolute(source):
    """An [ENCODER=]SOURCE that means the same in any working directory."""
    name, equals, path = source.rpartition("=")
    is_path = path not in ("imagenet", "none") and Path(path).exists()
    return f"{name}{equals}{Path(path).resolve()}" if is_path else source


def _mapped(data, clips, names):
    mapped, chosen = labels.mapped(clips, names)
    if text := labels.describe(chosen):
        _log.info("labels of %s: %s", data, text)
    return mapped


def _extra(request, clips):
    """The clips of further corpora, for training alone."""
    extra, names = [], request.labels or {clip.label for clip in clips}
    ids = {clip.id for clip in clips}
    for path in request.extra_data:
        corpus = corpora.guess(path)
        if family(corpus) == family(request.corpus or corpora.guess(request.data)):
            raise ValueError(
                f"--extra-data must be another corpus than --data, whose speakers may be tested. "
                f"Received: {path}, {corpus}."
            )
        listed = _mapped(path, corpora.clips(path, corpus), names)
        _log.info("%s: %d more clips of %s to train on", path, len(listed), corpus)
        if shared := ids & {clip.id for clip in listed}:
            raise ValueError(f"{path} has clips called as others are, such as {min(shared)}.")
        ids |= {clip.id for clip in listed}
        extra += [replace(clip, info={**clip.info, "corpus": corpus}) for clip in listed]
    return extra


def _initial(request, corpus, part):
    if request.init:
        return Pretrained(request.init, corpus)
    runs = request.init_audio, request.init_video
    return Initial(*(run / part for run in runs), request.freeze_encoders) if all(runs) else None


def _fold(text):
    if not text.isdecimal():
        raise ValueError(f"--fold must be a number or all. Received: {text}.")
    return int(text)


def _joined(features, clips):
    lacking = [clip.id for clip in clips if clip.table is None]
    rest = f"; none of {', '.join(lacking[:4])}{', ...' if len(lacking) > 4 else ''}"
    return (
        f"{features}: values of {len(clips) - len(lacking)} of {len(clips)} clips"
        f"{rest if lacking else ''}"
    )


def _describe(split):
    extra = sum("corpus" in clip.info for clip in split.train)
    counts = ", ".join(
        f"{role} {described(len(getattr(split, role)) - extra * (role == 'train'), speakers)}"
        for role, speakers in split.speakers.items()
    )
    counts += f"; and {extra} clips of further corpora to train on" if extra else ""
    absent = f"; absent: {', '.join(split.absent)}" if split.absent else ""
    warning = f"; WARNING: {split.warning}" if split.warning else ""
    return f"{split.protocol}, fold {split.fold}: {counts}{absent}{warning}"


def _path(path):
    return Path(path) if path else None
