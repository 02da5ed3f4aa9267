"""Features: fixed shapes that span the whole signal."""

import warnings
from dataclasses import replace

import librosa
import numpy as np
import pytest
from scipy.sparse import csr_array

from emotion.clip import Signal, spread
from emotion.features import (
    ActionUnits,
    FaceFrames,
    MeanMfcc,
    MeanMfccSeries,
    Mfcc,
    MfccSeries,
    Waveform,
    mfcc,
)

RATE = Mfcc().sample_rate


def sound(seconds, rate=RATE, seed=0):
    samples = np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate)).astype(np.float32)
    return Signal(samples, rate, None, None, seconds)


def picture(count, seconds=2.0, size=112):
    frames = np.zeros((count, size, size, 3), np.uint8)
    frames += np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Signal(None, 0, frames, spread(seconds, count), seconds)


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 3.7, 20.0])
def test_mfcc_map_has_one_shape_for_any_length(seconds):
    values = Mfcc()(sound(seconds))
    assert values.shape == (40, 44, 1)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize(("rate", "length", "hop", "bands"), [
    (16000, 1024, 320, 64), (22050, 2048, 512, 128), (1600, 512, 128, 40), (8000, 300, 77, 33)
])  # fmt: skip
@pytest.mark.parametrize("seconds", [0, 0.3, 40])
def test_mel_power_has_the_bits_of_librosa(rate, length, hop, bands, seconds):
    feature = replace(Mfcc(), sample_rate=rate, frame_length=length, hop_length=hop, n_mels=bands)
    samples = sound(seconds + 1 / rate, rate).samples
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bands between two bins, and of short sounds
        filters = librosa.filters.mel(sr=rate, n_fft=length, n_mels=bands)
        spectrum = librosa.stft(samples, n_fft=length, hop_length=hop)
    np.testing.assert_array_equal(
        mfcc.mel_power(samples, feature), csr_array(filters) @ (spectrum.real**2 + spectrum.imag**2)
    )


def test_mfcc_steps_are_means_of_librosa_frames():
    signal = sound(44 * 4 * 320 / RATE)
    values = Mfcc()(signal)[..., 0]
    settings = dict(n_fft=1024, hop_length=320, n_mels=64)
    frames = librosa.feature.mfcc(y=signal.samples, sr=RATE, n_mfcc=40, **settings)
    edges = np.linspace(0, frames.shape[1], 45)
    wanted = frames[:, int(edges[10]) : int(np.ceil(edges[11]))].mean(axis=1)
    np.testing.assert_allclose(values[:, 10], wanted, rtol=1e-4, atol=1e-4)


def test_mfcc_steps_span_the_whole_utterance():
    quiet = sound(4.0)
    loud = replace(quiet, samples=quiet.samples.copy())
    loud.samples[-8000:] *= 8
    changed = np.abs(Mfcc()(quiet) - Mfcc()(loud)).max(axis=(0, 2))
    assert changed[-1] > 1
    assert changed[5] < changed[-1] / 5


def test_mfcc_leaves_out_silence_around_speech():
    speech = sound(1.0)
    silence = np.zeros(RATE, np.float32)
    padded = replace(speech, samples=np.concatenate([silence, speech.samples, silence]))
    trimmed = Mfcc().prepare(padded)
    assert Mfcc(trim_db=None).prepare(padded) is padded
    # The trim is as coarse as its frames.
    difference = np.abs(Mfcc()(speech) - Mfcc()(trimmed))[0, 3:-4]
    assert difference.max() < 80  # c0 of silence is hundreds lower


def test_mfcc_of_nothing_is_zeros():
    assert not Mfcc()(picture(3)).any()
    assert not Mfcc()(replace(sound(1), samples=np.zeros(0, np.float32))).any()


def test_mfcc_refuses_another_rate():
    with pytest.raises(ValueError, match="16000 Hz.*sample_rate=8000"):
        Mfcc()(sound(1, rate=8000))


@pytest.mark.parametrize("seconds", [0.01, 3.6, 9.0])
def test_mfcc_series_is_librosas_of_a_fixed_duration(seconds):
    signal = sound(seconds, 22050)
    values = MfccSeries()(signal)
    assert values.shape == (156, 10) and values.dtype == np.float32
    length = 79380
    samples = np.pad(signal.samples, (0, max(length - len(signal.samples), 0)))
    start = (len(samples) - length) // 2
    wanted = librosa.feature.mfcc(y=samples[start : start + length], sr=22050, n_mfcc=10)
    np.testing.assert_allclose(values, wanted.T, rtol=1e-4, atol=1e-3)


def test_mfcc_series_pads_at_the_end_and_cuts_at_both():
    short, long = sound(1.0, 22050), sound(5.0, 22050)
    values = MfccSeries()(short)
    assert (values[60:] == values[60]).all() and not np.allclose(values[10], values[60])
    middle = replace(long, samples=long.samples[5000:-5000])
    np.testing.assert_array_equal(MfccSeries()(long), MfccSeries()(middle))


def test_mfcc_series_of_nothing_is_zeros_and_of_another_rate_refused():
    assert not MfccSeries()(picture(3)).any()
    with pytest.raises(ValueError, match="22050 Hz.*sample_rate=8000"):
        MfccSeries()(sound(1, rate=8000))


