"""Wav2Vec2: its steps, and weights that come from a folder, a file or a hub, or do not."""

import http.server
import json
import socket
import sys
import threading
import time
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from emotion import encoders
from emotion.encoders import checkpoint, wav2vec2, wav2vec2_weights
from tests import torch_files

SMALL = wav2vec2.Config(
    conv_dim=(8,) * 7,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=16,
    num_conv_pos_embeddings=6,
    num_conv_pos_embedding_groups=2,
)
STABLE = replace(SMALL, conv_bias=True, feat_extract_norm="layer", do_stable_layer_norm=True)
POSITION = "encoder.pos_conv_embed.conv"


def draw(config=SMALL, seed=0):
    """A state dict as it is published, with what is published beside it."""
    rng, state = np.random.default_rng(seed), {}

    def add(name, *shape, bias=True):
        state[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
        if bias:
            state[f"{name}.bias"] = rng.normal(size=shape[:1]).astype(np.float32)

    inputs = 1
    for index, (filters, kernel) in enumerate(zip(config.conv_dim, config.conv_kernel)):
        name = f"feature_extractor.conv_layers.{index}"
        add(f"{name}.conv", filters, inputs, kernel, bias=config.conv_bias)
        if index == 0 or config.feat_extract_norm == "layer":
            add(f"{name}.layer_norm", filters)
        inputs = filters
    width, inner = config.hidden_size, config.intermediate_size
    add("feature_projection.layer_norm", inputs)
    add("feature_projection.projection", width, inputs)
    kernel = config.num_conv_pos_embeddings
    add(POSITION, width, width // config.num_conv_pos_embedding_groups, kernel)
    state[f"{POSITION}.weight_v"] = state.pop(f"{POSITION}.weight")
    state[f"{POSITION}.weight_g"] = rng.normal(size=(1, 1, kernel)).astype(np.float32)
    add("encoder.layer_norm", width)
    for index in range(config.num_hidden_layers):
        name = f"encoder.layers.{index}"
        for part in "qkv":
            add(f"{name}.attention.{part}_proj", width, width)
        add(f"{name}.attention.out_proj", width, width)
        add(f"{name}.layer_norm", width)
        add(f"{name}.feed_forward.intermediate_dense", inner, width)
        add(f"{name}.feed_forward.output_dense", width, inner)
        add(f"{name}.final_layer_norm", width)
    state = {f"wav2vec2.{name}": array for name, array in state.items()}
    add("lm_head", 32, width)
    add("quantizer.weight_proj", 4, 4)
    return state


def publish(folder, config=SMALL, name="model.safetensors", **changed):
    """Writes a folder as it is published."""
    folder.mkdir(exist_ok=True)
    write = save_file if name.endswith(".safetensors") else torch_save
    write({**draw(config), **changed}, folder / name)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "wav2vec2", **asdict(config)}), encoding="utf-8"
    )
    return folder


def torch_save(state, path):
    torch_files.save(path, state, root=path.stem)


