"""Every preset on the other backends of Keras: build, one step, save, reload, the same logits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emotion.models import PRESETS

CONTRACT = """
import sys
from dataclasses import replace
import keras
import numpy as np
from emotion import backend, models

backend.make_deterministic(0)
assert keras.backend.backend() == sys.argv[1]
preset = models.preset(sys.argv[2])
if preset.faces and preset.faces.size == 224:  # fewer frames, less time
    preset = replace(preset, video=replace(preset.video, count=2))
rng = np.random.default_rng(0)
inputs = {
    name: rng.integers(0, 256, (2, *f.shape)).astype(f.dtype)
    if f.dtype == "uint8"
    else rng.normal(size=(2, *f.shape)).astype(f.dtype)
    for name, f in preset.features.items()
}
targets = np.eye(8, dtype=np.float32)[:2]
model = models.build_model(preset, 8)
rate = min(preset.recipe.learning_rate, 1e-3)  # of SGD it may be much higher than Adam takes
optimizer = keras.optimizers.Adam(rate, clipnorm=preset.recipe.clipnorm)
model.compile(optimizer, keras.losses.CategoricalCrossentropy(from_logits=True), jit_compile=False)
before = model.predict_on_batch(inputs)
assert np.isfinite(model.train_on_batch(inputs, targets))
logits = model.predict_on_batch(inputs)
assert logits.shape == (2, 8) and np.isfinite(logits).all() and np.any(logits != before)
model.save(sys.argv[3])
again = keras.saving.load_model(sys.argv[3], compile=False).predict_on_batch(inputs)
np.testing.assert_allclose(again, logits, rtol=0, atol=1e-5)
"""


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_preset_learns_saves_and_reloads(backend, name, tmp_path):
    pytest.importorskip(backend)
    done = subprocess.run(
        [sys.executable, "-c", CONTRACT, backend, name, str(tmp_path / "model.keras")],
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-2000:]
