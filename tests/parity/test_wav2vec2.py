"""Wav2Vec2: the hidden states of transformers, with the weights it saved."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from emotion.encoders import wav2vec2
from emotion.features import Waveform

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SMALL = {"conv_dim": (32,) * 7, "hidden_size": 48, "num_hidden_layers": 3,
         "num_attention_heads": 4, "intermediate_size": 96}  # fmt: skip
KINDS = {
    "base": {},
    "large": {"conv_bias": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "odd": {"num_conv_pos_embeddings": 19, "num_conv_pos_embedding_groups": 3,
            "layer_norm_eps": 1e-3},
}  # fmt: skip
SPELLINGS = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def sounds(count=16000):
    """Noise, and a tone that swells, as the feature gives them: float32 (2, count)."""
    t = np.arange(count) / 16000
    noise = np.random.default_rng(0).normal(size=count)
    pair = np.stack([noise, np.sin(2 * np.pi * 220 * t) * t])
    return ((pair - pair.mean(1, keepdims=True)) / pair.std(1, keepdims=True)).astype(np.float32)


def write(folder, kind, sizes, cls=transformers.Wav2Vec2Model):
    """Draws weights, none of them as plain as a fresh network's, and saves them."""
    torch.manual_seed(0)
    model = cls(transformers.Wav2Vec2Config(**sizes, **KINDS[kind])).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:  # biases and norms begin as zeros and ones
                weight += 0.1 * torch.randn_like(weight)
            elif name.endswith("original0"):
                weight *= 1 + torch.rand_like(weight)
    model.save_pretrained(folder)
    return model


def difference(model, source):
    encoder = wav2vec2.build(wav2vec2.config(source))
    wav2vec2.load_weights(encoder, source)
    x = sounds()
    with torch.no_grad():
        wanted = getattr(model, "wav2vec2", model)(torch.from_numpy(x)).last_hidden_state.numpy()
    values = keras.ops.convert_to_numpy(encoder(x, training=False))
    assert values.shape == wanted.shape
    assert wanted.std() > 0.1
    largest = float(np.abs(values - wanted).max())
    print(f"largest difference {largest:.1e} of values up to {np.abs(wanted).max():.1f}")
    return largest


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_those_of_transformers(kind, tmp_path):
    assert difference(write(tmp_path, kind, SMALL), tmp_path) < 1e-4


@pytest.mark.parametrize("kind", ["base", "large"])
def test_the_older_names_of_the_positional_weights_are_read(kind, tmp_path):
    model = write(tmp_path, kind, SMALL)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    renamed = {}
    for name, array in state.items():
        for new, old in SPELLINGS.items():
            name = name.replace(new, old)
        renamed[name] = array
    assert sum("weight_" in name for name in renamed) == 2
    save_file(renamed, path)
    assert difference(model, tmp_path) < 1e-4


@pytest.mark.parametrize("kind", ["base", "large"])
def test_a_pytorch_file_is_read(kind, tmp_path, monkeypatch):
    model = write(tmp_path, kind, SMALL)
    (tmp_path / "model.safetensors").unlink()
    path = tmp_path / "pytorch_model.bin"
    torch.save(model.state_dict(), path)
    monkeypatch.setattr(torch, "load", None)
    assert difference(model, tmp_path) < 1e-4


def test_a_legacy_file_is_refused_and_its_command_converts_it(tmp_path):
    model = write(tmp_path, "base", SMALL)
    (tmp_path / "model.safetensors").unlink()
    path = tmp_path / "pytorch_model.bin"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="PyTorch before 1.6") as error:
        difference(model, tmp_path)
    command = str(error.value).partition("installed: ")[2]
    place = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(command, shell=True, check=True, env=place)
    assert difference(model, tmp_path) < 1e-4


@pytest.mark.parametrize("cls", ["Wav2Vec2ForCTC", "Wav2Vec2ForPreTraining"])
def test_heads_and_quantizer_are_left_out(cls, tmp_path):
    model = write(tmp_path, "base", SMALL, getattr(transformers, cls))
    assert any(name.startswith("wav2vec2.") for name in load_file(tmp_path / "model.safetensors"))
    assert difference(model, tmp_path) < 1e-4


@pytest.mark.slow
def test_base_at_its_full_size(tmp_path):
    model = write(tmp_path, "base", {})
    assert wav2vec2.config(tmp_path) == wav2vec2.BASE
    assert difference(model, tmp_path) < 1e-4


def test_the_waveform_is_that_of_transformers():
    from emotion.clip import Signal

    samples = np.random.default_rng(0).normal(0.1, 0.02, 50000).astype(np.float32)
    extract = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)
    wanted = extract(samples, sampling_rate=16000, return_tensors="np").input_values[0]
    values = Waveform()(Signal(samples, 16000, None, None, 50000 / 16000))
    np.testing.assert_allclose(values[:50000], wanted, rtol=0, atol=1e-5)
    assert not values[50000:].any()
