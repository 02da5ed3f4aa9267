"""face_voice: two branches that predict alone, joined by their log-probabilities."""

import keras
import numpy as np
import pytest

from emotion import models

PRESET = models.preset("face_voice")
rng = np.random.default_rng(0)
AUDIO = rng.normal(0, 50, (3, 40, 44, 1)).astype(np.float32)
VIDEO = rng.integers(0, 256, (3, 20, 48, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    return models.build_model(PRESET, 7)


def softmax(model, audio, video):
    logits = model.predict_on_batch({"audio": audio, "video": video})
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def branch(model, modality):
    output = model.get_layer(f"{modality}_logits").output
    return keras.Model(model.input, keras.ops.softmax(output))


def test_a_missing_modality_changes_nothing(model):
    inputs = {"audio": AUDIO, "video": VIDEO}
    face, voice = (branch(model, name).predict_on_batch(inputs) for name in ("video", "audio"))
    assert np.allclose(softmax(model, np.zeros_like(AUDIO), VIDEO), face, atol=1e-6)
    assert np.allclose(softmax(model, AUDIO, np.zeros_like(VIDEO)), voice, atol=1e-6)
    product = face * voice
    expected = product / product.sum(axis=1, keepdims=True)
    assert np.allclose(softmax(model, AUDIO, VIDEO), expected, atol=1e-6)


def test_without_anything_all_classes_are_equal(model):
    assert np.allclose(softmax(model, np.zeros_like(AUDIO), np.zeros_like(VIDEO)), 1 / 7)


def test_the_layer_over_time_begins_as_the_identity(model):
    still = np.repeat(VIDEO[:, :1], 20, axis=1)
    mixed = branch(model, "video").predict_on_batch({"audio": AUDIO, "video": still})
    encoder = model.get_layer("face_encoder")
    kernel, bias = model.get_layer("video_logits").get_weights()
    logits = encoder.predict_on_batch(VIDEO[:, 0]) @ kernel + bias
    assert np.allclose(mixed, keras.ops.convert_to_numpy(keras.ops.softmax(logits)), atol=1e-5)


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_each_modality_makes_a_model_alone(modality):
    model = models.build_model(PRESET.only(modality), 7)
    assert list(model.input) == [modality] and model.output_shape == (None, 7)
