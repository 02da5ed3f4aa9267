"""How fast the default preset trains on a backend of Keras, on the device that it finds.

    KERAS_BACKEND=tensorflow python benchmarks/backends.py [--precision mixed_bfloat16] [--layers]

On TensorFlow, JAX or PyTorch; takes under five minutes. Inputs are random and in memory. On an
NVIDIA GPU, its utilisation while training is stated; then what one core makes ready for it, with
all augmentation. `--layers` times each convolution of the picture forwards and backwards, alone.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from emotion import backend

backend.make_deterministic(0)

import keras
import numpy as np

from emotion import models
from emotion.data import corpora
from emotion.data.labels import RAVDESS
from emotion.signals.cache import SignalCache
from emotion.synthetic import generate
from emotion.training.batches import Batches

PRESET = models.preset("cnn3d_mfcc")
JIT = keras.backend.backend() == "jax"


def arrays(clips):
    """Random inputs and labels."""
    rng = np.random.default_rng(0)
    features = PRESET.features.items()
    return {
        name: rng.integers(0, 256, (clips, *feature.shape)).astype(feature.dtype)
        for name, feature in features
    }, np.eye(8, dtype=np.float32)[rng.integers(0, 8, clips)]


@contextlib.contextmanager
def utilisation(percent):
    """Fills a list with the utilisation of the first NVIDIA GPU, once a second; none without."""
    over = threading.Event()

    def sample():
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while shutil.which(query[0]) and not over.wait(1):
            done = subprocess.run(query, capture_output=True, text=True, encoding="utf-8")
            percent.extend(map(float, done.stdout.split()[:1]))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def train(precision, batch, seconds):
    """Prints the clips/s of `fit`, first epoch left out."""
    keras.config.set_dtype_policy(precision)
    model = models.build_model(PRESET, 8)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-4, clipnorm=1.0), loss, jit_compile=JIT)
    x, y = arrays(4 * batch)
    fit = lambda: model.fit(x, y, batch_size=batch, verbose=0, shuffle=False)
    begun = time.perf_counter()
    fit()
    first, times, percent = time.perf_counter() - begun, [], []
    with utilisation(percent):
        while sum(times) < seconds:
            begun = time.perf_counter()
            fit()
            times.append(time.perf_counter() - begun)
    busy = f", GPU {np.mean(percent):.0f} % busy" if percent else ", no NVIDIA GPU"
    print(
        f"{keras.backend.backend()}, {precision}, batches of {batch}: "
        f"{len(y) / min(times):.1f} clips/s, first epoch {first:.1f} s{busy}",
        flush=True,
    )


def feed():
    """Prints the clips/s that one core makes, cache warm and all augmentation on."""
    with tempfile.TemporaryDirectory() as folder:
        generate.write(Path(folder, "data"), speakers=4, takes=1, progress=False)
        clips = corpora.clips(Path(folder, "data"))
        load = SignalCache(PRESET.spec("haar"), Path(folder, "signals")).load
        batches = Batches(clips, PRESET, RAVDESS, 16, load, augmentation=PRESET.augmentation)
        times = []
        for _ in range(4):  # the first fills the cache
            begun = time.perf_counter()
            for index in range(len(batches)):
                batches[index]
            times.append(time.perf_counter() - begun)
        print(f"one core makes {len(clips) / min(times[1:]):.1f} clips/s", flush=True)


def layers():
    """Prints the time of each 3D convolution on a batch of 16, alone, with its gradients."""
    from jax import block_until_ready, grad, jit

    model = models.build_model(PRESET, 8)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv3D):
            continue
        x = np.random.default_rng(0).random((16, *layer.input.shape[1:]), np.float32)

        def convolve(x, kernel, layer=layer):
            return keras.ops.conv(x, kernel, layer.strides, "same")

        cases = {"forwards": convolve}
        for index, name in enumerate(("gradient of inputs", "of kernel")):
            cases[name] = grad(lambda x, k, c=convolve: (c(x, k) ** 2).sum(), index)
        said = []
        for name, function in cases.items():
            compiled, times = jit(function), []
            for _ in range(4):
                begun = time.perf_counter()
                block_until_ready(compiled(x, layer.kernel.value))
                times.append(1000 * (time.perf_counter() - begun))
            said.append(f"{name} {min(times):.1f} ms")
        print(f"{layer.name} {layer.kernel_size}: {', '.join(said)}", flush=True)


def main():
    """Prints a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", nargs="+", default=["float32"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--layers", action="store_true", help="JAX alone")
    args = parser.parse_args()
    for precision in args.precision:
        train(precision, args.batch_size, args.seconds)
    keras.config.set_dtype_policy("float32")
    if args.layers:
        layers()
    feed()


if __name__ == "__main__":
    main()