def contents(encoder):
    return [weight.tobytes() for weight in encoder.get_weights()]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Starts a hub that serves a folder, at $HF_ENDPOINT; returns the paths asked of it."""
    asked, servers = [], []

    def start(folder=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):  # noqa: N802
                self.reply(b"")

            def do_GET(self):  # noqa: N802
                self.reply(None)

            def reply(self, body):
                asked.append((self.command, self.path))
                repository, _, name = self.path.lstrip("/").partition("/resolve/main/")
                result = folder is not None and repository == "authors/small"
                result = result and (folder / name).is_file()
                content = (folder / name).read_bytes() if result else b""
                self.send_response(200 if result else 404)
                if not result:
                    known = folder is not None and repository == "authors/small"
                    self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("ETag", f'"{name}"')
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        point(server.server_port)
        return asked

    def point(port):
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        for name in [name for name in sys.modules if name.startswith("huggingface_hub")]:
            monkeypatch.delitem(sys.modules, name)  # it reads its settings once

    start.point = point
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("config", [SMALL, STABLE], ids=["base", "large"])
@pytest.mark.parametrize("count", [400, 719, 720, 16000])
def test_hidden_states_are_a_step_each_20_ms(config, count):
    values = wav2vec2.build(config)(np.zeros((2, count), np.float32))
    assert values.shape == (2, wav2vec2.steps(count, config), 12)
    assert wav2vec2.steps(count) == 1 + (count - 400) // 320


def test_base_has_the_published_number_of_parameters():
    # The mask embedding (768) is left out, the magnitudes of the positional convolution are folded.
    assert wav2vec2.build().count_params() == 94_371_712 - 768 - 128


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_attention_heads.*hidden_size.*=5"):
        wav2vec2.build(replace(SMALL, num_attention_heads=5))


@pytest.mark.parametrize("name", checkpoint.NAMES)
@pytest.mark.parametrize("config", [SMALL, STABLE], ids=["base", "large"])
def test_weights_come_from_a_folder_or_a_file(config, name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    folder = publish(tmp_path / "weights", config, name)
    assert wav2vec2.config(folder) == config
    item, other = wav2vec2.build(config), wav2vec2.build(config)
    before = contents(item)
    wav2vec2.load_weights(item, folder)
    wav2vec2.load_weights(other, folder / name)
    assert contents(item) == contents(other)
    assert not any(a == b for a, b in zip(contents(item), before))
    state, place = draw(config), item.get_layer("encoder-layers-1-attention").get_weights()
    kernel = state["wav2vec2.encoder.layers.1.attention.k_proj.weight"]
    np.testing.assert_array_equal(place[2], kernel.T.reshape(12, 3, 4))


def test_weights_reach_the_encoder_of_a_saved_model(tmp_path):
    waveform = keras.Input((800,))
    mean = keras.ops.mean(wav2vec2.build(SMALL)(waveform), axis=1)
    model = keras.Model(waveform, keras.layers.Dense(3)(mean))
    encoders.load(model, {"wav2vec2": publish(tmp_path / "weights")})
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 800)).astype(np.float32)
    np.testing.assert_array_equal(again.predict_on_batch(x), model.predict_on_batch(x))
    encoders.load(again, {"wav2vec2": tmp_path / "weights"})


def test_every_weight_learns_but_the_biases_of_keys():
    encoder = wav2vec2.build(replace(SMALL, hidden_dropout=0.5))
    encoder.compile("sgd", "mse")
    before = contents(encoder)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2000)), rng.normal(size=(2, wav2vec2.steps(2000), 12))
    assert np.isfinite(encoder.train_on_batch(x.astype(np.float32), y.astype(np.float32)))
    names = [weight.path for weight in encoder.weights]
    still = [n for n, a, b in zip(names, contents(encoder), before) if a == b]
    assert all(name.endswith("key/bias") for name in still)  # to those, softmax is blind


NAME = "wav2vec2.encoder.layers.0.attention.v_proj.weight"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({NAME: np.ones((12, 7), np.float32)}, r"v_proj.weight.*\(12, 12\).*Received: \(12, 7\)"),
        ({"encoder.layers.2.layer_norm.bias": np.ones(12, np.float32)}, "no place for.*layers.2"),
        ({f"wav2vec2.{POSITION}.weight_g": np.ones((1, 1, 5), np.float32)}, "does not hold"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(changed, text, tmp_path):
    folder, encoder = publish(tmp_path / "weights", **changed), wav2vec2.build(SMALL)
    before = contents(encoder)
    with pytest.raises(ValueError, match=text) as error:
        wav2vec2.load_weights(encoder, folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)
    assert contents(encoder) == before


def test_a_missing_array_is_named():
    state = draw()
    state.pop(NAME)
    with pytest.raises(ValueError, match=r"layers.0.attention.v_proj.weight is missing"):
        wav2vec2_weights.assign(wav2vec2.build(SMALL), state)


@pytest.mark.parametrize(
    "changed",
    [{"num_attention_heads": 4}, {"do_stable_layer_norm": True}, {"layer_norm_eps": 1e-3},
     {"conv_stride": (4, 2, 2, 2, 2, 2, 2)}],
)  # fmt: skip
def test_settings_that_shapes_do_not_tell_are_compared(changed, tmp_path):
    folder = publish(tmp_path / "weights", replace(SMALL, **changed))
    with pytest.raises(ValueError, match=f"needs a Wav2Vec2 with {next(iter(changed))}="):
        wav2vec2.load_weights(wav2vec2.build(SMALL), folder)


def test_a_file_that_cannot_be_read_says_so_in_a_line(tmp_path):
    folder, encoder = publish(tmp_path / "weights"), wav2vec2.build(SMALL)
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:5], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="model.safetensors cannot be read.*anew") as error:
            wav2vec2.load_weights(encoder, folder)
        assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="must hold model.safetensors or pytorch_model"):
        wav2vec2.load_weights(encoder, folder)
    (folder / "config.json").write_text('{"model_type": "hubert"}', encoding="utf-8")
    with pytest.raises(ValueError, match="model_type: wav2vec2. Received: hubert"):
        wav2vec2.config(folder)
    with pytest.raises(ValueError, match="one of .safetensors, .bin"):
        wav2vec2.load_weights(encoder, folder / "config.json")
    with pytest.raises(FileNotFoundError, match="a file, a folder or an id of the hub"):
        wav2vec2.load_weights(encoder, tmp_path / "none")


def test_safetensors_are_preferred(tmp_path):
    folder = publish(tmp_path / "weights")
    (folder / "pytorch_model.bin").write_bytes(b"not read")
    wav2vec2.load_weights(wav2vec2.build(SMALL), folder)


def test_weights_of_another_size_are_distinguished(tmp_path):
    folder, encoder = publish(tmp_path / "weights", STABLE), wav2vec2.build(SMALL)
    assert encoders.configs({"wav2vec2": folder, "resnet50": "imagenet"}) == {"wav2vec2": STABLE}
    assert encoders.configs({"wav2vec2": folder / "model.safetensors"}) == {}
    assert encoders.configs({"resnet50": "imagenet"}) == {}
    (folder / "config.json").write_text(
        '{"model_type": "wav2vec2"}', encoding="utf-8"
    )  # all else is as in BASE
    assert encoders.configs({"wav2vec2": folder}) == {}
    with pytest.raises(ValueError, match="no place for.*give the folder with their config.json"):
        wav2vec2.load_weights(encoder, folder / "model.safetensors")


@pytest.mark.parametrize("name", checkpoint.NAMES)
def test_weights_come_from_a_hub_once(hub, name, tmp_path):
    asked, folder = hub(publish(tmp_path / "weights", name=name)), tmp_path / "weights"
    assert wav2vec2.config("authors/small") == SMALL
    item, other = wav2vec2.build(SMALL), wav2vec2.build(SMALL)
    wav2vec2.load_weights(item, "authors/small")
    wav2vec2.load_weights(other, folder)
    assert contents(item) == contents(other)
    wav2vec2.load_weights(other, "authors/small")
    gets = [
        path.rpartition("/")[2]
        for command, path in asked
        if command == "GET" and "/resolve/" in path
    ]
    assert sorted(gets) == ["config.json", name]


def test_a_hub_that_does_not_have_it_is_reported_in_a_line(hub):
    hub()
    refused("authors/small", "404|not found|Not Found|RepositoryNotFound")


def test_a_hub_without_weights_in_a_known_format_is_reported_in_a_line(hub, tmp_path):
    hub(publish(tmp_path / "weights"))
    (tmp_path / "weights" / "model.safetensors").unlink()
    refused("authors/small", "model.safetensors or pytorch_model.bin.*no such file")


def test_a_hub_that_cannot_be_reached_is_reported_in_a_line(hub, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between the attempts of huggingface_hub
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        hub.point(closed.getsockname()[1])  # bound, and listening to nobody
        refused("authors/small", "cannot be had from http://127.0.0.1")


def refused(source, reason):
    with pytest.raises(OSError, match=f"(?s){reason}") as error:
        wav2vec2.load_weights(wav2vec2.build(SMALL), source)
    message = str(error.value)
    print(message)
    assert "\n" not in message and source in message
    assert "give their folder to --encoder-weights" in message
