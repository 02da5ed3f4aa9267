"""The starter: one model of a face run and a voice run, which works before anything is trained.

Each branch is calibrated on its own validation clips, and its temperature becomes part of its
weights; each has a threshold of its own too. The model adds the log-probabilities of the branches
(models/face_voice.py), so a recording without sound or without a face is predicted by the other
branch as it is. Weights are rounded to 16 bits and compressed: with the ONNX export beside them,
which predicts, the folder stays below 10 MB.
"""

from __future__ import annotations

import platform
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from emotion import __version__, models
from emotion.evaluation import evaluate
from emotion.evaluation.results import Evaluation
from emotion.experiments import model_card
from emotion.files import atomic_write, write_text
from emotion.inference import export
from emotion.inference.recognizer import Recognizer
from emotion.metrics import calibration
from emotion.record import Record, family
from emotion.run import Run

if TYPE_CHECKING:
    import keras

    from emotion.processes import Pool

FACE, VOICE = "face_expression", "face_voice"  # the presets of the two runs


def join(
    face: Run,
    voice: Run,
    folder: str | Path,
    cache: Path | None = None,
    pool: Pool | None = None,
) -> Run:
    """Joins a face run and a voice run into one run that predicts recordings.

    Args:
        face: Run of the preset face_expression.
        voice: Run of the preset face_voice with sound alone, of the same labels.
        folder: str or Path to write run.json, model.keras and model_card.md into.
        cache: Path of the signal cache; None for the default one.
        pool: processes.Pool, or None to make batches in this process.

    Returns:
        Run.

    Raises:
        ValueError: a run is of another preset, or their labels differ.
        ModuleNotFoundError: what exports to ONNX is not installed.
        FileNotFoundError: a run was not scored: its folder holds no metrics.json.
    """
    _refuse_unfit(face, voice)
    runs = {"video": face, "audio": voice}
    scored = {name: Evaluation.read(run.folder) for name, run in runs.items()}
    temperatures, thresholds = _calibrate(runs, cache, pool)
    preset = models.preset(VOICE)
    frames = replace(preset.video, size=face.preset.video.size, margin=face.preset.video.margin)
    preset = replace(preset, audio=voice.preset.audio, video=frames)
    # The mirror image of a face says as much as the face: together they are more often right.
    model = models.build_model(preset, len(face.labels), {"face_encoder": {"mirrored": True}})
    _set_weights(model, {n: run.model() for n, run in runs.items()}, temperatures)
    met: dict[str, set] = {}
    for run in runs.values():
        for corpus, speakers in run.record.met().items():
            met[corpus] = met.get(corpus, set()) | speakers
    record = Record(
        preset=preset.to_json(),
        labels=list(face.labels),
        seed=face.record.seed,
        speakers={"train": [], "validation": [], "test": []},
        detector="auto",
        window=voice.record.window,
        versions={"python": platform.python_version(), "emotion": __version__},
        ended={"epochs": face.record.ended["epochs"], "early_stopping": False},
        trained_on={name: sorted(met[name]) for name in sorted(met)},
        protocols={family(run.record.corpus): run.record.protocol for run in runs.values()},
        temperatures=temperatures,
        thresholds=thresholds,
    )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.set_weights([_round(array) for array in model.get_weights()])
    with atomic_write(folder / "model.keras") as part:
        model.save(part)
        _compress(part)
    write_text(folder / "model_card.md", model_card.text(record, runs, scored))
    record.write(folder / "run.json")
    shutil.rmtree(folder / "onnx", ignore_errors=True)  # of the runs that were joined before
    recognizer = Recognizer(folder, use_export=False)
    windows = export.noise(recognizer)
    export.export_run(recognizer, "onnx", folder / "onnx", windows, "noise", weights="float16")
    return Run(folder, record)


def _round(array):
    """Rounds kernels to what float16 holds; biases and statistics stay as they are."""
    return array if array.ndim < 2 else array.astype(np.float16).astype(np.float32)


def _compress(path):
    """Compresses a .keras archive, which Keras reads as it reads its own."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def _refuse_unfit(face, voice):
    if (face.preset.name, voice.preset.name, voice.preset.modality) != (FACE, VOICE, "audio"):
        raise ValueError(
            f"the starter needs a run of {FACE} and one of {VOICE} with --modality audio. "
            f"Received: {face.preset.name}, {voice.preset.name} with {voice.preset.modality}."
        )
    if face.labels != voice.labels:
        raise ValueError(
            f"both runs must have the same labels; train with --labels {','.join(face.labels)}. "
            f"Received: {', '.join(voice.labels)}."
        )


def _calibrate(runs, cache, pool):
    """The temperature and the threshold of each run, on its validation clips."""
    temperatures, thresholds = {}, {}
    for name, run in runs.items():
        split, load = run.data(cache_folder=cache)
        views = 2 if name == "video" else 1  # the face and its mirror image, as the model does
        predicted = evaluate.predict(run, split.validation, load, pool, views=views)
        true = predicted["label"].map(run.labels.index).to_numpy()
        logits = calibration.logarithms(predicted[list(run.labels)].to_numpy())
        temperatures[name] = calibration.temperature(true, logits)
        probabilities = special.softmax(logits / temperatures[name], axis=1)
        thresholds[name] = calibration.threshold(true, probabilities)
    return temperatures, thresholds


def _set_weights(model: keras.Model, trained: dict, temperatures: dict[str, float]) -> None:
    """Sets the weights of face_voice from its two branches, their logits divided by T."""
    model.get_layer("face_encoder").set_weights(
        trained["video"].get_layer("face_encoder").get_weights()
    )
    names = {layer.name for layer in model.layers if layer.weights}
    for layer in trained["audio"].layers:
        if layer.name in names and layer.name != "audio_logits":
            model.get_layer(layer.name).set_weights(layer.get_weights())
    heads = {"video": "logits", "audio": "audio_logits"}
    for name, head in heads.items():
        weights = trained[name].get_layer(head).get_weights()
        scaled = [np.asarray(array) / temperatures[name] for array in weights]
        model.get_layer(f"{name}_logits").set_weights(scaled)
