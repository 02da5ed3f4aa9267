"""Cache: the same signals, whole or not at all, keyed by content and settings."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from emotion import cache, media
from emotion.cache import Spec
from emotion.clip import Clip, MediaError

SPEC = Spec(sample_rate=16000, frames=4, size=64, margin=0.2, detector="haar")


def equal(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("samples", "frames", "times", "duration", "sample_rate")
    )


def test_signal_holds_sound_and_face(clips, tmp_path):
    signal = cache.load(clips[0], SPEC, tmp_path)
    assert signal.samples.dtype == np.float32 and np.abs(signal.samples).max() <= 1
    assert len(signal.samples) == pytest.approx(signal.duration * 16000, rel=0.05)
    assert signal.frames.shape == (4, 64, 64, 3) and signal.frames.dtype == np.uint8
    assert np.all(np.diff(signal.times) > 0) and signal.times[-1] < signal.duration


def test_what_is_kept_is_what_was_decoded(clips, tmp_path, monkeypatch):
    fresh = cache.load(clips[0], SPEC, tmp_path)
    monkeypatch.setattr(media, "read_samples", None)  # a second decoding would fail
    monkeypatch.setattr(media, "read_frames", None)
    assert equal(fresh, cache.load(clips[0], SPEC, tmp_path))
    monkeypatch.undo()
    assert equal(fresh, cache.decode(clips[0], SPEC))


@pytest.mark.parametrize(
    "change", [{"sample_rate": 8000}, {"frames": 5}, {"size": 32}, {"margin": 0.0}]
)
def test_other_settings_are_other_entries(clips, tmp_path, change):
    first = cache.load(clips[0], SPEC, tmp_path)
    assert not equal(first, cache.load(clips[0], replace(SPEC, **change), tmp_path))
    assert len(list(tmp_path.glob("*.safetensors"))) == 3  # the other modality's entry is shared


def test_key_is_the_content_not_the_name(clips, tmp_path):
    sound = clips[0].audio.read_bytes()
    one, other = tmp_path / "one.wav", tmp_path / "two.wav"
    one.write_bytes(sound)
    other.write_bytes(sound)
    for path in (one, other):
        cache.load(Clip("a", "sad", "1", audio=path), SPEC, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    other.write_bytes(clips[1].audio.read_bytes())
    cache.load(Clip("a", "sad", "1", audio=other), SPEC, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_damaged_entry_is_made_anew(clips, tmp_path):
    fresh = cache.load(clips[0], SPEC, tmp_path)
    for entry in tmp_path.glob("*.safetensors"):
        entry.write_bytes(entry.read_bytes()[:-200])
    assert equal(fresh, cache.load(clips[0], SPEC, tmp_path))
    assert equal(fresh, cache.load(clips[0], SPEC, tmp_path))


def test_many_at_once_leave_whole_entries(clips, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        signals = list(pool.map(lambda _: cache.load(clips[0], SPEC, tmp_path), range(8)))
    assert all(equal(signals[0], signal) for signal in signals)
    assert len(list(tmp_path.iterdir())) == 2


def test_nothing_half_written_stays_when_writing_fails(clips, tmp_path):
    script = (
        "import resource, sys; from emotion import cache, corpora\n"
        "from tests.test_cache import SPEC\n"
        "clip = corpora.clips(sys.argv[1])[0]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "cache.load(clip, SPEC, sys.argv[2])"
    )
    corpus = clips[0].audio.parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, corpus, tmp_path], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_used_is_named(tmp_path, clips):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    bad = Clip("bad", "sad", "1", audio=broken, video=broken)
    faceless = replace(clips[1], id="faceless", audio=None, video=_grey(tmp_path / "grey.mp4"))
    reasons = cache.prepare([clips[0], bad, faceless], SPEC, tmp_path / "c", progress=False)
    assert [clip.id for clip, _ in reasons] == ["bad", "faceless"]
    assert "broken.mp4" in reasons[0][1]
    assert "no face" in reasons[1][1]


def test_sound_alone_and_picture_alone_are_signals(clips, tmp_path):
    sound = cache.load(replace(clips[0], video=None), SPEC, tmp_path)
    picture = cache.load(replace(clips[0], audio=None), SPEC, tmp_path)
    assert sound.frames is None and sound.duration == len(sound.samples) / 16000
    assert picture.samples is None and len(picture.frames) == 4
    with pytest.raises(MediaError, match="no sound"):
        cache.decode(replace(clips[0], audio=None), replace(SPEC, frames=None))


def _grey(path):
    with media.VideoWriter(path, rate=10) as writer:
        for index in range(10):
            writer.write(np.full((96, 96, 3), 128, np.uint8), index / 10)
    return path
