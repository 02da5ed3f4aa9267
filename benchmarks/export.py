"""Export: each preset as ONNX and LiteRT against Keras, on real windows; error, size and speed.

    python benchmarks/export.py --data RECORDINGS [--presets NAME,NAME] [--weights float16]

Presets are of full size, with random weights. So that no two windows are alike to them, batch
normalization learns the windows' statistics, and logits are standardised over them to a deviation
of 2; "varies" is the least, over classes, by which a probability does. "Keras" is how far it is
from itself, batches of 16 from one window at a time: what it rounds, others may. Speed is the least
of alternating repeats in this process, one window at a time, features not counted.
"""

import argparse
import copy
import json
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from scipy.special import softmax

sys.path.insert(0, str(Path(__file__).parents[1]))
from emotion import backend

backend.start()
import keras

from emotion import models
from emotion.data import corpora, labels
from emotion.inference import export, runtime, timeline
from emotion.inference.recognizer import Recognizer
from emotion.signals import cache

TALKING = ("media/grid_mpeg1_mp2.mpg", "media/grid_mpeg1_mp2_b.mpg",
           "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4",
           "ravdess/videos/Actor_01/01-01-07-02-02-01-01.mp4")  # fmt: skip


def windows(recognizer, data):
    """Fifty real Signals: voices with their faces, or takes of RAVDESS with their units."""
    if not recognizer.preset.faces:
        clips = corpora.clips(data / "ravdess", None, data / "ravdess/action_units.csv")
        clips = clips[:: len(clips) // export.WINDOWS][: export.WINDOWS]
        return [cache.decode(clip, recognizer.spec) for clip in clips]
    result, recorder = [], copy.copy(recognizer)
    recorder.predict = lambda signals: result.extend(signals) or np.zeros((len(signals), 8))
    for path in TALKING:  # silence would give batch normalization a variance of zero
        timeline.analyse(data / path, recorder, window=2.0, hop=0.1)
    return result[: export.WINDOWS]


def start(name, folder, data):
    """Makes a run of an untrained preset whose predictions differ from window to window.

    Returns its Recognizer, the windows, their inputs, and Keras's probabilities of one at a time.
    """
    keras.utils.set_random_seed(0)
    preset, folder = models.preset(name), Path(folder)
    model = models.build_model(preset, len(labels.RAVDESS))
    record = {
        "preset": preset.to_json(),
        "labels": labels.RAVDESS,
        "detector": "haar" if preset.faces else None,
        "window": 2.0,
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    model.save(folder / "model.keras")
    recognizer = Recognizer(folder, use_export=False)
    signals = windows(recognizer, data)
    inputs = [recognizer.inputs([signal]) for signal in signals]
    kind = keras.layers.BatchNormalization
    normal = [layer for layer in model._flatten_layers() if isinstance(layer, kind)]
    for index in range(10):
        for layer in normal:
            layer.momentum = index / (index + 1)  # of all ten parts the mean
        model(recognizer.inputs(signals[index::10]), training=True)
    logits = np.concatenate([model.predict_on_batch(item) for item in inputs])
    scale = 2 / logits.std(axis=0)
    shift = -scale * logits.mean(axis=0)
    x = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in inputs[0].items()}
    standard = keras.layers.Rescaling(scale.tolist(), shift.tolist())
    keras.Model(x, standard(model(x))).save(folder / "model.keras")
    return Recognizer(folder), signals, inputs, softmax(scale * logits + shift, axis=1)


def milliseconds(predicts, inputs, repeats=5):
    """The least time of each function for one window, alternating."""
    times = {name: [] for name in predicts}
    for item in inputs[:repeats]:
        for name, predict in predicts.items():
            begun = time.perf_counter()
            predict(item)
            times[name].append(1000 * (time.perf_counter() - begun))
    return {name: min(taken) for name, taken in times.items()}


def measure(name, data, weights):
    """Prints a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        recognizer, signals, inputs, alone = start(name, folder, data)
        predicts = {"keras": recognizer.model.predict_on_batch}
        many = [recognizer.predict(signals[i : i + 16]) for i in range(0, len(signals), 16)]
        cells = [f"`{name}`", f"{np.ptp(alone, axis=0).min():.2f}",
                 f"{np.abs(np.concatenate(many) - alone).max():.1e}"]  # fmt: skip
        sizes = []
        for form in ("onnx", "litert"):
            out = Path(folder, form)
            try:
                check = export.export_run(recognizer, form, out, signals, "windows", None, weights)
            except ValueError as error:
                cells.append(f"refused: {error}")
                continue
            cells.append(f"{check.difference:.1e}")
            sizes.append(f"{(out / runtime.FILES[form]).stat().st_size / 1e6:.1f}")
            predicts[form] = runtime.load(out / runtime.FILES[form])
        least = milliseconds(predicts, inputs).values()
        cells += [", ".join(sizes), ", ".join(f"{ms:.1f}" for ms in least)]
        print("|", " | ".join(cells), "|", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder of the test recordings")
    parser.add_argument("--presets", default=",".join(models.PRESETS))
    parser.add_argument("--weights", choices=export.WEIGHTS, default="float32")
    args = parser.parse_args()
    print("| preset | varies | Keras | ONNX | LiteRT | MB of these | ms: Keras, ONNX, LiteRT |")
    print("|---|---|---|---|---|---|---|")
    for name in args.presets.split(","):
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn) as process:  # the memory of each ends with it
            process.submit(measure, name, args.data, args.weights).result()


if __name__ == "__main__":
    main()
