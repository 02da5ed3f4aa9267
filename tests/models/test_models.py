"""Models: sizes and formulas; what every preset must do is in test_contract.py."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from scipy.special import erf

import train_model
from emotion import models
from emotion.features import FaceFrames, Waveform
from emotion.models import efficientface_fusion


def inputs(preset, count=2, seed=0):
    rng = np.random.default_rng(seed)
    kinds = {"float32": lambda s: rng.normal(size=s).astype("float32"),
             "uint8": lambda s: rng.integers(0, 256, s, dtype="uint8")}  # fmt: skip
    return {n: kinds[f.dtype]((count, *f.shape)) for n, f in preset.features.items()}


def test_the_default_model_is_small():
    assert models.build_model(models.preset("cnn3d_mfcc"), 8).count_params() < 1_000_000


def test_descriptions_tell_presets_apart(capsys):
    assert train_model.main(["--list-presets"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == list(models.PRESETS) and len(set(lines.values())) == len(lines)
    for name in FUSED:
        fusion = name.removeprefix("efficientface_").replace("_", " ")
        assert lines[name].endswith(f"fused by attention ({fusion}).")


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


FUSED = {  # trainable parameters for 8 classes: the source's, less what never learns there
    "efficientface_late_transformer": 2_045_550 - 2 * 1_032,
    "efficientface_intermediate_transformer": 1_938_414 - 2 * 1_032,
    "efficientface_intermediate_attention": 1_854_766 - 2 * 1_032 - 37_056,
}


VECTOR = "mean_mfcc_resnet18_transformer"


def trainable(layers):
    return sum(np.prod(weight.shape) for layer in layers for weight in layer.trainable_weights)


def small(name):
    """The preset with few and small frames, and a quarter of a second of a waveform."""
    preset = models.preset(name)
    if isinstance(preset.audio, Waveform):
        preset = replace(preset, audio=replace(preset.audio, seconds=0.25))
    if preset.faces:
        count = 20 if name == "cnn3d_mfcc" else 3  # it halves them twice and pools over five
        preset = replace(preset, video=replace(preset.video, count=count, size=32))
    return preset


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["audio", "video"])
@pytest.mark.parametrize(
    "name",
    [name for name, preset in models.PRESETS.items()
     if preset.modality == "both" and name not in [*FUSED][1:]],
)  # fmt: skip
def test_a_model_of_one_modality_gives_the_same_logits_once_saved(name, modality, tmp_path):
    preset = small(name).only(modality)
    model = models.build_model(preset, 8)
    logits = model.predict_on_batch(inputs(preset))
    assert logits.shape == (2, 8)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict_on_batch(inputs(preset)), logits)


@pytest.mark.parametrize("name", FUSED)
def test_efficientface_fusion_has_its_source_s_parameters(name):
    model = models.build_model(models.preset(name), 8)
    assert trainable([model]) == FUSED[name]
    parts = ("efficientface", "audio_conv", "video_conv", "logits")
    counts = {part: trainable(layer for layer in model.layers if layer.name.startswith(part))
              for part in parts}  # fmt: skip
    assert counts == {"efficientface": 1_268_118, "audio_conv": 225_864 - 1_032,
                      "video_conv": 283_776, "logits": 2_056}  # fmt: skip


def test_efficientface_with_sound_alone_is_the_audio_branch_and_its_head():
    counts = {trainable([models.build_model(small(name).only("audio"), 8)]) for name in FUSED}
    assert counts == {225_864}


def test_a_missing_modality_is_zeros_to_the_fused_model():
    preset = small("efficientface_intermediate_attention")
    model = models.build_model(preset, 8)
    silent = {**inputs(preset), "audio": np.zeros((2, 156, 10), np.float32)}
    assert np.isfinite(model(silent)).all()


def small_vector():
    return replace(models.preset(VECTOR), video=FaceFrames(count=2, size=32))


def test_the_vectors_transformer_has_its_source_s_parameters():
    assert models.preset(VECTOR).recipe.batch_size == 32
    model = models.build_model(models.preset(VECTOR), 8)
    assert model.get_layer("fusion").output.shape == (None, 40 + 512)
    assert trainable([model]) == 1_230_216  # ResNet-18 has 11 176 512 that are frozen
    assert not model.get_layer("resnet18").trainable_weights


@pytest.mark.slow
def test_the_vectors_transformer_learns_a_tiny_set_and_resnet_stays():
    keras.utils.set_random_seed(0)
    preset = small_vector()
    model, x, y = models.build_model(preset, 3), inputs(preset, 12), np.arange(12) % 3
    x["audio"][np.arange(12), y] += 3
    x["video"] //= np.array([1, 2, 10], np.uint8)[y][:, None, None, None, None]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    frozen = model.get_layer("resnet18").get_weights()
    losses = model.fit(x, y, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    assert all(map(np.array_equal, model.get_layer("resnet18").get_weights(), frozen))


def test_resnet_sees_one_frame_as_it_sees_many():
    model = models.build_model(small_vector().only("video"), 8)
    frames = inputs(small_vector())["video"]
    means = keras.Model(model.inputs, model.get_layer("video_embedding").output)
    encoder = model.get_layer("resnet18")
    wanted = (np.array(encoder(frames[:, 0])) + np.array(encoder(frames[:, 1]))) / 2
    np.testing.assert_allclose(means({"video": frames}), wanted, rtol=1e-4, atol=1e-5)


def test_black_frames_do_not_enter_the_mean_of_resnet_s_vectors():
    preset = replace(models.preset(VECTOR), video=FaceFrames(4, 32, interval=1.0)).only("video")
    model, frames = models.build_model(preset, 8), inputs(preset, 3)["video"]
    means = keras.Model(model.inputs, model.get_layer("video_embedding").output)
    frames[0, 2:], frames[1, :3], frames[2] = 0, 0, 0
    frames[0, 1], frames[0, 1, 3, 3, 2] = 0, 1  # a frame that is nearly black counts
    result = np.array(means({"video": frames}))
    encoder = model.get_layer("resnet18")
    vectors = np.stack([encoder(frames[0]), encoder(frames[1])])
    np.testing.assert_allclose(result[0], vectors[0, :2].mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result[1], vectors[1, 3], rtol=1e-5, atol=1e-6)
    assert not result[2].any()
    more = np.concatenate([frames, np.zeros_like(frames)], axis=1)
    longer = models.build_model(replace(preset, video=replace(preset.video, count=8)), 8)
    longer.set_weights(model.get_weights())
    np.testing.assert_allclose(
        longer.predict_on_batch({"video": more}), model.predict_on_batch({"video": frames}),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_an_unknown_fusion_is_refused():
    preset = replace(small("efficientface_late_transformer"), fusion="early")
    with pytest.raises(ValueError, match="late_transformer, .*Received: early"):
        models.build_model(preset, 8)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def layer_norm(x, gain, shift):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + shift


def attend(q, k):
    scores = np.exp(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]))
    return scores / scores.sum(-1, keepdims=True)


def test_cross_block_is_its_formula():
    """x = out(softmax(QK^T / sqrt(c)) V) of LN(q), LN(k), no residual; then x + MLP(LN(x))."""
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 7, 6)), rng.normal(size=(2, 5, 4))
    ends = keras.Input((7, 6)), keras.Input((5, 4))
    block = keras.Model(ends, efficientface_fusion.cross_block(*ends, "x"))
    block.set_weights([rng.normal(size=weight.shape) * 0.5 for weight in block.get_weights()])
    w = {layer.name: [np.float64(v) for v in layer.get_weights()] for layer in block.layers}
    queries, keys = layer_norm(q, *w["x_norm_queries"]), layer_norm(k, *w["x_norm_keys"])
    x = attend(queries @ w["x_q"][0], keys @ w["x_k"][0]) @ (keys @ w["x_values"][0])
    x = x @ w["x_out"][0] + w["x_out"][1]
    inner = gelu(layer_norm(x, *w["x_norm_mlp"]) @ w["x_mlp"][0] + w["x_mlp"][1])
    wanted = x + inner @ w["x_mlp_out"][0] + w["x_mlp_out"][1]
    assert w["x_mlp"][0].shape == (6, 12)
    np.testing.assert_allclose(block([np.float32(q), np.float32(k)]), wanted, rtol=0, atol=1e-5)


def test_intermediate_attention_weighs_each_by_what_the_other_attends_to():
    preset = small("efficientface_intermediate_attention")
    model = models.build_model(preset, 8)
    named = ("audio_pool1", "video_conv1_relu", "audio_weighed", "video_weighed")
    parts = keras.Model(model.inputs, [model.get_layer(name).output for name in named])
    audio, video, has_audio, has_face = (np.array(x) for x in parts(inputs(preset)))
    w = lambda name: model.get_layer(name).get_weights()[0]
    on_video = attend(audio @ w("video_map_q"), video @ w("video_map_k")).sum(1)
    on_audio = attend(video @ w("audio_map_q"), audio @ w("audio_map_k")).sum(1)
    np.testing.assert_allclose(has_audio, audio * on_audio[..., None], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(has_face, video * on_video[..., None], rtol=1e-4, atol=1e-4)
