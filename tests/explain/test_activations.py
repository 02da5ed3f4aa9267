"""What is inside a model: attention maps, the layer before the logits, and its picture."""

import numpy as np
import pytest

from emotion.explain import activations


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fusion", "steps"), [("intermediate_attention", 150), ("late_transformer", 144)]
)
def test_attention_maps_are_time_by_time(small, fusion, steps):
    model, preset, inputs = small(f"efficientface_{fusion}")
    maps = activations.attention(model, preset, inputs)
    assert {pair: item.shape for pair, item in maps.items()} == {
        ("audio", "video"): (steps, 2), ("video", "audio"): (2, steps)
    }  # fmt: skip
    for item in maps.values():
        np.testing.assert_allclose(item.sum(axis=1), 1, atol=1e-5)


def test_a_model_without_attention_or_named_values(small):
    model, preset, inputs = small("cnn3d_mfcc")
    assert activations.attention(model, preset, inputs) == {}
    assert activations.vector(model, preset) is None


def test_the_layer_before_the_logits(small):
    model, _, inputs = small("cnn3d_mfcc")
    inputs = {name: x[None] for name, x in inputs.items()}
    points = activations.before_logits(model)(inputs)
    layer = model.get_layer("logits")
    np.testing.assert_allclose(
        points @ layer.kernel.numpy() + layer.bias.numpy(),
        model.predict_on_batch(inputs),
        atol=1e-5,
    )


def test_silhouette_and_projection():
    points = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)
    assert activations.silhouette(points, list("aaabbbcccddd")) == pytest.approx(1)
    assert np.isnan(activations.silhouette(points, ["a"] * 12))
    assert activations.project(points).shape == (12, 2)
    with pytest.raises(ValueError, match="at least 4 clips"):
        activations.project(points[:3])
