"""Models: sizes, and that a saved one gives the same logits."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from emotion import models


def inputs(preset, count=2, seed=0):
    rng = np.random.default_rng(seed)
    kinds = {"float32": lambda s: rng.normal(size=s).astype("float32"),
             "uint8": lambda s: rng.integers(0, 256, s, dtype="uint8")}  # fmt: skip
    return {n: kinds[f.dtype]((count, *f.shape)) for n, f in preset.features.items()}


@pytest.mark.parametrize("name", models.PRESETS)
@pytest.mark.parametrize("modality", ["audio", "video", "both"])
def test_a_saved_model_gives_the_same_logits(name, modality, tmp_path):
    preset = models.preset(name).only(modality)
    model = models.build_model(preset, 8)
    assert model.count_params() < 2_000_000
    logits = model.predict_on_batch(inputs(preset))
    assert logits.shape == (2, 8)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict_on_batch(inputs(preset)), logits)


def test_action_units_may_be_a_sequence():
    preset = models.preset("action_unit_bilstm")
    preset = replace(preset, video=replace(preset.video, steps=20))
    assert models.build_model(preset, 8).predict_on_batch(inputs(preset)).shape == (2, 8)


def test_the_model_learns_a_tiny_set():
    keras.utils.set_random_seed(0)
    preset = models.preset("cnn3d_mfcc").only("audio")
    model, x, y = models.build_model(preset, 3), inputs(preset, 12), np.arange(12) % 3
    x["audio"][np.arange(12), 10 * y] += 3  # a coefficient that tells the class
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
