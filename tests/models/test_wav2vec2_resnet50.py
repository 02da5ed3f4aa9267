"""Design 5: what it is made of, and what of it learns."""

import keras
import numpy as np
import pytest

from emotion.data.corpora import ravdess
from emotion.models import wav2vec2_resnet50
from emotion.signals import cache

PRESET = wav2vec2_resnet50.PRESETS[0]


def test_the_extractor_stays_as_it_was_published():
    model = wav2vec2_resnet50.build(PRESET.only("audio"), 6)
    frozen = [weight for weight in model.weights if "feature_extractor" in weight.path]
    assert len(frozen) == 9  # 7 kernels and a norm
    assert not {weight.path for weight in frozen} & {w.path for w in model.trainable_weights}


def test_wav2vec2_resnet50_has_the_widths_of_its_design():
    model = wav2vec2_resnet50.build(PRESET, 6)
    assert model.get_layer("audio_embedding").input.shape == (None, 199, 768)
    assert model.get_layer("video_embedding").input.shape == (None, 8, 2048)
    assert model.get_layer("fusion").output.shape == (None, 768 + 2048)


@pytest.mark.slow
def test_from_random_weights_it_learns_from_real_sound(data):
    keras.utils.set_random_seed(0)
    preset = PRESET.only("audio")
    clips = [clip for clip in ravdess.clips(data / "ravdess") if clip.speaker == "02"]
    clips = [next(clip for clip in clips if clip.label == label) for label in ("calm", "angry")]
    signals = [cache.decode(clip, preset.spec("none")) for clip in clips]
    sound = {"audio": np.stack([preset.extract(signal)["audio"] for signal in signals])}
    model = wav2vec2_resnet50.build(preset, 2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(preset.recipe.encoder_learning_rate, clipnorm=1.0), loss)
    before = model.test_on_batch(sound, np.array([0, 1]))
    assert np.isfinite(model.train_on_batch(sound, np.array([0, 1])))
    assert model.test_on_batch(sound, np.array([0, 1])) < before
