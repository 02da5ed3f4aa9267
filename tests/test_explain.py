"""Explanations: they add up, and they point at what the model went by."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from emotion import explain, inside, models
from emotion.features import FaceFrames

SMALL = {
    "cnn3d_mfcc": FaceFrames(count=20, size=32),
    "mean_mfcc_resnet18_transformer": FaceFrames(count=1, size=32),
    "efficientface_intermediate_attention": FaceFrames(count=2, size=32),
    "efficientface_late_transformer": FaceFrames(count=2, size=32),
}


def made(name, **features):
    """A small model with random weights, its preset, and the inputs of a clip."""
    keras.utils.set_random_seed(0)
    preset = replace(models.preset(name), video=SMALL[name], **features)
    rng = np.random.default_rng(0)
    inputs = {
        "audio": rng.normal(size=preset.audio.shape).astype(np.float32),
        "video": rng.integers(0, 256, preset.video.shape, np.uint8),
    }
    return models.build_model(preset, 8), preset, inputs


@pytest.fixture(scope="module")
def default():
    return made("cnn3d_mfcc")


def batch(inputs):
    return {name: x[None] for name, x in inputs.items()}


def test_attributions_sum_to_the_difference_from_the_baseline(default):
    model, preset, inputs = default
    call, absent = inside.function(model), explain.baseline(model, preset)
    found = explain.attribute(call, explain.gradients(call), inputs, batch(absent), target=3)
    logits = model.predict_on_batch(batch(inputs))[0, 3]
    zeros = {name: row.astype(inputs[name].dtype)[None] for name, row in absent.items()}
    difference = logits - model.predict_on_batch(zeros)[0, 3]
    assert found.difference == pytest.approx(difference, rel=1e-3)
    total = sum(value.sum(dtype=float) for value in found.values.values())
    assert abs(total - difference) <= 0.0101 * abs(difference)
    assert found.error <= 0.01 and found.steps >= 16
    assert {name: value.shape for name, value in found.values.items()} == {
        name: x.shape for name, x in inputs.items()
    }
    assert np.abs(found.values["video"]).max() > 0, "frames that are cast to uint8 have no gradient"


def test_shares_sum_exactly(default):
    model, preset, inputs = default
    call, absent = inside.function(model), explain.baseline(model, preset)
    pair = {name: np.stack([x, x[::-1]]) for name, x in inputs.items()}
    found = explain.shares(call, pair, absent, np.array([3, 5]))
    logits = np.asarray(call({name: x.astype(np.float32) for name, x in pair.items()}), float)
    nothing = np.asarray(call(batch(absent)), float)[0]
    expected = logits[[0, 1], [3, 5]] - nothing[[3, 5]]
    np.testing.assert_allclose(found["audio"] + found["video"], expected, rtol=1e-4, atol=1e-5)
    only = {"audio": pair["audio"], "video": np.stack([absent["video"]] * 2)}
    assert not explain.shares(call, only, absent, np.array([3, 5]))["video"].any()


def test_a_share_is_what_a_modality_adds_on_average():
    def call(inputs):  # 2 a + 3 v + 4 a v
        a, v = inputs["audio"], inputs["video"]
        return 2 * a + 3 * v + 4 * a * v

    inputs = {name: np.ones((1, 1), np.float32) for name in ("audio", "video")}
    absent = {name: np.zeros(1, np.float32) for name in inputs}
    found = explain.shares(call, inputs, absent, np.array([0]))
    assert (found["audio"], found["video"]) == (4, 5)
    alone = explain.shares(lambda x: 2 * x["audio"], {"audio": inputs["audio"]}, absent, [0])
    assert list(alone) == ["audio"] and alone["audio"] == 2


def test_the_baseline_is_the_mean_that_the_model_learned(default):
    model, preset, _ = default
    means = np.arange(40, dtype=np.float32)
    layer = model.get_layer("audio_scale")
    kept = layer.moving_mean.numpy()
    layer.moving_mean.assign(means)
    rows = explain.baseline(model, preset)
    layer.moving_mean.assign(kept)
    assert (rows["audio"] == means[:, None, None]).all() and not rows["video"].any()


def test_shap_values_sum_to_the_difference_over_many_baselines():
    model, preset, inputs = made("mean_mfcc_resnet18_transformer")
    vector = inside.vector(model, preset)
    names = vector.names
    assert (len(names), names[0], names[39], names[40], names[-1]) == (
        552, "mfcc_0", "mfcc_39", "resnet18_0", "resnet18_511"
    )  # fmt: skip
    assert vector.mean.shape == (552,)
    logits = vector.call({"vector": vector.of(batch(inputs))})
    np.testing.assert_allclose(logits, model.predict_on_batch(batch(inputs)), atol=1e-4)
    rng, slopes = np.random.default_rng(1), explain.gradients(vector.call)
    background = rng.normal(size=(8, 552)).astype(np.float32)
    for x in rng.normal(size=(3, 552)).astype(np.float32):
        logits = np.asarray(vector.call({"vector": x[None]}))[0]
        target = int(logits.argmax())
        rows = {"vector": background}
        found = explain.attribute(vector.call, slopes, {"vector": x}, rows, target)
        expected = logits[target] - np.asarray(vector.call(rows))[:, target].mean()
        assert found.values["vector"].sum() == pytest.approx(expected, rel=0.05)
    heard = preset.only("audio")
    assert inside.vector(models.build_model(heard, 8), heard).names == names[:40]


def test_expected_gradients_of_a_linear_model_are_known():
    weights = np.array([[1.0], [-2.0], [0.5]], np.float32)

    def call(inputs):
        return keras.ops.matmul(inputs["x"], weights)

    x, rows = np.float32([1, 2, 3]), np.float32([[0, 0, 0], [2, 2, 2]])
    found = explain.attribute(call, explain.gradients(call), {"x": x}, {"x": rows}, 0)
    np.testing.assert_allclose(found.values["x"], weights[:, 0] * (x - 1), atol=1e-6)
    assert found.steps == 16 and found.error < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fusion", "steps"), [("intermediate_attention", 150), ("late_transformer", 144)]
)
def test_attention_maps_are_time_by_time(fusion, steps):
    model, _, inputs = made(f"efficientface_{fusion}")
    maps = inside.attention(model, inputs)
    assert {pair: one.shape for pair, one in maps.items()} == {
        ("audio", "video"): (steps, 2), ("video", "audio"): (2, steps)
    }  # fmt: skip
    for one in maps.values():
        np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-5)


def test_a_model_without_attention_or_named_values(default):
    assert inside.attention(default[0], default[2]) == {}
    assert inside.vector(default[0], default[1]) is None


def test_the_layer_before_the_logits(default):
    model, _, inputs = default
    points = inside.before_logits(model)(batch(inputs))
    layer = model.get_layer("logits")
    np.testing.assert_allclose(
        points @ layer.kernel.numpy() + layer.bias.numpy(),
        model.predict_on_batch(batch(inputs)),
        atol=1e-5,
    )


def test_silhouette_and_projection():
    points = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    assert inside.silhouette(points, list("aaabbbcccddd")) == pytest.approx(1)
    assert np.isnan(inside.silhouette(points, ["a"] * 12))
    assert inside.project(points).shape == (12, 2)
    with pytest.raises(ValueError, match="at least 4 clips"):
        inside.project(points[:3])
