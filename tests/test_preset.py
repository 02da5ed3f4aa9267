"""Presets: plain values that a run can record and rebuild."""

import json
from dataclasses import replace

import pytest

from emotion import models
from emotion.clip import Clip
from emotion.preset import Recipe, from_json


@pytest.mark.parametrize("name", models.PRESETS)
@pytest.mark.parametrize("modality", ["audio", "video", "both"])
def test_json_gives_the_preset_back(name, modality):
    preset = models.preset(name).only(modality)
    preset = replace(preset, recipe=replace(preset.recipe, learning_rate=1e-3))
    assert from_json(json.loads(json.dumps(preset.to_json()))) == preset
    assert preset.modality == modality


@pytest.mark.parametrize("name", models.PRESETS)
def test_sound_is_trimmed_in_training_as_the_feature_trims_it(name):
    preset = models.preset(name)
    assert preset.augmentation.trim_db == getattr(preset.audio, "trim_db", None)


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
    assert (both.spec("haar").sample_rate, both.spec("haar").frames) == (16000, 20)
    assert (audio.spec("none").sample_rate, audio.spec("none").frames) == (16000, None)
