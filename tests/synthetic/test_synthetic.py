"""The synthetic corpus: its layout, its seed, and what of it can be seen, heard and told apart."""

import os
import time
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
from scipy.io import wavfile

from emotion import media
from emotion.data import feature_tables
from emotion.data.corpora import ravdess
from emotion.data.labels import RAVDESS
from emotion.faces import detect
from emotion.synthetic import generate, voice
from emotion.synthetic.expression import Look
from emotion.synthetic.face import Painter, random_face
from emotion.synthetic.voice import SAMPLE_RATE, Manner


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return generate.write(tmp_path_factory.mktemp("corpus"), 2, 1, jobs=1, progress=False)


def files(root):
    return {
        path.relative_to(root): path.read_bytes() for path in root.rglob("*.*") if path.is_file()
    }


def test_corpus_has_the_names_and_folders_of_ravdess(corpus):
    clips = ravdess.clips(corpus)
    assert Counter(clip.label for clip in clips) == dict.fromkeys(RAVDESS, 2)
    assert {(clip.speaker, clip.info["sex"]) for clip in clips} == {
        ("01", "male"),
        ("02", "female"),
    }
    for clip in clips:
        assert clip.audio.parent == corpus / "audios" / f"Actor_{clip.speaker}"
        assert clip.video.parent == corpus / "videos" / f"Actor_{clip.speaker}"


def test_sound_and_picture_decode_and_last_equally_long(corpus):
    clip = ravdess.clips(corpus)[0]
    samples = media.read_samples(clip.audio, SAMPLE_RATE)
    times, frames = zip(*media.read_frames(clip.video), strict=True)
    assert np.abs(samples).max() > 0.05
    assert frames[0].shape == (generate.SIDE, generate.SIDE, 3)
    np.testing.assert_allclose(np.diff(times), 1 / 15, atol=1e-3)
    assert len(samples) / SAMPLE_RATE == pytest.approx(len(frames) / 15, abs=1 / 15)


def test_a_seed_makes_the_same_bytes_and_another_seed_others(corpus, tmp_path):
    same = generate.write(tmp_path / "same", 1, 1, jobs=1, progress=False)
    other = generate.write(tmp_path / "other", 1, 1, seed=1, jobs=1, progress=False)
    expected = files(same)
    whole = files(corpus)
    assert expected.items() < whole.items() and len(expected) == 1 + 8 * 3
    changed = files(other)
    assert changed.keys() == expected.keys()
    assert all(changed[name] != expected[name] for name in expected)


def test_what_is_there_is_stored_and_what_is_missing_is_written(tmp_path):
    root = generate.write(tmp_path / "kept", 1, 1, jobs=1, progress=False)
    before = files(root)
    lost, *stored = (path for path in root.rglob("*.*4"))
    lost.unlink()
    past = time.time() - 1000
    for path in stored:
        os.utime(path, (past, past))
    generate.write(root, 1, 1, jobs=1, progress=False)
    assert files(root) == before
    assert all(path.stat().st_mtime == pytest.approx(past, abs=1) for path in stored)


def test_other_recordings_are_left_alone(corpus, tmp_path):
    (tmp_path / "audios").mkdir()
    with pytest.raises(ValueError, match="other recordings"):
        generate.write(tmp_path, 1, 1)
    with pytest.raises(ValueError, match="choose another folder"):
        generate.write(corpus, 1, 1, seed=5)
    with pytest.raises(ValueError, match="`speakers` must be between 1 and 24. Received: 30"):
        generate.write(tmp_path, speakers=30)
    with pytest.raises(ValueError, match="`takes`.*Received: 0"):
        generate.write(tmp_path, takes=0)
    assert [path.name for path in tmp_path.iterdir()] == ["audios"]


def test_each_modality_is_ambiguous_and_both_together_are_not():
    looks, manners = zip(*generate.EMOTIONS.values(), strict=True)
    assert tuple(generate.EMOTIONS) == RAVDESS
    assert len(set(zip(looks, manners, strict=True))) == 8
    assert len(set(looks)) == 5 and len(set(manners)) == 4
    assert max(Counter(looks).values()) == max(Counter(manners).values()) == 2


def test_emotions_of_one_group_share_what_is_visible_or_audible():
    """Same random numbers, same group: the very same pictures, or the very same sound."""

    def act(emotion):
        return generate.perform(3, emotion, 2, 1, np.random.default_rng(0))

    has_face, has_audio = defaultdict(list), defaultdict(list)
    for emotion, (look, manner) in generate.EMOTIONS.items():
        samples, poses = act(emotion)
        has_face[look].append(poses)
        has_audio[manner].append(samples)
    for group in has_face.values():
        assert all(poses == group[0] for poses in group)
    for group in has_audio.values():
        assert all(np.array_equal(samples, group[0]) for samples in group)
    firsts = [group[0] for group in has_audio.values()]
    assert len({samples.tobytes() for samples in firsts}) == 4


