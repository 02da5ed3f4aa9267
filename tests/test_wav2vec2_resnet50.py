"""Design 5: what it is made of, and that it learns and is saved."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from emotion.models import wav2vec2_resnet50

PRESET = wav2vec2_resnet50.PRESETS[0]


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["audio", "video", "both"])
def test_wav2vec2_resnet50_trains_and_is_saved(modality, tmp_path):
    preset = replace(PRESET, audio=replace(PRESET.audio, seconds=0.25),
                     video=replace(PRESET.video, count=2, size=32)).only(modality)  # fmt: skip
    model, rng = wav2vec2_resnet50.build(preset, 6), np.random.default_rng(0)
    x = {"audio": rng.normal(size=(2, 4000)).astype(np.float32),
         "video": rng.integers(0, 256, (2, 2, 32, 32, 3), np.uint8)}  # fmt: skip
    x = {name: x[name] for name in preset.features}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    frozen = [weight for weight in model.weights if "feature_extractor" in weight.path]
    before = [np.array(weight) for weight in frozen]
    assert len(frozen) == (0 if modality == "video" else 9)  # 7 kernels and a norm
    assert np.isfinite(model.train_on_batch(x, np.array([1, 5])))
    assert all(np.array_equal(w, b) for w, b in zip(frozen, before))
    logits = model.predict_on_batch(x)
    assert logits.shape == (2, 6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict_on_batch(x), logits)


def test_wav2vec2_resnet50_has_the_widths_of_its_design():
    model = wav2vec2_resnet50.build(PRESET, 6)
    assert model.get_layer("audio_embedding").input.shape == (None, 199, 768)
    assert model.get_layer("video_embedding").input.shape == (None, 8, 2048)
    assert model.get_layer("fusion").output.shape == (None, 768 + 2048)
