"""Disturbances do what they say, the same in any process."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from emotion import processes
from emotion.clip import Clip, Signal
from emotion.signals import perturb
from emotion.signals.perturb import Blur, Darkness, Noise, Without

CLIP = Clip("01-01-05-01-01-01-01", "angry", "01")


def read(clip):
    rng = np.random.default_rng(0)
    samples = np.sin(np.arange(16000) / 20).astype(np.float32)
    frames = rng.integers(0, 256, (3, 16, 16, 3), np.uint8)
    return Signal(samples, 16000, frames, np.arange(3.0), 1.0)


def disturbed(disturbance, clip=CLIP):
    return perturb.load(clip, read, disturbance)


def distance(signal):
    before = read(CLIP)
    return sum(
        np.abs(a.astype(float) - b).sum()
        for a, b in ((signal.samples, before.samples), (signal.frames, before.frames))
    )


@pytest.mark.parametrize("nothing", [Noise(np.inf), Darkness(1.0), Blur(0.0)])
def test_the_weakest_changes_nothing(nothing):
    assert distance(disturbed(nothing)) == 0


@pytest.mark.parametrize("snr", [30.0, 10.0, 0.0, -5.0])
def test_the_signal_to_noise_ratio_is_what_it_says(snr):
    clean, noisy = read(CLIP).samples.astype(float), disturbed(Noise(snr)).samples
    noise = noisy - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(snr, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(noise))[1:] ** 2
    assert spectrum[:4000].mean() == pytest.approx(spectrum[4000:].mean(), rel=0.1)  # white


@pytest.mark.parametrize("kind", [Noise, Darkness, Blur])
def test_more_is_never_closer(kind):
    individual = [item for item in perturb.DISTURBANCES if isinstance(item, kind)]
    far = [distance(disturbed(item)) for item in individual]
    assert len(far) > 2 and 0 < far[0] and far == sorted(far) and len(set(far)) == len(far)


def test_darkness_multiplies():
    frames = disturbed(Darkness(0.25)).frames
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, np.rint(read(CLIP).frames / 4))


def test_blur_is_a_gaussian_of_that_width():
    frames = np.zeros((2, 33, 33, 3), np.uint8)
    frames[:, :, 16] = 255  # a line
    blurred = Blur(2.0)(replace(read(CLIP), frames=frames), None).frames.astype(float)
    np.testing.assert_array_equal(blurred, blurred[:1, :1, :, :1] * np.ones((2, 33, 1, 3)))
    across = blurred[1, 16, :, 0]
    width = np.sqrt(np.average((np.arange(33) - 16) ** 2, weights=across))
    assert width == pytest.approx(2.0, abs=0.05)


def test_a_clip_has_a_separate_noise_and_the_same_anywhere():
    load = partial(perturb.load, read=read, disturbance=Noise(10.0))
    clips = [CLIP, replace(CLIP, id="another")]
    here = [load(clip).samples for clip in clips]
    with processes.pool(1) as pool:
        there = [signal.samples for signal in pool.map(load, clips).result()]
    np.testing.assert_array_equal(here, there)
    assert not np.array_equal(*here)
    louder = [disturbed(Noise(level)).samples - read(CLIP).samples for level in (10.0, 0.0)]
    np.testing.assert_allclose(louder[0] * np.sqrt(10), louder[1], atol=1e-5)  # the same noise


def test_the_signal_provided_is_left_as_it_is():
    signal = read(CLIP)
    for item in perturb.DISTURBANCES:
        item(signal, np.random.default_rng(0))
    assert distance(signal) == 0


def test_what_is_not_there_is_not_disturbed():
    without_audio, without_video = read(CLIP).without("audio"), read(CLIP).without("video")
    kinds = {
        name: {item.kind for item in perturb.DISTURBANCES if item.reaches(signal)}
        for name, signal in {
            "both": read(CLIP),
            "deaf": without_audio,
            "blind": without_video,
            "table": Signal(None, 0, None, None, 1.0, {"action_units": np.ones((2, 35))}),
            "said": replace(without_video, features={"mean_mfcc_series": np.ones(259)}),
        }.items()
    }
    assert kinds == {
        "both": {"noise", "darkness", "blur", "without"},
        "deaf": {"darkness", "blur"},
        "blind": {"noise"},
        "table": set(),
        "said": set(),
    }
    generator = np.random.default_rng(0)
    assert Noise(0.0)(without_audio, generator) is without_audio
    assert (
        Darkness(0.5)(without_video, generator)
        is Blur(1.0)(without_video, generator)
        is without_video
    )
    silent = replace(without_video, samples=np.zeros(10, np.float32))
    assert Noise(0.0)(silent, generator) is silent
    assert Without("audio")(read(CLIP), generator).samples is None
