"""Log-mel arrays as a table of features, and as the corpus CREMA-D."""

from dataclasses import replace

import numpy as np
import pytest

from emotion.clip import Signal
from emotion.data import corpora, feature_tables, splits
from emotion.data.log_mel_table import ALL_BANDS, BANDS
from emotion.features import LogMel
from emotion.features.mfcc import mel_power
from emotion.signals.cache import SignalCache, Spec

EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
SCALE = np.float32(0.03)


def decibels(generator, steps=60):
    """A spectrogram of 128 bands, silent at both ends, whose highest bands are at the floor."""
    values = generator.uniform(-60, -5, (ALL_BANDS, steps)).astype(np.float32)
    values[:, :8] = values[:, -8:] = values[BANDS:] = -80
    values[generator.integers(BANDS), steps // 2] = 0
    return values


def score(values):
    """The int8 standard score of decibels (128, t), as the table holds it."""
    scored = (values - values.mean()) / values.std()
    return np.clip(np.rint(scored[:BANDS] / SCALE), -128, 127).astype(np.int8)


def write_log_mel(path, actors=range(1001, 1004), count=2, seed=0):
    generator, names, values = np.random.default_rng(seed), [], []
    for actor in actors:
        for emotion in EMOTIONS:
            for sentence in ("DFA", "ITS", "TAI", "WSI")[:count]:
                names.append(f"{actor}_{sentence}_{emotion}_XX")
                values.append(score(decibels(generator)))
    np.savez(path, clips=np.array(names), values=np.stack(values), scale=SCALE)
    return path


def test_decibels_are_recovered(tmp_path):
    values = decibels(np.random.default_rng(1))
    path = tmp_path / "a.npz"
    np.savez(path, clips=["1001_DFA_ANG_XX"], values=score(values)[None], scale=SCALE)
    recovered = feature_tables.values(path, "1001_DFA_ANG_XX")["log_mel"]
    assert recovered.shape == (BANDS, 60) and recovered.dtype == np.float32
    assert np.abs(recovered - values[:BANDS]).max() < 1.0  # half a step of the int8 is 0.4 dB


def test_the_table_is_a_corpus_of_sound_alone(tmp_path):
    path = write_log_mel(tmp_path / "log_mel.npz")
    assert corpora.guess(path) == "cremad" and corpora.left_out(path) == []
    clips = corpora.clips(path)
    assert len(clips) == 36 and {clip.speaker for clip in clips} == {"1001", "1002", "1003"}
    assert {clip.label for clip in clips} == {
        "angry", "disgust", "fearful", "happy", "neutral", "sad"
    }  # fmt: skip
    assert splits.split(clips, "speaker-kfold-3").test
    signal = SignalCache(Spec(22050, None, table_features=("log_mel",)), tmp_path).load(clips[0])
    assert signal.has_audio and not signal.without("audio").has_audio
    assert LogMel()(LogMel().prepare(signal)).any()


@pytest.mark.parametrize(
    "arrays, reason",
    [
        ({"clips": ["a"]}, "must be an .npz with the arrays clips, values, scale"),
        (
            {"clips": ["a"], "values": np.zeros((1, 64, 9), np.int8), "scale": 1.0},
            r"must be int8 \(1, 112, t\). Received: int8 \(1, 64, 9\)",
        ),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, reason):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=reason):
        corpora.clips(tmp_path / "a.npz")


def test_crowd_labels_are_not_in_the_table(tmp_path):
    with pytest.raises(ValueError, match="has the intended labels; use"):
        corpora.clips(write_log_mel(tmp_path / "a.npz"), "cremad-crowd")


def test_a_recording_and_its_arrays_give_one_map(tmp_path):
    generator = np.random.default_rng(2)
    pitch = 150 * (1 + np.cumsum(generator.normal(0, 0.002, 44100)))
    wave = sum(np.sin(k * np.cumsum(2 * np.pi * pitch / 22050)) / k for k in range(1, 20))
    loud = np.concatenate([np.zeros(11025), wave * np.hanning(44100), np.zeros(11025)])
    samples = (0.1 * loud).astype(np.float32)
    feature = LogMel()
    signal = Signal(samples, 22050, None, None, 3.0)
    power = np.maximum(mel_power(samples, feature), 1e-10)
    values = np.maximum(10 * np.log10(power / power.max()), -80)
    np.savez(tmp_path / "a.npz", clips=["x"], values=score(values)[None], scale=SCALE)
    tabled = Signal(None, 0, None, None, 3.0, feature_tables.values(tmp_path / "a.npz", "x"))
    maps = [feature(feature.prepare(each))[..., 0] for each in (signal, tabled)]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.99


def test_the_level_of_a_recording_changes_nothing():
    samples = np.random.default_rng(3).normal(0, 0.1, 22050).astype(np.float32)
    quiet, loud = (
        LogMel()(Signal(part, 22050, None, None, 1.0)) for part in (samples, samples * 5)
    )
    assert np.allclose(quiet, loud, atol=1e-2) and quiet.any()


def test_silence_is_no_sound():
    feature = LogMel()
    for samples in (None, np.zeros(0, np.float32), np.zeros(22050, np.float32)):
        signal = Signal(samples, 22050, None, None, 1.0)
        assert not feature(feature.prepare(signal)).any()


def test_the_level_of_a_recording_is_left_out_without_a_reference():
    samples = np.random.default_rng(0).normal(size=22050).astype(np.float32) / 10
    quiet = Signal(samples, 22050, None, None, 1.0)
    loud = replace(quiet, samples=10 * samples)
    assert LogMel()(quiet) == pytest.approx(LogMel()(loud), abs=1e-3)
    absolute = LogMel(reference_db=10.0)
    change = absolute(loud) - absolute(quiet)
    assert change[0] == pytest.approx(20 * np.sqrt(112), abs=1e-3)  # the mean of the bands
    assert change[1:] == pytest.approx(np.zeros_like(change[1:]), abs=1e-3)
    assert np.array_equal(absolute(absolute.prepare(quiet)), absolute(quiet))
