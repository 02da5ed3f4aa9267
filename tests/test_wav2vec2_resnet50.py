"""Design 5: what it is made of, and what of it learns."""

from emotion.models import wav2vec2_resnet50

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
