"""Embeddings: a frozen encoder runs once a clip, and nothing that is learned from it changes."""

from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest

from emotion import models, processes
from emotion.data.labels import RAVDESS
from emotion.encoders import wav2vec2
from emotion.features import FaceFrames
from emotion.signals.cache import SignalCache
from emotion.training import frozen
from emotion.training.batches import Batches

PRESET = replace(models.preset("mean_mfcc_resnet18_transformer"), video=FaceFrames(2, 32))
SPEC = PRESET.spec("haar")
TINY = wav2vec2.Config(
    conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), hidden_size=16, num_hidden_layers=1,
    num_attention_heads=2, intermediate_size=16, num_conv_pos_embedding_groups=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return models.build_model(PRESET, 8)


def logits(model, preset, signals):
    rows = [preset.extract(signal) for signal in signals]
    return model.predict_on_batch({n: np.stack([row[n] for row in rows]) for n in rows[0]})


def kinds_of_signal(clips, load):
    """Signals with both modalities, without one of them, and of a clip that has sound alone."""
    signals = [load(clip) for clip in clips]
    return [
        *signals,
        *(signals[0].without(modality) for modality in ("audio", "video")),
        load(replace(clips[0], video=None)),
    ]


def agree(model, preset, clips, signals, tolerance=1e-5):
    spec = preset.spec("haar")
    head, fed, cached = frozen.cut(model, preset, clips, SignalCache(spec, signals))
    wanted = logits(model, preset, kinds_of_signal(clips, SignalCache(spec, signals).load))
    result = logits(head, fed, kinds_of_signal(clips, cached.load))
    assert np.ptp(wanted, axis=0).max() > 100 * tolerance
    np.testing.assert_allclose(result, wanted, rtol=0, atol=tolerance)
    return head, cached.load


def test_the_head_says_what_the_whole_model_says(model, clips, signals):
    head, load = agree(model, PRESET, clips[:3], signals)
    assert {w.path for w in head.trainable_weights} == {w.path for w in model.trainable_weights}
    assert load(clips[0]).frames is None and load(clips[0]).samples is not None
    assert load(clips[0]).has_face and not load(clips[0]).without("video").has_face


@pytest.mark.slow
def test_both_branches_may_be_frozen(clips, signals, monkeypatch):
    monkeypatch.setattr(wav2vec2, "build", partial(wav2vec2.build, TINY))
    preset = models.preset("wav2vec2_resnet50")
    preset = replace(preset, audio=replace(preset.audio, seconds=0.25), video=FaceFrames(2, 32))
    model = models.build_model(preset, 8)
    model.get_layer("wav2vec2").trainable = model.get_layer("resnet50").trainable = False
    head, load = agree(model, preset, clips[:3], signals)
    signal = load(clips[0])
    assert signal.samples is None and signal.frames is None and signal.has_audio and signal.has_face
    assert {layer.name for layer in head.layers if layer.weights} == {"fusion_dense", "logits"}


def test_the_encoder_runs_once_a_clip(model, clips, tmp_path, monkeypatch):
    ran, run = [], keras.Model.predict_on_batch
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda self, x: ran.append(self.name) or run(self, x)
    )
    asked = [*clips[:3], replace(clips[3], video=None)]
    for expected in (4, 1):  # the clips with a face, and once the zeros; then those alone
        frozen.cut(model, PRESET, asked, SignalCache(SPEC, tmp_path))
        assert ran == ["video_body"] * expected
        ran.clear()


def test_other_weights_are_other_entries(clips, tmp_path):
    model = models.build_model(PRESET, 8)
    body = model.get_layer("resnet18")
    kinds = set()
    for name in (None, "conv1_conv", "conv2_block1_1_bn"):
        if name:  # its last array: the kernel, the moving variance
            *arrays, last = body.get_layer(name).get_weights()
            body.get_layer(name).set_weights([*arrays, last + 1])
        _, fed, cached = frozen.cut(model, PRESET, clips[:1], SignalCache(SPEC, tmp_path))
        kinds.add(fed.video(cached.load(clips[0])).tobytes())
    entries = len(list(tmp_path.glob("*.safetensors"))) - 2  # sound and picture
    assert entries == len(kinds) == 3
    other = replace(PRESET, video=replace(PRESET.video, margin=0.0))
    frozen.cut(model, other, clips[:1], SignalCache(other.spec("haar"), tmp_path))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2 + 3 + 2  # a crop more


def test_what_trains_or_is_weakened_is_not_cut(model, clips, tmp_path):
    tuned = models.build_model(PRESET, 8)
    tuned.get_layer("resnet18").trainable = True
    inputs = {n: keras.Input(f.shape, dtype=f.dtype, name=n) for n, f in PRESET.features.items()}
    x = keras.layers.Rescaling(1 / 255)(inputs["video"])
    x = keras.layers.BatchNormalization(center=False, scale=False)(x)  # learns without a gradient
    x = keras.layers.GlobalAveragePooling3D(name="video_embedding")(x)
    x = keras.layers.Concatenate()([x, inputs["audio"]])
    counting = keras.Model(inputs, keras.layers.Dense(8)(x))
    dropping = replace(PRESET.augmentation, modality_dropout=True)
    for item, preset in (
        (tuned, PRESET),
        (counting, PRESET),
        (model, replace(PRESET, augmentation=dropping)),
        (models.build_model(PRESET.only("audio"), 8), PRESET.only("audio")),
    ):
        head, fed, cached = frozen.cut(
            item, preset, clips[:1], SignalCache(preset.spec("haar"), tmp_path)
        )
        assert head is item and fed is preset
        assert "video" not in preset.features or cached.load(clips[0]).frames is not None


def test_workers_read_embeddings(model, clips, signals):
    _, fed, cached = frozen.cut(model, PRESET, clips[:4], SignalCache(SPEC, signals))
    with processes.pool(1) as pool:
        batches = (
            Batches(clips[:4], fed, RAVDESS, 4, cached.load, PRESET.augmentation, seed=3, pool=item)
            for item in (None, pool)
        )
        (here, *_), (there, *_) = (item[0] for item in batches)
    assert here["video"].shape == (4, 512) and here["video"].dtype == np.float32
    np.testing.assert_array_equal(here["video"], there["video"])


def test_an_embedding_that_is_gone_is_reported(model, clips, tmp_path):
    *_, cached = frozen.cut(model, PRESET, clips[:1], SignalCache(SPEC, tmp_path))
    for entry in tmp_path.glob("*.safetensors"):
        entry.unlink()
    with pytest.raises(FileNotFoundError, match=f"embedding of .*{clips[0].video.name}.*--resume"):
        cached.load(clips[0])
