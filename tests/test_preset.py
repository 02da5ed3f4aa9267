"""Presets: plain values that a run can record and rebuild."""

import json
from dataclasses import replace

import numpy as np
import pytest

import train_model
from emotion import models
from emotion.clip import Clip, Signal
from emotion.preset import Recipe, from_json, override
from emotion.signals.augment import Augmentation
from emotion.training import collate


@pytest.mark.parametrize(
    "name, modality",
    [(name, m) for name, preset in models.PRESETS.items()
     for m in sorted({*preset.features, preset.modality})],
)  # fmt: skip
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
    inputs, _, _ = collate.batch([clip], [(0, 0, 0)], *fed)
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
    with pytest.raises(ValueError, match="give one. Received: head_epochs=1, mile"):
        Recipe(head_epochs=1, milestones=(2,))
    with pytest.raises(ValueError, match="schedule=cosine"):
        Recipe(head_epochs=1, schedule="cosine")
    with pytest.raises(ValueError, match="`schedule` must be one of plateau, cosine"):
        Recipe(schedule="steps")


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

    video, table = tmp_path / "a.mp4", tmp_path / "a.csv"
    assert lacking("cnn3d_mfcc", audio=video, video=video) == []
    assert lacking("cnn3d_mfcc", audio=video, table=table) == ["video"]
    assert lacking("mfcc_action_units", audio=video, video=video) == ["video"]
    assert lacking("mfcc_action_units", table=table) == ["audio"]
    assert lacking("action_unit_bilstm", table=table) == []


def test_spec_asks_for_what_the_features_need():
    both, audio = models.preset("cnn3d_mfcc"), models.preset("cnn3d_mfcc").only("audio")
    assert (both.spec("haar").sample_rate, both.spec("haar").size) == (16000, 112)
    assert (audio.spec("none").sample_rate, audio.spec("none").size) == (16000, None)


def test_settings_are_read_as_their_fields_are_typed():
    texts = [
        "recipe.patience=25", "recipe.learning_rate=1e-2", "recipe.clipnorm=none",
        "recipe.milestones=3,7", "recipe.optimizer=sgd", "recipe.patience=30",
        "augmentation.rate=0.9, 1.1", "augmentation.modality_dropout=True",
        "audio.n_mfcc=20", "audio.trim_db=none", "video.count=8", "video.interval=0.5",
        "recipe.head_epochs=0",
    ]  # fmt: skip
    preset = models.preset("cnn3d_mfcc")
    changed = override(preset, texts)
    recipe, augmentation = changed.recipe, changed.augmentation
    assert (recipe.patience, recipe.learning_rate, recipe.clipnorm) == (30, 0.01, None)
    assert (recipe.milestones, recipe.optimizer) == ((3, 7), "sgd")
    assert (augmentation.rate, augmentation.modality_dropout) == ((0.9, 1.1), True)
    assert (changed.audio.shape, changed.audio.trim_db) == ((20, 44, 1), None)
    assert (changed.video.count, changed.video.interval) == (8, 0.5)
    assert from_json(json.loads(json.dumps(changed.to_json()))) == changed
    assert override(preset, []) == preset and override(preset, ["recipe.milestones="]) == preset
    # Checked together, in whatever order they come.
    assert override(preset, ["recipe.head_epochs=20", "recipe.patience=20"]).recipe.patience == 20


@pytest.mark.parametrize("name", models.PRESETS)
def test_every_field_of_a_preset_can_be_set_to_what_it_is(name):
    preset = models.preset(name)
    record = preset.to_json()
    texts = []
    for section in ("recipe", "audio", "video", "augmentation"):
        for field, value in (record[section] or {}).items():
            if field != "feature":
                many = isinstance(value, (tuple, list))
                texts.append(f"{section}.{field}={','.join(map(str, value)) if many else value}")
    assert len(texts) > 25 and override(preset, texts) == preset


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patience=25", "must be SECTION.FIELD=VALUE.*Received: 'patience=25'"),
        ("recipe.patience", "must be SECTION.FIELD=VALUE"),
        ("recipes.patience=25", r"recipe, audio, .*Received: recipes; did you mean recipe\?"),
        ("recipe.pacience=25", r"field of recipe .*Received: pacience; did you mean patience\?"),
        ("recipe.zzz=25", r"field of recipe must be one of epochs, .*Received: zzz\."),
        ("recipe.patience=2.5", "recipe.patience must be a whole number. Received: '2.5'"),
        ("recipe.patience=none", "recipe.patience must be a whole number. Received: 'none'"),
        ("recipe.learning_rate=nan", "learning_rate must be a number. Received: 'nan'"),
        ("recipe.clipnorm=x", "recipe.clipnorm must be a number or none. Received: 'x'"),
        ("recipe.milestones=3,x", "must be whole numbers with commas.* Received: '3,x'"),
        ("augmentation.rate=0.7", "must be 2 numbers with a comma.* Received: '0.7'"),
        ("augmentation.modality_dropout=1", "must be true or false. Received: '1'"),
        ("recipe.head_epochs=99", "`head_epochs` must be from 0"),
        ("recipe.batch_size=0", "`batch_size` must be positive. Received: 0"),
        ("audio.steps=0", "audio.steps must be positive. Received: 0"),
        ("video.count=0", "video.count must be positive. Received: 0"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        override(models.preset("cnn3d_mfcc"), [text])


def test_a_modality_that_is_not_there_has_no_settings():
    with pytest.raises(ValueError, match="has no video here; leave out 'video.count=8'"):
        override(models.preset("cnn3d_mfcc").only("audio"), ["video.count=8"])
    waveform = models.preset("wav2vec2_resnet50")
    with pytest.raises(ValueError, match=r"audio must have a positive shape.*\(0,\)"):
        override(waveform, ["audio.seconds=0"])


def test_the_training_program_sets_them(capsys):
    arguments = ["--summary", "--modality", "audio", "--set", "audio.n_mfcc=20"]
    assert train_model.main([*arguments, "--set", "audio.steps=30"]) == 0
    assert "20, 30, 1" in capsys.readouterr().out
    assert train_model.main([*arguments, "--set", "audio.mfccs=3"]) == 2
    text = capsys.readouterr().err
    assert "did you mean n_mfcc?" in text and text.count("\n") == 1