def test_faces_are_detected_by_haar(corpus):
    detector = detect.Detector("haar")
    result = [
        len(detector(frame)) == 1
        for clip in ravdess.clips(corpus)
        for _, frame in media.read_frames(clip.video, np.arange(0, 2, 0.25))
    ]
    assert np.mean(result) >= 0.95


def test_faces_are_detected_by_yunet(corpus, data):
    detector = detect.Detector("yunet", data / "weights" / "face_detection_yunet_2023mar.onnx")
    for clip in ravdess.clips(corpus):
        assert all(len(detector(f)) == 1 for _, f in media.read_frames(clip.video, [0.0, 1.0]))


def test_lips_follow_the_voice():
    samples, poses = generate.perform(1, "neutral", 1, 1, np.random.default_rng(4))
    mouth = np.array([pose["look"].open for pose in poses])
    blocks = np.array_split(samples, len(poses))
    loudness = [np.log10(np.sqrt((block**2).mean()) + 1e-3) for block in blocks]
    assert np.corrcoef(mouth, loudness)[0, 1] > 0.6
    assert min(pose["look"].lid for pose in poses) < -0.5  # a blink


@pytest.mark.parametrize(
    ("change", "measure"),
    [
        ({"pitch": 6.0}, lambda s: _pitch(s)),
        ({"loudness": 6.0}, lambda s: np.sqrt(np.mean(s**2))),
        ({"tilt": 12.0}, lambda s: _brightness(s)),
    ],
)
def test_a_manner_is_audible(change, measure):
    throat = voice.throat(np.random.default_rng(0), female=False)
    plain, changed = (
        voice.speak(throat, manner, "1", np.random.default_rng(1))[0]
        for manner in (Manner(), Manner(**change))
    )
    assert measure(changed) > 1.2 * measure(plain)


def _pitch(samples):
    part = samples[20000:24000]
    echo = np.correlate(part, part, "full")[len(part) :]
    return SAMPLE_RATE / (60 + np.argmax(echo[60:300]))


def _brightness(samples):
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    return power[(hertz > 1500) & (hertz < 3000)].sum() / power[hertz < 700].sum()


def test_expressions_change_the_part_of_the_face_they_name():
    painter = Painter(random_face(np.random.default_rng(0), female=True), 160, 160, 46.0)
    rest = painter.draw(Look()).astype(int)

    def rows(look):
        changed = np.abs(painter.draw(look) - rest).sum(axis=(1, 2)).astype(float)
        return (changed * np.arange(160)).sum() / changed.sum()

    level = 0.46 * 160
    assert rows(Look(lid=-1)) < level
    assert rows(Look(inner=0.1, outer=0.1)) < level - 10
    assert rows(Look(corner=0.1)) > level + 15
    assert rows(Look(open=0.1)) > level + 20


def test_action_units_say_what_was_drawn_and_leave_emotions_as_ambiguous(corpus):
    clips = feature_tables.join(ravdess.clips(corpus), corpus / "action_units")
    means = {
        (clip.speaker, clip.label): feature_tables.values(clip.table, clip.id)["action_units"].mean(
            axis=0
        )
        for clip in clips
    }
    assert len(means) == 16
    unit = feature_tables.ACTION_UNITS.index
    for (_, emotion), mean in means.items():
        look = generate.EMOTIONS[emotion][0]
        assert (mean[unit("AU12_r")] > 1.5) == (look == "smile")
        assert (mean[unit("AU09_r")] > 1.0) == (look == "frown")
        assert (mean[unit("AU05_r")] > 1.0) == (look == "wide")
        assert (mean[unit("AU15_r")] > 1.0) == (look == "droop")
        assert 0 <= mean.min() and mean.max() <= 5


@pytest.mark.slow
def test_demo_clip_has_sound_and_lasts_as_long(tmp_path):
    path = tmp_path / "demo.mp4"
    generate.write_demo_clip(path, emotions=("happy", "sad"))
    info = media.probe(path)
    assert (info.width, info.height, info.rate) == (640, 480, Fraction(25))
    assert info.audio and info.duration == pytest.approx(8, abs=0.1)
    assert [file.name for file in tmp_path.iterdir()] == ["demo.mp4"]


def test_sound_files_are_plain_16_bit(corpus):
    rate, samples = wavfile.read(next((corpus / "audios").rglob("*.wav")))
    assert rate == SAMPLE_RATE and samples.dtype == np.int16 and samples.ndim == 1