def test_mean_mfcc_is_the_mean_of_librosas():
    signal = sound(1.3, 22050)
    values = MeanMfcc()(signal)
    assert values.shape == (40,) and values.dtype == np.float32
    wanted = librosa.feature.mfcc(y=signal.samples, sr=22050, n_mfcc=40).mean(axis=1)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-3)
    assert np.isfinite(MeanMfcc()(sound(0.01, 22050))).all()
    assert not MeanMfcc()(picture(3)).any()
    with pytest.raises(ValueError, match="22050 Hz.*sample_rate=8000"):
        MeanMfcc()(sound(1, rate=8000))


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(20, list(range(20))), (1, [0] * 20), (40, list(range(0, 40, 2))), (10, None)],
)
def test_face_frames_are_spread_over_the_signal(count, wanted):
    values = FaceFrames()(picture(count))[:, 0, 0, 0].tolist()
    assert len(values) == 20
    assert values == sorted(values)
    if wanted is not None:
        assert np.abs(np.subtract(values, wanted)).max() <= 1
    assert values[0] == 0
    assert values[-1] >= count - 2


def test_face_frames_keep_their_bytes():
    signal = picture(20)
    assert np.array_equal(FaceFrames()(signal), signal.frames)


def test_face_frames_of_nothing_are_black():
    assert not FaceFrames()(sound(1)).any()


def test_face_frames_refuse_another_size():
    with pytest.raises(ValueError, match="size=112"):
        FaceFrames()(picture(3, size=64))


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0.3, [0]),
        (1.0, [0]),
        (3.3, [0, 1, 2, 3]),
        (5.3, [0, 1, 2, 3, 4, 5]),
        (6.0, [0, 1, 2, 3, 4, 5]),
        (7.2, [0.6, 1.8, 3.0, 4.2, 5.4, 6.6]),
    ],
)
def test_face_frames_at_an_interval_are_followed_by_black(seconds, wanted):
    times = np.arange(0, seconds, 1 / 6)
    frames = np.zeros((len(times), 8, 8, 3), np.uint8)
    frames += 1 + np.arange(len(times), dtype=np.uint8)[:, None, None, None]
    feature = FaceFrames(count=6, size=8, interval=1.0)
    values = feature(Signal(None, 0, frames, times, seconds))
    assert values.shape == feature.shape and values.dtype == np.uint8
    assert not values[len(wanted) :].any()
    result = [times[value - 1] for value in values[: len(wanted), 0, 0, 0].astype(int)]
    np.testing.assert_allclose(result, wanted, atol=1 / 12 + 1e-9)
    assert not feature(Signal(None, 0, None, None, seconds)).any()


def test_the_interval_is_reported_and_must_be_positive():
    text, evenly = FaceFrames(count=6, interval=1.0).describe()[-1], FaceFrames(6).describe()[-1]
    assert "0, 1, 2 ... seconds" in text and "black" in text and "black" not in evenly
    for name in ("count", "size", "interval"):
        with pytest.raises(ValueError, match=f"`{name}` must be positive. Received: {name}=0"):
            FaceFrames(**{name: 0})


def test_the_series_is_of_one_length_and_provided_values_come_first():
    series = MeanMfccSeries()
    samples = np.random.default_rng(0).normal(0, 0.1, 4 * 44100).astype(np.float32)
    whole = series(Signal(samples, 44100, None, None, 4.0))
    assert whole.shape == (259,) and whole.dtype == np.float32 and whole.all()
    short = series(Signal(samples[: 2 * 44100], 44100, None, None, 2.0))
    assert not short[130:].any() and np.allclose(short[:120], whole[:120], atol=1)
    assert not series(Signal(samples[:100], 44100, None, None, 0.1)).any()
    arguments = {"mean_mfcc_series": np.arange(259, dtype=np.float32)}
    assert np.array_equal(series(Signal(samples, 44100, None, None, 4.0, arguments))[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="44100 Hz.*sample_rate=16000"):
        series(Signal(samples, 16000, None, None, 4.0))


def test_action_units_are_averaged_or_repeated():
    def tabled(array):
        return Signal(None, 0, None, None, 1.0, {"action_units": np.array(array, np.float32)})

    frames = np.arange(12)[:, None] * np.ones(35)
    assert ActionUnits()(tabled(frames)).tolist() == [[5.5] * 35]
    assert ActionUnits(3)(tabled(frames))[:, 0].tolist() == [1.5, 5.5, 9.5]
    assert ActionUnits(4)(tabled(frames[:2]))[:, 0].tolist() == [0, 0, 1, 1]
    assert not ActionUnits(2)(Signal(None, 0, None, None, 1.0)).any()


@pytest.mark.parametrize("seconds", [0.01, 1.0, 4.0, 9.0])
def test_waveform_is_normalised_over_the_sound_that_is_there(seconds):
    signal = sound(seconds)
    signal = replace(signal, samples=signal.samples + np.float32(0.3))
    values = Waveform()(signal)
    assert values.shape == (64000,) and values.dtype == np.float32
    has_audio = values[: len(signal.samples)]
    np.testing.assert_allclose([has_audio.mean(), has_audio.std()], [0, 1], atol=1e-4)
    assert not values[len(signal.samples) :].any()
    x = signal.samples[(len(signal.samples) - len(has_audio)) // 2 :][: len(has_audio)].astype(
        np.float64
    )
    np.testing.assert_allclose(has_audio, (x - x.mean()) / np.sqrt(x.var() + 1e-7), atol=1e-6)


def test_waveform_of_silence_is_finite_of_nothing_zeros_and_of_another_rate_refused():
    assert not Waveform()(replace(sound(1), samples=np.full(16000, 0.1, np.float32))).any()
    assert not Waveform()(picture(3)).any()
    with pytest.raises(ValueError, match="16000 Hz.*sample_rate=8000"):
        Waveform()(sound(1, rate=8000))
