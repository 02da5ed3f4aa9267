"""Recognizer: what it feeds the model is what training fed it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run_inference
from emotion import media
from emotion.annotate import render
from emotion.clip import Clip, MediaError, Signal
from emotion.inference.recognizer import Recognizer
from emotion.inference.timeline import analyse
from emotion.signals.cache import SignalCache
from emotion.training.batches import Batches

TAKE = "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4"


@pytest.fixture(scope="module")
def recognizer(trained):
    return Recognizer(trained.folder)


def test_a_real_clip_enters_the_model_as_in_training(data, recognizer, signals, monkeypatch):
    path = data / TAKE
    clip = Clip("take", "neutral", "01", audio=path, video=path)
    load = SignalCache(recognizer.spec, signals).load
    trained_on, _, _ = Batches([clip], recognizer.preset, recognizer.labels, 1, load)[0]
    fed = []
    predict = recognizer.model.predict_on_batch
    monkeypatch.setattr(
        recognizer.model, "predict_on_batch", lambda inputs: fed.append(inputs) or predict(inputs)
    )
    prediction = recognizer.predict_file(path)
    assert prediction.has_audio and prediction.has_face
    assert fed[0].keys() == trained_on.keys()
    for name, array in trained_on.items():
        assert array.dtype == fed[0][name].dtype
        assert np.array_equal(array, fed[0][name])
        assert np.ptp(array) > 1


def test_probabilities_follow_the_label_order_of_the_run(clips, recognizer, signals):
    signals_ = [SignalCache(recognizer.spec, signals).load(clip) for clip in clips[:5]]
    together = recognizer.predict(signals_)
    assert together.shape == (5, 8) and np.allclose(together.sum(axis=1), 1, atol=1e-6)
    alone = np.concatenate([recognizer.predict([signal]) for signal in signals_])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert recognizer.predict([]).shape == (0, 8)


@pytest.mark.parametrize(
    ("name", "has_audio", "has_face"),
    [("media/nasa_8khz_audio.mp4", True, False), ("media/one_face.mp4", False, True),
     ("ravdess/videos/Actor_19/01-01-08-02-01-01-19.mp4", False, True)],
)  # fmt: skip
def test_what_is_missing_is_stated(data, recognizer, name, has_audio, has_face):
    prediction = recognizer.predict_file(data / name)
    assert (prediction.has_audio, prediction.has_face) == (has_audio, has_face)
    assert prediction.label in recognizer.labels and 0 < prediction.confidence <= 1


@pytest.mark.parametrize("name", ["sine.wav", "no_face.mp4", "failing_audio.mp4"])
def test_sound_without_speech_is_not_used(data, trained, recognizer, name):
    with pytest.raises(MediaError, match=f"{name}: nobody speaks in it"):
        recognizer.predict_file(data / "media" / name)
    timeline = analyse(data / "media" / name, recognizer)
    assert timeline.predictions == []
    assert render.summary(timeline) == "no face; predictions: none (neither speech nor face)"
    used = Recognizer(trained.folder, any_sound=True).predict_file(data / "media" / name)
    assert used.has_audio and not used.has_face


def test_silence_changes_nothing_beside_a_face(data, recognizer):
    signal = recognizer.read(data / "media/one_face.mp4")
    assert signal.samples is None and signal.frames is not None
    assert recognizer.spoken(np.zeros(16000, np.float32)) is None


def test_a_prediction_below_the_threshold_is_uncertain(data, trained):
    path = data / "ravdess/videos/Actor_19/01-01-08-02-01-01-19.mp4"
    unsure = Recognizer(trained.folder, threshold=1.0).predict_file(path)
    sure = Recognizer(trained.folder, threshold=0.0).predict_file(path)
    assert unsure.label == "uncertain" and unsure.confidence == sure.confidence < 1
    assert sure.label in sure.labels
    with pytest.raises(ValueError, match="`threshold` must be from 0 to 1. Received: 1.5"):
        Recognizer(trained.folder, threshold=1.5)


def test_the_threshold_is_the_highest_of_the_modalities_that_are_there(trained):
    recognizer = Recognizer(trained.folder)
    recognizer.thresholds = {"audio": 0.6, "video": 0.4}
    samples, frames = np.ones(16000, np.float32), np.ones((20, 32, 32, 3), np.uint8)
    both = Signal(samples, 16000, frames, np.arange(20) / 20, 1.0)
    assert recognizer.threshold(both) == 0.6
    assert recognizer.threshold(both.without("audio")) == 0.4
    assert recognizer.threshold(both.without("video")) == 0.6


def test_nothing_audible_or_visible_is_one_line(data, recognizer):
    with pytest.raises(MediaError, match="av1_no_audio.mkv.*no sound and no face"):
        recognizer.predict_file(data / "media/av1_no_audio.mkv")


def test_the_runs_detector_is_required_again(trained, tmp_path, monkeypatch):
    shutil.copytree(trained.folder, tmp_path / "run")
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    (tmp_path / "run/run.json").write_text(
        json.dumps({**record, "detector": "yunet"}), encoding="utf-8"
    )
    monkeypatch.delenv("EMOTION_YUNET", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="yunet"):
        Recognizer(tmp_path / "run")


@pytest.mark.slow
def test_the_command_annotates_with_a_trained_run(data, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "out.csv"
    arguments = ["--video_path", data / TAKE, "--model", trained.folder, "--predictions", table]
    assert run_inference.main([str(argument) for argument in arguments]) == 0
    assert "1 face; predictions:" in capsys.readouterr().out
    before, after = media.probe(data / TAKE), media.probe(f"{Path(TAKE).stem}_annotated.mp4")
    assert after.video and after.audio
    assert after.duration == pytest.approx(before.duration, abs=float(1 / before.rate))
    rows = pd.read_csv(table)
    assert list(rows.columns[-8:]) == list(trained.labels)
    assert np.allclose(rows[list(trained.labels)].sum(axis=1), 1, atol=1e-3)
    assert (rows["track"] == 1).all() and rows["has_audio"].all() and rows["has_face"].all()
