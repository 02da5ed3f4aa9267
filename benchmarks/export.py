"""Export: each preset as ONNX and LiteRT against Keras, on real windows; error, size and speed.

    python benchmarks/export.py [--data ../shared/data] [--presets NAME,NAME] [--int8]

Presets are of full size, with random weights. So that no two windows are alike to them, batch
normalization learns the windows' statistics, and logits are standardised over them to a deviation
of 2. Speed is the least of
alternating repeats in this process, one window at a time, features not counted.
"""

import argparse
import copy
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from emotion import backend

backend.start()
import keras  # noqa: E402

from emotion import cache, corpora, export, labels, models, runtime, timeline  # noqa: E402
from emotion.recognizer import Recognizer  # noqa: E402

VIDEO = "media/one_face.mp4"


def windows(recognizer, data):
    """Fifty real Signals: sound and face of a video, or takes of RAVDESS with their units."""
    if not recognizer.preset.faces:
        clips = corpora.clips(data / "ravdess", None, data / "ravdess/action_units.csv")
        clips = clips[:: len(clips) // export.WINDOWS][: export.WINDOWS]
        return [cache.decode(clip, recognizer.spec) for clip in clips]
    found, recorder = [], copy.copy(recognizer)
    recorder.predict = lambda signals: found.extend(signals) or np.zeros((len(signals), 8))
    timeline.analyse(data / VIDEO, recorder, window=2.0, hop=0.3)
    found = [signal for signal in found if signal.heard and signal.seen]
    return found[: export.WINDOWS]


def start(name, folder, data):
    """Makes a run of an untrained preset whose predictions differ from window to window."""
    keras.utils.set_random_seed(0)
    preset, folder = models.preset(name), Path(folder)
    model = models.build_model(preset, len(labels.RAVDESS))
    record = {
        "preset": preset.to_json(),
        "labels": labels.RAVDESS,
        "detector": "haar" if preset.faces else None,
        "window": 2.0,
    }
    (folder / "run.json").write_text(json.dumps(record))
    model.save(folder / "model.keras")
    recognizer = Recognizer(folder)
    signals = windows(recognizer, data)
    inputs = [recognizer.inputs([signal]) for signal in signals]
    kind = keras.layers.BatchNormalization
    normal = [layer for layer in model._flatten_layers() if isinstance(layer, kind)]
    for index in range(10):
        for layer in normal:
            layer.momentum = index / (index + 1)  # of all ten parts the mean
        model(recognizer.inputs(signals[index::10]), training=True)
    logits = np.concatenate([model.predict_on_batch(one) for one in inputs])
    scale = 2 / logits.std(axis=0)
    x = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in inputs[0].items()}
    logits = keras.layers.Rescaling(scale.tolist(), (-scale * logits.mean(axis=0)).tolist())(
        model(x)
    )
    keras.Model(x, logits).save(folder / "model.keras")
    return Recognizer(folder), signals, inputs


def milliseconds(predicts, inputs, repeats=5):
    """The least time of each function for one window, alternating."""
    times = {name: [] for name in predicts}
    for one in inputs[:repeats]:
        for name, predict in predicts.items():
            begun = time.perf_counter()
            predict(one)
            times[name].append(1000 * (time.perf_counter() - begun))
    return {name: min(taken) for name, taken in times.items()}


def measure(name, data, int8):
    with tempfile.TemporaryDirectory() as folder:
        recognizer, signals, inputs = start(name, folder, data)
        predicts = {"keras": recognizer.model.predict_on_batch}
        spread = np.ptp(recognizer.predict(signals), axis=0).min()
        print(f"\n{name}: {len(signals)} windows, each class varies by {spread:.2f} or more")
        for form in ("onnx", "litert"):
            out, begun = Path(folder, form), time.perf_counter()
            try:
                check = export.export(recognizer, form, out, signals, "windows", None, int8)
            except ValueError as error:
                print(f"{form}: {error}")
                continue
            taken, model = time.perf_counter() - begun, out / runtime.FILES[form]
            predicts[form] = runtime.load(model)
            print(f"{form}: difference {check.difference:.1e}, {model.stat().st_size / 1e6:.2f} MB,"
                  f" {taken:.0f} s to export")  # fmt: skip
        least = milliseconds(predicts, inputs)
        print("ms:", ", ".join(f"{form} {ms:.2f}" for form, ms in least.items()), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--presets", default=",".join(models.PRESETS))
    parser.add_argument("--int8", action="store_true")
    args = parser.parse_args()
    for name in args.presets.split(","):
        measure(name, args.data, args.int8)


if __name__ == "__main__":
    main()
