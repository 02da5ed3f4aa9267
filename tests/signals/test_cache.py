"""Cache: the same signals, whole or not at all, keyed by content and settings."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import wavfile
from stub import scene, white_square
from videos import write_video

from emotion import media
from emotion.clip import Clip, MediaError
from emotion.signals import cache
from emotion.signals.cache import Facts, SignalCache, Spec

SPEC = Spec(sample_rate=16000, size=64, margin=0.2, detector="haar")


def equal(item, other):
    return all(
        np.array_equal(getattr(item, name), getattr(other, name))
        for name in ("samples", "frames", "times", "duration", "sample_rate")
    )


def test_signal_holds_sound_and_face(clips, tmp_path):
    signal = SignalCache(SPEC, tmp_path).load(clips[0])
    assert signal.samples.dtype == np.float32 and np.abs(signal.samples).max() <= 1
    assert len(signal.samples) == pytest.approx(signal.duration * 16000, rel=0.05)
    looks = len(signal.times)
    assert looks == pytest.approx(signal.duration * 6, abs=2)
    assert signal.frames.shape == (looks, 64, 64, 3) and signal.frames.dtype == np.uint8
    assert np.all(np.diff(signal.times) > 0) and signal.times[-1] < signal.duration


def test_what_is_stored_is_what_was_decoded(clips, tmp_path, monkeypatch):
    fresh = SignalCache(SPEC, tmp_path).load(clips[0])
    monkeypatch.setattr(media, "read_samples", None)  # a second decoding would fail
    monkeypatch.setattr(media, "read_frames", None)
    assert equal(fresh, SignalCache(SPEC, tmp_path).load(clips[0]))
    monkeypatch.undo()
    assert equal(fresh, cache.decode(clips[0], SPEC))


@pytest.mark.parametrize("change", [{"sample_rate": 8000}, {"size": 32}, {"margin": 0.0}])
def test_other_settings_are_other_entries(clips, tmp_path, change):
    first = SignalCache(SPEC, tmp_path).load(clips[0])
    assert not equal(first, SignalCache(replace(SPEC, **change), tmp_path).load(clips[0]))
    assert len(list(tmp_path.glob("*.safetensors"))) == 3  # the other modality's entry is shared


def test_key_is_the_content_not_the_name(clips, tmp_path):
    sound = clips[0].audio.read_bytes()
    item, other = tmp_path / "one.wav", tmp_path / "two.wav"
    item.write_bytes(sound)
    other.write_bytes(sound)
    for path in (item, other):
        SignalCache(SPEC, tmp_path).load(Clip("a", "sad", "1", audio=path))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    other.write_bytes(clips[1].audio.read_bytes())
    SignalCache(SPEC, tmp_path).load(Clip("a", "sad", "1", audio=other))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_a_damaged_entry_is_made_anew(clips, tmp_path):
    fresh = SignalCache(SPEC, tmp_path).load(clips[0])
    for entry in tmp_path.glob("*.safetensors"):
        entry.write_bytes(entry.read_bytes()[:-200])
    assert equal(fresh, SignalCache(SPEC, tmp_path).load(clips[0]))
    assert equal(fresh, SignalCache(SPEC, tmp_path).load(clips[0]))


def test_many_at_once_leave_whole_entries(clips, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        signals = list(pool.map(lambda _: SignalCache(SPEC, tmp_path).load(clips[0]), range(8)))
    assert all(equal(signals[0], signal) for signal in signals)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_nothing_half_written_stays_when_writing_fails(clips, tmp_path):
    script = (
        "import resource, sys\n"
        "from emotion.data import corpora\n"
        "from emotion.signals.cache import SignalCache\n"
        "from tests.signals.test_cache import SPEC\n"
        "clip = corpora.clips(sys.argv[1])[0]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "SignalCache(SPEC, sys.argv[2]).load(clip)"
    )
    corpus = clips[0].audio.parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, corpus, tmp_path], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f".{os.pathsep}tests"}, encoding="utf-8",
    )  # fmt: skip
    assert f"File too large: '{tmp_path}" in done.stderr
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_what_cannot_be_used_is_named(tmp_path, clips):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    bad = Clip("bad", "sad", "1", audio=broken, video=broken)
    faceless = replace(clips[1], id="faceless", audio=None, video=_grey(tmp_path / "grey.mp4"))
    result = SignalCache(SPEC, tmp_path / "c").prepare([clips[0], bad, faceless], progress=False)
    assert [id for id, individual in result.items() if individual.reason] == ["bad", "faceless"]
    assert "broken.mp4" in result["bad"].reason
    assert "no face" in result["faceless"].reason


def test_sound_longer_than_a_clip_is_refused_and_a_span_of_it_is_not(tmp_path, monkeypatch):
    wavfile.write(tmp_path / "a.wav", 8000, np.arange(8000 * 45, dtype=np.int32).astype(np.int16))
    clip, spec = Clip("a", "sad", "1", audio=tmp_path / "a.wav"), replace(SPEC, size=None)
    whole = cache.decode(clip, spec).samples
    monkeypatch.setattr(cache, "LONGEST_CLIP", 30)
    with pytest.raises(MediaError, match="a.wav has more than 0 minutes of sound"):
        cache.decode(clip, spec)
    for start, end in ((0, 5), (12.5, 33), (31, 44.9)):
        part = cache._sound(clip.audio, spec, (start, end))["samples"]
        np.testing.assert_array_equal(part, whole[round(start * 16000) : round(end * 16000)])


def test_sound_alone_and_picture_alone_are_signals(clips, tmp_path):
    sound = SignalCache(SPEC, tmp_path).load(replace(clips[0], video=None))
    picture = SignalCache(SPEC, tmp_path).load(replace(clips[0], audio=None))
    assert sound.frames is None and sound.duration == len(sound.samples) / 16000
    assert picture.samples is None and len(picture.frames) > 4
    with pytest.raises(MediaError, match="no sound"):
        cache.decode(replace(clips[0], audio=None), replace(SPEC, size=None))


def test_files_that_differ_anywhere_are_distinguished(tmp_path):
    """Two files of one length that differ in a few samples, away from both ends and the middle."""
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 400_000).astype(np.float32)
    other = sound.copy()
    other[90_000:90_100] = 0
    loaded = []
    for name, samples in (("one.wav", sound), ("two.wav", other)):
        wavfile.write(tmp_path / name, 16000, samples)
        clip = Clip(name, "sad", "1", audio=tmp_path / name)
        loaded.append(SignalCache(replace(SPEC, size=None), tmp_path / "c").load(clip).samples)
    assert not np.array_equal(*loaded)


def test_a_file_is_hashed_once_and_again_when_it_changed(tmp_path, monkeypatch):
    path, folder = tmp_path / "a.wav", tmp_path / "c"
    spec, clip = replace(SPEC, size=None), Clip("a", "sad", "1", audio=path)
    wavfile.write(path, 16000, np.full(16000, 0.25, np.float32))
    first = SignalCache(spec, folder).load(clip)
    cache._content_once.cache_clear()  # as in another process
    monkeypatch.setattr(cache, "_BLOCK", "the file must not be read again")
    assert equal(first, SignalCache(spec, folder).load(clip))
    monkeypatch.undo()
    changed = path.stat()
    wavfile.write(path, 16000, np.full(16000, 0.5, np.float32))
    os.utime(path, ns=(changed.st_atime_ns, changed.st_mtime_ns))  # as a careless copy does
    assert SignalCache(spec, folder).load(clip).samples.max() == pytest.approx(0.5)


def test_other_weights_of_the_detector_are_other_crops(data, tmp_path, monkeypatch):
    published = data / "weights" / "face_detection_yunet_2023mar.onnx"
    monkeypatch.setenv("EMOTION_YUNET", str(published))
    spec = replace(SPEC, detector="yunet")
    first = spec.settings("video")
    other = tmp_path / "other.onnx"
    other.write_bytes(published.read_bytes() + b"\0")
    monkeypatch.setenv("EMOTION_YUNET", str(other))
    assert spec.settings("video") != first


def test_facts_are_read_without_the_arrays(clips, tmp_path, monkeypatch):
    signal = SignalCache(SPEC, tmp_path).load(clips[0])
    monkeypatch.setattr(cache, "load_file", None)
    facts = SignalCache(SPEC, tmp_path).facts
    assert facts(clips[0]) == Facts(signal.duration, True, True)
    sound = replace(clips[0], video=None)
    assert facts(sound) == Facts(len(signal.samples) / 16000, True, False)


def test_the_duration_is_measured_and_not_what_the_container_says(tmp_path, data):
    """A file cut short still says in its header how long it was."""
    path = write_video(tmp_path / "whole.mkv", np.arange(100) / 25)
    short = tmp_path / "short.mkv"
    short.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert media.probe(short).duration == pytest.approx(4, abs=0.1)
    read = [time for time, _ in media.read_frames(short)]
    assert media.length(short) == pytest.approx(read[-1] + 0.04, abs=0.05) and read[-1] < 3.5
    assert media.length(data / "media/no_duration_vp9.webm") > 1


def test_a_long_clip_is_looked_at_as_often_as_one_of_a_minute(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LONGEST", 1)
    still = scene(lambda _: True, step=0)
    path = write_video(tmp_path / "in.mp4", np.arange(300) / 30, size=(320, 240), draw=still)
    detector = SimpleNamespace(calls=0)

    def detect(frame):
        detector.calls += 1
        return white_square(frame)

    spec = replace(SPEC, sample_rate=None)
    signal = cache.decode(Clip("a", "sad", "1", video=path), spec, detector=detect)
    assert detector.calls <= 8 and signal.duration == pytest.approx(10, abs=0.1)


def _grey(path):
    with media.VideoWriter(path, rate=10) as writer:
        for index in range(10):
            writer.write(np.full((96, 96, 3), 128, np.uint8), index / 10)
    return path
