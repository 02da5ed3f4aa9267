"""A crop that several windows hold is encoded once, and predictions stay what they are."""

import numpy as np
import pytest

from emotion import models
from emotion.inference import frame_encoder
from emotion.inference.frame_encoder import FrameEncoder


@pytest.fixture(scope="module")
def model():
    return models.build_model(models.preset("face_voice"), 7)


def windows(model, crops, starts):
    """The model's inputs for windows of 20 of `crops` each."""
    generator = np.random.default_rng(1)
    return {
        "audio": generator.normal(size=(len(starts), *model.input["audio"].shape[1:])),
        "video": np.stack([crops[start : start + 20] for start in starts]),
    }


def recorded(encoder, monkeypatch):
    """Returns a list to which the number of crops of each call of the body is added."""
    counts, encode = [], encoder._encode

    def counting(frames, count):
        counts.append(len(frames))
        return encode(frames, count)

    monkeypatch.setattr(encoder, "_encode", counting)
    return counts


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (60, 48, 48, 3), np.uint8)


def test_each_crop_is_encoded_once_and_the_logits_are_those_of_the_model(model, crops, monkeypatch):
    encoder = FrameEncoder.of(model)
    counts = recorded(encoder, monkeypatch)
    for starts in ((0, 7), (7, 14), (14,), (40,)):
        inputs = windows(model, crops, starts)
        expected = model.predict_on_batch(inputs)
        np.testing.assert_allclose(encoder(inputs), expected, rtol=0, atol=2e-5)
        assert np.ptp(expected, axis=1).min() > 1e-3
    assert counts == [27, 7, 20]


def test_an_absent_face_changes_nothing(model, crops):
    inputs = windows(model, crops, (0, 7))
    inputs["video"] = np.zeros_like(inputs["video"])
    expected = model.predict_on_batch(inputs)
    np.testing.assert_allclose(FrameEncoder.of(model)(inputs), expected, rtol=0, atol=2e-5)


def test_the_oldest_crops_are_forgotten(model, crops, monkeypatch):
    monkeypatch.setattr(frame_encoder, "LIMIT", 25)
    encoder = FrameEncoder.of(model)
    counts = recorded(encoder, monkeypatch)
    for start in (0, 20, 20, 0):
        encoder(windows(model, crops, (start,)))
    assert counts == [20, 20, 15]


def test_a_model_of_whole_clips_has_none():
    assert FrameEncoder.of(models.build_model(models.preset("cnn3d_mfcc"), 7)) is None
