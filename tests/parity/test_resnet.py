"""ResNet: the pooled features of transformers, with the weights it saved."""

import keras
import numpy as np
import pytest

from emotion.encoders import resnet

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

KINDS = {
    18: {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
    50: {"downsample_in_bottleneck": True},
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def write(folder, cls=transformers.ResNetModel, **settings):
    """Draws weights, none of them as plain as a fresh network's, and saves them."""
    torch.manual_seed(0)
    model = cls(transformers.ResNetConfig(**settings)).eval()
    with torch.no_grad():
        for name, weight in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var"):
                weight *= 0.5 + torch.rand_like(weight)
            elif weight.ndim == 1:  # norms begin as zeros and ones
                weight += 0.1 * torch.randn_like(weight)
                weight *= 0.6  # else the sums of 16 blocks are hundreds
    model.save_pretrained(folder)
    return getattr(model, "resnet", model)


def pooled(model, frames):
    """What transformers makes of uint8 frames (b, h, w, 3), normalised as its processor does."""
    x = ((frames / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        return model(torch.from_numpy(x)).pooler_output[:, :, 0, 0].numpy()


@pytest.mark.parametrize("depth", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (97, 70), (224, 224)])
def test_features_are_those_of_transformers(depth, size, tmp_path, record_property):
    model = write(tmp_path, **KINDS[depth])
    encoder = resnet.build(depth, "encoder")
    resnet.load_weights(encoder, tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    wanted = pooled(model, frames)
    values = keras.ops.convert_to_numpy(encoder(frames, training=False))
    assert wanted.std() > 0.1
    largest = float(np.abs(values - wanted).max())
    record_property("largest difference", largest)
    print(f"ResNet-{depth} {size}: {largest:.1e}, std {wanted.std():.2f}")
    assert largest < 1e-4


def test_the_body_of_a_classifier_is_taken(tmp_path):
    model = write(tmp_path, transformers.ResNetForImageClassification, **KINDS[18])
    encoder = resnet.build(18, "encoder")
    resnet.load_weights(encoder, tmp_path / "model.safetensors")
    frames = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(encoder(frames), pooled(model, frames), rtol=0, atol=1e-4)


def test_strides_in_another_place_are_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match="downsample_in_bottleneck must be True, it is False"):
        resnet.load_weights(resnet.build(50, "encoder"), tmp_path)
