"""How fast the default preset trains, as ratios measured in one run; and what memory it takes.

    python benchmarks/training.py

1. The video branch against plain Conv3D blocks of 16, 32, 64 filters on the same clips.
2. `fit` from the generator, cache warm and all augmentation on, against `fit` from arrays.
3. Peak resident memory of `fit` from the generator with 1 200 clips against 300.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from emotion import backend
from emotion.signals.cache import SignalCache

backend.make_deterministic(0)

import keras
import memory
import numpy as np
from keras import layers

from emotion import models, processes
from emotion.data import corpora
from emotion.data.labels import RAVDESS
from emotion.training.batches import Batches

BATCH = 16


def plain(classes):
    """Conv3D 3x3x3 of 16, 32, 64 filters, each with BN, ReLU and max pooling: the source's."""
    inputs = keras.Input((20, 112, 112, 3), dtype="uint8", name="video")
    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (16, 32, 64):
        x = layers.Conv3D(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling3D(2)(x)
    x = layers.Dense(128, activation="relu")(layers.GlobalAveragePooling3D()(x))
    return keras.Model({"video": inputs}, layers.Dense(classes)(x))


def compiled(model):
    model.compile(
        keras.optimizers.Adam(5e-4, clipnorm=1.0),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    return model


def speed(fit, clips, repeats):
    """Clips per second, the best of `repeats` after one to warm up."""
    fit()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        fit()
        times.append(time.perf_counter() - begin)
    return clips / min(times)


def branches(repeats):
    rng = np.random.default_rng(0)
    clips = 4 * BATCH
    x = {"video": rng.integers(0, 256, (clips, 20, 112, 112, 3), dtype=np.uint8)}
    y = np.eye(8, dtype=np.float32)[rng.integers(0, 8, clips)]
    preset = models.preset("cnn3d_mfcc").only("video")
    rates = {}
    for name, model in (("default", models.build_model(preset, 8)), ("plain", plain(8))):
        fit = partial(compiled(model).fit, x, y, batch_size=BATCH, verbose=0, shuffle=False)
        rates[name] = speed(fit, clips, repeats)
    print(
        f"video branch: default {rates['default']:.1f} clips/s, plain Conv3D "
        f"{rates['plain']:.1f} clips/s, ratio {rates['default'] / rates['plain']:.2f}",
        flush=True,
    )


def generator(folder, repeats):
    preset = models.preset("cnn3d_mfcc")
    clips = corpora.clips(folder / "data")
    load = SignalCache(preset.spec("haar"), folder / "signals").load
    make = partial(Batches, clips, preset, RAVDESS, BATCH, load, pool=processes.pool(2))
    still = make()
    arrays = [still[index] for index in range(len(still))]
    x = {name: np.concatenate([batch[0][name] for batch in arrays]) for name in preset.features}
    y = np.concatenate([batch[1] for batch in arrays])
    model = compiled(models.build_model(preset, 8))
    batches = make(augmentation=preset.augmentation)
    epochs = 12  # what is made ahead and not used when `fit` ends is then a small part

    def from_arrays():
        model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)

    def from_generator():
        with backend.streams(batches) as (stream,):
            model.fit(stream, steps_per_epoch=len(batches), epochs=epochs, shuffle=False, verbose=0)

    rates = [speed(fit, epochs * len(clips), repeats) for fit in (from_arrays, from_generator)]
    print(
        f"fit: arrays {rates[0]:.1f} clips/s, generator with augmentation {rates[1]:.1f} clips/s, "
        f"ratio {rates[1] / rates[0]:.2f}",
        flush=True,
    )


def epoch_memory(folder, count):
    """Prints the peak resident memory, MiB, of one epoch over `count` clips."""
    memory.begin()
    preset = models.preset("cnn3d_mfcc")
    clips = corpora.clips(folder / "data")
    clips = [clips[index % len(clips)] for index in range(count)]
    load = SignalCache(preset.spec("haar"), folder / "signals").load
    pool = processes.pool(2)
    batches = Batches(clips, preset, RAVDESS, BATCH, load, preset.augmentation, pool=pool)
    model = compiled(models.build_model(preset, 8))
    with backend.streams(batches) as (stream,):
        model.fit(stream, steps_per_epoch=len(batches), shuffle=False, verbose=0)
    print(memory.peak())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", nargs=2, metavar=("FOLDER", "CLIPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        epoch_memory(Path(options.memory[0]), int(options.memory[1]))
        return
    branches(options.repeats)
    from emotion.synthetic import generate

    folder = Path(tempfile.mkdtemp())
    generate.write(folder / "data", speakers=16, takes=1, progress=False)
    spec = models.preset("cnn3d_mfcc").spec("haar")
    SignalCache(spec, folder / "signals").prepare(corpora.clips(folder / "data"))
    generator(folder, options.repeats)
    peaks = [
        float(
            subprocess.run(
                [sys.executable, __file__, "--memory", folder, str(count)],
                check=True, capture_output=True, text=True, encoding="utf-8",
            ).stdout
        )
        for count in (300, 1200)
    ]  # fmt: skip
    print(
        f"peak memory: {peaks[0]:.0f} MiB with 300 clips, {peaks[1]:.0f} MiB with 1200, "
        f"ratio {peaks[1] / peaks[0]:.3f}"
    )


if __name__ == "__main__":
    main()
