"""ResNet: the published network, read once more in NumPy, and where its weights come from."""

import json
import sys

import keras
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from safetensors.numpy import save_file

from emotion.encoders import resnet
from tests import torch_files

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}
CONFIG = {"downsample_in_bottleneck": True}
FRAMES = np.random.default_rng(1).integers(0, 256, (2, 40, 33, 3), dtype=np.uint8)


class Reference:
    """ResNet with the names of transformers: channels first, weights drawn as named."""

    def __init__(self, depth, seed=0):
        self.depth, self.state = depth, {}
        self.generator = np.random.default_rng(seed)

    def draw(self, name, shape, low, high):
        values = self.generator.uniform(low, high, shape).astype(np.float32)
        return self.state.setdefault(name, values)

    def conv(self, x, name, out, kernel, stride):
        spread = 2 * (x.shape[1] * kernel**2) ** -0.5
        shape = (out, x.shape[1], kernel, kernel)
        w = self.draw(f"{name}.convolution.weight", shape, -spread, spread)
        pad = kernel // 2
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        x = sliding_window_view(x, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
        x = np.tensordot(x, w, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        spans = {"weight": (0.5, 1), "bias": (-0.5, 0.5), "running_mean": (-0.5, 0.5),
                 "running_var": (0.5, 1.5)}  # fmt: skip
        gain, bias, mean, variance = (
            self.draw(f"{name}.normalization.{kind}", out, *span)[:, None, None]
            for kind, span in spans.items()
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * gain + bias

    def block(self, x, name, width, stride):
        sizes = ((width, 3, stride), (width, 3, 1))
        if self.depth == 50:  # the stride is in the first, as in the paper
            sizes = ((width, 1, stride), (width, 3, 1), (4 * width, 1, 1))
        stored = x
        if stride > 1 or x.shape[1] != sizes[-1][0]:
            stored = self.conv(x, f"{name}.shortcut", sizes[-1][0], 1, stride)
        for index, size in enumerate(sizes):
            x = self.conv(np.maximum(x, 0), f"{name}.layer.{index}", *size)
        return np.maximum(x + stored, 0)

    def __call__(self, frames):
        x = ((frames / 255 - MEAN) / DEVIATION).transpose(0, 3, 1, 2)
        x = np.maximum(self.conv(x, "embedder.embedder", 64, 7, 2), 0)
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        x = sliding_window_view(x, (3, 3), (2, 3))[:, :, ::2, ::2].max((4, 5))
        for stage, count in enumerate(BLOCKS[self.depth]):
            for block in range(count):
                stride = 2 if stage and not block else 1
                name = f"encoder.stages.{stage}.layers.{block}"
                x = self.block(x, name, 64 * 2**stage, stride)
        return x.mean((2, 3))


@pytest.fixture(scope="module")
def published():
    """By depth: what the network makes of FRAMES, and the state dict that gives it."""
    references = {depth: Reference(depth) for depth in BLOCKS}
    return {depth: (r(FRAMES), r.state) for depth, r in references.items()}


@pytest.fixture(scope="module")
def encoder():
    """ResNet-18, for tests that leave its weights as they are or do not look at them."""
    return resnet.build(18, "resnet18")


@pytest.mark.parametrize(("depth", "count"), [(18, 11_176_512), (50, 23_534_592)])
def test_the_network_computes_what_published_weights_mean(depth, count, published, tmp_path):
    wanted, state = published[depth]
    encoder = resnet.build(depth, "encoder")
    assert sum(np.prod(weight.shape) for weight in encoder.trainable_weights) == count
    save_file({f"resnet.{n}": a for n, a in state.items()}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    resnet.load_weights(encoder, str(tmp_path))
    assert wanted.std() > 0.1
    values = keras.ops.convert_to_numpy(encoder(FRAMES))
    np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_array_equal(encoder(FRAMES.astype(np.float32)), values)


def test_a_folder_with_a_pytorch_file_is_read(published, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (wanted, state), encoder = published[18], resnet.build(18, "resnet18")
    torch_files.save(tmp_path / "pytorch_model.bin", {f"resnet.{n}": a for n, a in state.items()})
    resnet.load_weights(encoder, tmp_path)
    np.testing.assert_allclose(encoder(FRAMES), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_files_that_keras_wrote_are_read(published, encoder, tmp_path):
    resnet.assign(encoder, published[18][1])
    for name in ("a.weights.h5", "a.keras"):
        (encoder.save_weights if name == "a.weights.h5" else encoder.save)(tmp_path / name)
        again = resnet.build(18, "resnet18")
        resnet.load_weights(again, tmp_path / name)
        np.testing.assert_array_equal(again(FRAMES), encoder(FRAMES))


def test_the_file_of_keras_applications_is_read(tmp_path):
    body = keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")
    body.save(tmp_path / "notop.h5")
    encoder = resnet.build(50, "resnet50")
    resnet._standardise(encoder, np.zeros(3), np.ones(3))
    resnet.load_weights(encoder, tmp_path / "notop.h5")
    frames = FRAMES.astype(np.float32)
    wanted = body(keras.applications.resnet.preprocess_input(frames.copy()))
    np.testing.assert_allclose(encoder(frames), wanted, rtol=1e-3, atol=1e-5)


def test_the_standardisation_is_not_learned():
    encoder = resnet.build(18, "resnet18")
    before = encoder.get_layer("standard").get_weights()
    moving = encoder.get_layer("conv1_bn").get_weights()[2]
    encoder.compile("sgd", "mse")
    encoder.train_on_batch(FRAMES, np.zeros((2, 512)))
    for old, new in zip(before, encoder.get_layer("standard").get_weights()):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(encoder.get_layer("conv1_bn").get_weights()[2], moving)


def test_a_state_that_does_not_fit_changes_nothing(published, encoder):
    state = published[18][1]
    before = [weight.tobytes() for weight in encoder.get_weights()]
    last = "encoder.stages.3.layers.1.layer.1.normalization.running_var"
    for changed, text in (
        ({n: a for n, a in state.items() if n != last}, f"{last} is missing"),
        ({**state, last: np.ones(7)}, r"running_var must have the shape \(512,\).*\(7,\)"),
        ({**state, "encoder.stages.3.layers.2.bias": np.ones(7)}, "no place for enc.*layers.2"),
        (published[50][1], "conv2_block1|encoder.stages.0"),
    ):
        with pytest.raises(ValueError, match=text):
            resnet.assign(encoder, changed)
    assert [weight.tobytes() for weight in encoder.get_weights()] == before


@pytest.mark.parametrize("depth", BLOCKS)
def test_a_file_that_cannot_be_used_says_why(depth, tmp_path, published, encoder):
    encoder = encoder if depth == 18 else resnet.build(50, "resnet50")
    with pytest.raises(FileNotFoundError, match="no ResNet-.* at .*absent; --encoder-weights take"):
        resnet.load_weights(encoder, tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        resnet.load_weights(encoder, tmp_path)
    files = ["model.safetensors", "a.weights.h5", "a.keras", "a.h5", "a.pth"]
    for name in files:
        (tmp_path / name).write_bytes(b"damaged")
        with pytest.raises(ValueError, match=f"{name} (does not hold|cannot|must)") as error:
            resnet.load_weights(encoder, tmp_path / name)
        assert "\n" not in str(error.value)
    save_file(published[depth][1], tmp_path / "model.safetensors")
    config = tmp_path / "config.json"
    for text, message in (
        ('{"downsample_in_first_stage": true}', "downsample_in_first_stage must be False"),
        ("{", "does not hold"),
        ("[]", "does not hold"),
    ):
        config.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            resnet.load_weights(encoder, tmp_path)


def test_strides_that_shapes_do_not_tell_are_refused(tmp_path, published):
    encoder = resnet.build(50, "resnet50")
    path = tmp_path / "model.safetensors"
    save_file(published[50][1], path)
    with pytest.raises(ValueError, match="needs the config.json beside it"):
        resnet.load_weights(encoder, path)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="downsample_in_bottleneck must be True, it is False"):
        resnet.load_weights(encoder, path)


def test_imagenet_that_cannot_be_fetched_is_one_line(encoder, tmp_path, monkeypatch):
    for name in ("KERAS_HOME", "KAGGLEHUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(keras.config, "keras_home", lambda: str(tmp_path), raising=False)
    with pytest.raises(ConnectionError, match="of ResNet-50 cannot be fetched.*notop.h5") as error:
        resnet.load_weights(resnet.build(50, "resnet50"), "imagenet")
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ModuleNotFoundError, match="pip install keras-hub.*microsoft/resnet-18"):
        resnet.load_weights(encoder, "imagenet")


def test_weights_of_keras_hub_are_taken(monkeypatch):
    keras_hub = pytest.importorskip("keras_hub")
    body = keras_hub.models.ResNetBackbone([64], [7], [64, 128, 256, 512], [2] * 4, [1, 2, 2, 2],
                                           "basic_block")  # fmt: skip
    monkeypatch.setattr(keras_hub.models.ResNetBackbone, "from_preset", lambda name: body)
    rng = np.random.default_rng(0)
    body.set_weights([weight + 0.1 * rng.random(weight.shape) for weight in body.get_weights()])
    encoder = resnet.build(18, "resnet18")
    resnet.load_weights(encoder, "imagenet")
    wanted = keras.ops.mean(body(((FRAMES / 255 - MEAN) / DEVIATION).astype("float32")), (1, 2))
    np.testing.assert_allclose(encoder(FRAMES), wanted, rtol=1e-4, atol=1e-4)


def test_another_depth_is_refused():
    with pytest.raises(ValueError, match="18 or 50.*depth=34"):
        resnet.build(34, "resnet34")
