"""Presets: plain values that a run can record and rebuild."""

import json
from dataclasses import replace

import numpy as np
import pytest

from emotion import models, workers
from emotion.augment import Augmentation
from emotion.clip import Clip, Signal
from emotion.preset import Recipe, from_json


@pytest.mark.parametrize("name", models.PRESETS)
@pytest.mark.parametrize("modality", ["audio", "video", "both"])
def test_json_gives_the_preset_back(name, modality):
    preset = models.preset(name).only(modality)
    preset = replace(preset, recipe=replace(preset.recipe, learning_rate=1e-3))
    assert from_json(json.loads(json.dumps(preset.to_json()))) == preset
    assert preset.modality == modality


@pytest.mark.parametrize("name", models.PRESETS)
def test_training_without_augmentation_reads_what_inference_reads(name):
    preset, rng = models.preset(name), np.random.default_rng(0)
    spec, none = preset.spec("haar"), {"probability": 0, "flip": 0, "shift": 0, "light": 0}
    samples = np.zeros(3 * (spec.sample_rate or 1), np.float32)
    samples[len(samples) // 3 : -len(samples) // 3] = 0.1  # silence around it
    samples *= rng.normal(size=len(samples)).astype(np.float32)
    size = spec.size or 8
    frames = rng.integers(0, 256, (18, size, size, 3), np.uint8)
    signal = Signal(samples, spec.sample_rate or 1, frames, np.arange(18) / 6, 3.0)
    still = Augmentation(**none, missing=0, mixup=0)
    clip, one_hot, ones = Clip("id", "happy", "anna"), np.eye(8, dtype=np.float32)[:1], np.ones(1)
    fed = (one_hot, ones, (0, 0, 1), preset, lambda _: signal, still)
    inputs, _, _ = workers.batch([clip], [(0, 0, 0)], *fed)
    wanted = preset.extract(signal)
    assert all(np.array_equal(inputs[name][0], wanted[name]) for name in wanted)


def test_sound_is_trimmed_before_noise_would_hide_the_silence():
    preset, silence = models.preset("cnn3d_mfcc").only("audio"), np.zeros(16000, np.float32)
    loud = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    lengths = []

    def vary(signal):
        lengths.append(len(signal.samples))
        return signal

    preset.extract(Signal(np.r_[silence, loud, silence], 16000, None, None, 3.0), vary)
    assert lengths[0] == pytest.approx(16000, abs=2048)


def test_runs_that_trimmed_in_the_augmentation_still_load():
    record = models.preset("cnn3d_mfcc").to_json()
    record["augmentation"]["trim_db"] = 25.0
    assert from_json(record) == models.preset("cnn3d_mfcc")


def test_a_head_phase_ends_before_early_stopping_may():
    with pytest.raises(ValueError, match=r"to `patience` \(3\). Received: head_epochs=4"):
        Recipe(patience=3, head_epochs=4)
    with pytest.raises(ValueError, match="give one of them. Received: head_epochs=1, mile"):
        Recipe(head_epochs=1, milestones=(2,))


def test_what_another_version_recorded_is_refused_by_name():
    record = models.preset("cnn3d_mfcc").to_json()
    with pytest.raises(ValueError, match="no setting zap"):
        from_json({**record, "recipe": {**record["recipe"], "zap": 1}})
    with pytest.raises(ValueError, match="Received: chroma"):
        from_json({**record, "audio": {**record["audio"], "feature": "chroma"}})


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="cnn3d_mfcc.*Received: resnet"):
        models.preset("resnet")
    with pytest.raises(ValueError, match="audio, video, both.*Received: smell"):
        models.preset("cnn3d_mfcc").only("smell")
    with pytest.raises(ValueError, match="Received: video"):
        models.preset("cnn3d_mfcc").only("audio").only("video")


def test_a_clip_lacks_what_neither_a_file_nor_a_table_gives(tmp_path):
    def lacking(name, **has):
        return models.preset(name).lacking(Clip("id", "happy", "anna", **has))

    film, table = tmp_path / "a.mp4", tmp_path / "a.csv"
    assert lacking("cnn3d_mfcc", audio=film, video=film) == []
    assert lacking("cnn3d_mfcc", audio=film, given=table) == ["video"]
    assert lacking("mfcc_action_units", audio=film, video=film) == ["video"]
    assert lacking("mfcc_action_units", given=table) == ["audio"]
    assert lacking("action_unit_bilstm", given=table) == []


def test_spec_asks_for_what_the_features_need():
    both, audio = models.preset("cnn3d_mfcc"), models.preset("cnn3d_mfcc").only("audio")
    assert (both.spec("haar").sample_rate, both.spec("haar").size) == (16000, 112)
    assert (audio.spec("none").sample_rate, audio.spec("none").size) == (16000, None)
