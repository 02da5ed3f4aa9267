"""Encoders: the authors' network, read once more in NumPy, and their weights."""

import sys
from functools import partial

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from emotion import encoders
from emotion.encoders import efficientface, resnet
from tests import torch_files

SIZE = 32


class Reference:
    """EfficientFace as its paper and state dict have it: channels first, weights drawn as named."""

    def __init__(self, seed=0):
        self.generator, self.state = np.random.default_rng(seed), {}

    def draw(self, name, shape, low=-1.0, high=1.0):
        values = self.generator.uniform(low, high, shape).astype(np.float32)
        return self.state.setdefault(f"module.{name}", values)

    def conv(self, x, name, out, kernel=1, stride=1, dilation=1, groups=1, bias=False):
        inputs = x.shape[1] // groups
        spread = (inputs * kernel**2) ** -0.5 * 2
        w = self.draw(f"{name}.weight", (out, inputs, kernel, kernel), -spread, spread)
        pad, span = dilation * (kernel // 2), dilation * (kernel - 1) + 1
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(x, (span, span), (2, 3))
        windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
        windows = windows.reshape(len(x), groups, inputs, *windows.shape[2:])
        w = w.reshape(groups, out // groups, inputs, kernel, kernel)
        y = np.einsum("bgihwkl,goikl->bgohw", windows, w).reshape(len(x), out, *windows.shape[3:5])
        return y + self.draw(f"{name}.bias", out)[:, None, None] if bias else y

    def norm(self, x, name, relu=True):
        names = (("weight", 0.5, 1.5), ("bias", -0.5, 0.5), ("running_mean", -0.5, 0.5))
        names += (("running_var", 0.5, 1.5),)
        parts = [self.draw(f"{name}.{n}", x.shape[1], *span) for n, *span in names]
        weight, bias, mean, variance = (p[:, None, None] for p in parts)
        y = (x - mean) / np.sqrt(variance + 1e-5) * weight + bias
        return np.maximum(y, 0) if relu else y

    def dense(self, x, name, out):
        w = self.draw(f"{name}.weight", (out, x.shape[1]), -0.3, 0.3)
        return np.einsum("bihw,oi->bohw", x, w) + self.draw(f"{name}.bias", out)[:, None, None]

    def depthwise(self, x, name, bn, stride=1, out=None, relu=False):
        groups = x.shape[1]
        return self.norm(self.conv(x, name, out or groups, 3, stride, groups=groups), bn, relu)

    def unit(self, x, out, stride, name):
        half, item, two = out // 2, f"{name}.branch1", f"{name}.branch2"
        if stride == 2:
            left = self.depthwise(x, f"{item}.0", f"{item}.1", 2)
            left = self.norm(self.conv(left, f"{item}.2", half), f"{item}.3")
        else:
            left, x = x[:, :half], x[:, half:]
        x = self.norm(self.conv(x, f"{two}.0", half), f"{two}.1")
        x = self.depthwise(x, f"{two}.3", f"{two}.4", stride)
        x = self.norm(self.conv(x, f"{two}.5", half), f"{two}.6")
        x = np.concatenate([left, x], 1)
        groups = x.reshape(len(x), 2, half, *x.shape[2:])
        return groups.transpose(0, 2, 1, 3, 4).reshape(x.shape)

    def stage(self, x, out, units, name):
        for index in range(units):
            x = self.unit(x, out, 1 if index else 2, f"{name}.{index}")
        return x

    def modulator(self, x):
        name = "modulator.channel_att.gate_c.gate_c_"
        channel = self.dense(x.mean((2, 3), keepdims=True), f"{name}fc_0", 7)
        channel = self.dense(self.norm(channel, f"{name}bn_1"), f"{name}fc_final", 116)
        name = "modulator.spatial_att.gate_s.gate_s_"
        spatial = self.norm(self.conv(x, f"{name}conv_reduce0", 7, bias=True), f"{name}bn_reduce0")
        for i in range(2):
            spatial = self.conv(spatial, f"{name}conv_di_{i}", 7, 3, dilation=4, bias=True)
            spatial = self.norm(spatial, f"{name}bn_di_{i}")
        spatial = self.conv(spatial, f"{name}conv_final", 1, bias=True)
        return x / (1 + np.exp(-channel * spatial))

    def local(self, x):
        half, y = x.shape[2] // 2, np.zeros((len(x), 116, x.shape[2] // 2, x.shape[3] // 2))
        for i, (top, left) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1)), 1):
            tile = x[:, :, top * half :, left * half :][:, :, :half, :half]
            tile = self.depthwise(tile, f"local.conv{i}_1", f"local.bn{i}_1", 2, 116, relu=True)
            tile = self.depthwise(tile, f"local.conv{i}_2", f"local.bn{i}_2", relu=True)
            rows, columns = (slice(s * half // 2, (s + 1) * half // 2) for s in (top, left))
            y[:, :, rows, columns] = tile
        return y

    def __call__(self, frames):
        x = frames.transpose(0, 3, 1, 2)
        x = self.norm(self.conv(x, "conv1.0", 29, 3, 2), "conv1.1")
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        x = sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max((4, 5))
        x = self.modulator(self.stage(x, 116, 4, "stage2")) + self.local(x)
        x = self.stage(self.stage(x, 232, 8, "stage3"), 464, 4, "stage4")
        return self.norm(self.conv(x, "conv5.0", 1024), "conv5.1").mean((2, 3))


@pytest.fixture(scope="module")
def authors():
    """Frames, their embeddings and the state dict that gives them."""
    frames = np.random.default_rng(1).random((2, SIZE, SIZE, 3), np.float32)
    reference = Reference()
    wanted = reference(frames)
    return frames, wanted, reference.state


def test_efficientface_has_as_many_parameters_as_its_source():
    backbone = efficientface.build()
    assert sum(weight.size for weight in map(np.asarray, backbone.trainable_weights)) == 1_268_118
    assert backbone.output_shape == (None, 1024)


def test_efficientface_computes_what_its_authors_weights_mean(authors):
    frames, wanted, state = authors
    backbone = efficientface.build(SIZE)
    efficientface.assign(backbone, {**state, "module.fc.weight": np.zeros((7, 1024))})
    values = keras.ops.convert_to_numpy(backbone(frames, training=False))
    assert wanted.std() > 0.1
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("build", [efficientface.build, partial(resnet.build, 50, "resnet50")])
def test_every_weight_of_an_encoder_learns(build):
    keras.utils.set_random_seed(0)
    encoder = build(SIZE) if build is efficientface.build else build()
    encoder.compile("sgd", "mse", run_eagerly=True)
    before = encoder.get_weights()
    frames = np.random.default_rng(0).random((4, SIZE, SIZE, 3), np.float32)
    assert np.isfinite(encoder.train_on_batch(frames, np.ones((4, encoder.output_shape[-1]))))
    pairs = zip(encoder.weights, before)
    still = [weight.path for weight, old in pairs if np.array_equal(weight, old)]
    assert [path for path in still if not path.startswith("standard/")] == []


def test_weights_that_do_not_fit_change_nothing(authors):
    _, _, state = authors
    backbone = efficientface.build(SIZE)
    before = [weight.tobytes() for weight in backbone.get_weights()]
    other = "module.conv5.1.running_var"
    for changed, text in (
        ({n: a for n, a in state.items() if n != other}, "conv5.1.running_var is missing"),
        ({**state, other: np.ones(7, np.float32)}, r"running_var.*Received: \(7,\)"),
    ):
        with pytest.raises(ValueError, match=text):
            efficientface.assign(backbone, changed)
    assert [weight.tobytes() for weight in backbone.get_weights()] == before


def test_a_checkpoint_of_the_authors_is_read_without_pytorch(authors, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    frames, wanted, state = authors
    path, backbone = tmp_path / "weights.pth.tar", efficientface.build(SIZE)
    more = {"epoch": torch_files.number(7)}
    torch_files.save(path, state, lambda s: torch_files.mapping({**more, "state_dict": s}))
    efficientface.load_weights(backbone, path)
    values = keras.ops.convert_to_numpy(backbone(frames, training=False))
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_a_file_that_cannot_be_used_says_why(tmp_path):
    path = tmp_path / "weights.pth.tar"
    with pytest.raises(FileNotFoundError, match="no EfficientFace weights at.*download"):
        efficientface.load_weights(None, path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="must be a whole PyTorch file"):
        efficientface.load_weights(None, path)
    torch_files.save(path, {"a": np.zeros(3, "f4")})
    with pytest.raises(
        ValueError, match="weights.pth.tar holds no EfficientFace weights: .*missing"
    ):
        efficientface.load_weights(efficientface.build(SIZE), path)


def model_with(*names):
    """A model with layers that bear the names of encoders."""
    x = keras.Input((8,))
    parts = [keras.layers.Dense(2, name=name)(x) for name in (*names, "other")]
    return keras.Model(x, parts, name="model")


def test_weights_reach_the_encoder_within_a_model(monkeypatch):
    got = []
    for module in (efficientface, resnet):
        monkeypatch.setattr(module, "load_weights", lambda layer, s: got.append((layer.name, s)))
    encoders.load(model_with("efficientface", "resnet50"), {"resnet50": "a", "efficientface": "b"})
    assert got == [("resnet50", "a"), ("efficientface", "b")]


@pytest.mark.parametrize(
    ("names", "asked", "wanted"),
    [
        ([], [], {}),
        ([], ["none"], {}),
        (["efficientface"], [], {}),
        (["efficientface"], ["a=b.pth"], {"efficientface": "a=b.pth"}),
        (["resnet18"], [], {"resnet18": "imagenet"}),
        (["resnet18"], ["none"], {}),
        (["resnet18"], ["resnet18=an/id"], {"resnet18": "an/id"}),
        (["resnet50", "efficientface"], [], {"resnet50": "imagenet"}),
        (["resnet50", "efficientface"], ["none", "resnet50=a=b"], {"resnet50": "a=b"}),
        (
            ["resnet50", "efficientface"],
            ["efficientface=f", "resnet50=r"],
            {"efficientface": "f", "resnet50": "r"},
        ),
    ],
)
def test_each_encoder_gets_what_is_asked_for_it(names, asked, wanted):
    assert encoders.sources(model_with(*names), asked) == wanted


@pytest.mark.parametrize(
    ("names", "asked", "text"),
    [
        ([], "imagenet", "with these inputs has none. Received: imagenet"),
        (["resnet18"], "resnet50=imagenet", "has resnet18. Received: resnet50=imagenet"),
        (["resnet18"], "resnet50=none", "has resnet18. Received: resnet50=none"),
        (["resnet50", "efficientface"], "a", "must name the encoder, resnet50 or eff.*resnet50=S"),
    ],
)
def test_weights_for_no_encoder_of_the_model_are_refused(names, asked, text):
    with pytest.raises(ValueError, match=text):
        encoders.sources(model_with(*names), [asked])


def test_a_record_tells_files_apart_by_their_content(tmp_path):
    file, folder = tmp_path / "a", tmp_path / "folder"
    folder.mkdir()
    file.write_bytes(b"one")
    (folder / "model.safetensors").write_bytes(b"one")
    assert encoders.identify(str(file)) == encoders.identify(str(folder))
    assert len(encoders.identify(file)) == 32
    file.write_bytes(b"two")
    assert encoders.identify(file) != encoders.identify(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "config.json").write_bytes(b"three")
    assert len(encoders.identify(folder)) == 32
    assert encoders.identify("imagenet") == "imagenet"
    assert encoders.identify("absent/model") == "absent/model"


def test_frames_must_have_four_equal_quarters():
    with pytest.raises(ValueError, match="multiple of 16.*size=100"):
        efficientface.build(100)
