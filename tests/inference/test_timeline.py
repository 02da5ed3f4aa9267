"""Timeline: what is followed, heard and predicted along a recording; the recogniser is a stub."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import wavfile
from stub import NTSC, Stub, moving, white_square
from videos import onset, tone

from emotion import media
from emotion.annotate import render
from emotion.clip import MediaError
from emotion.inference.recognizer import Recognizer
from emotion.inference.timeline import analyse, moment


def test_windows_hold_what_was_visible_and_audible(tmp_path):
    path = moving(tmp_path, sound=(tone(3, clicks=(1.5,)), 16000))
    stub = Stub(white_square)
    timeline = analyse(path, stub, window=1.0, hop=0.5)
    starts = [prediction.start for prediction in timeline.predictions]
    assert starts == pytest.approx([0, 0.5, 1, 1.5, 2], abs=1e-6)
    assert [track.id for track in timeline.tracks] == [1]
    for start, signal in zip(starts, stub.signals, strict=True):
        assert len(signal.samples) == 16000 and signal.duration == pytest.approx(1)
        assert signal.frames.shape[1:] == (32, 32, 3) and 5 <= len(signal.frames) <= 7
        assert len(signal.times) == len(signal.frames)
        assert 0 <= signal.times[0] and signal.times[-1] < 1 and (np.diff(signal.times) > 0).all()
        if 0.2 < 1.5 - start < 0.8:
            assert onset(signal.samples, 16000) == pytest.approx(1.5 - start, abs=0.005)


def test_a_short_recording_is_one_window(tmp_path):
    path = moving(tmp_path, times=NTSC[:20])
    (prediction,) = analyse(path, Stub(white_square)).predictions
    assert (prediction.start, prediction.end) == (0, pytest.approx(20 * 1001 / 30000, abs=0.01))
    assert prediction.has_face and not prediction.has_audio


@pytest.mark.parametrize(("window", "hop"), [(0, 1), (2, 3), (2, 0), (-1, 1), (2, float("nan"))])
def test_refuses_a_wrong_window_or_hop(tmp_path, window, hop):
    with pytest.raises(ValueError, match="Received"):
        analyse(tmp_path / "any.mp4", Stub(white_square), window, hop)


def test_sound_outlasting_the_picture_is_predicted(tmp_path):
    path = moving(tmp_path, times=NTSC[:45], sound=(tone(4), 16000))
    timeline = analyse(path, Stub(white_square))
    assert timeline.duration == pytest.approx(4, abs=0.07)
    assert [p.label for p in timeline.predictions][0] == "happy"
    assert timeline.predictions[-1].label == "sad" and timeline.predictions[-1].track is None


def test_a_run_of_one_modality_uses_that_alone(tmp_path):
    path = moving(tmp_path, sound=(tone(3), 16000))
    (without_audio,) = {p.has_audio for p in analyse(path, Stub(white_square, "video")).predictions}
    without_video = Stub(white_square, "audio")
    without_video.detector = None
    (has_face,) = {p.has_face for p in analyse(path, without_video).predictions}
    assert not without_audio and not has_face
    with pytest.raises(MediaError, match="has no sound"):
        analyse(moving(tmp_path), without_video)


@pytest.mark.parametrize("individual", [None, (tone(3, clicks=(2.0,)), 16000)])
@pytest.mark.parametrize("late", [0.0, 0.5])
def test_sound_of_another_file_begins_with_the_first_frame(tmp_path, individual, late):
    # Where the picture comes late on the file's clock, its own sound began before it.
    path = moving(tmp_path, sound=individual, video_at=late)
    wavfile.write(tmp_path / "s.wav", 16000, tone(4, clicks=(1.0,)))
    stub = Stub(white_square)
    timeline = analyse(path, stub, window=1.5, sound=tmp_path / "s.wav")
    assert onset(stub.signals[0].samples, 16000) == pytest.approx(1.0, abs=0.005)
    assert timeline.duration == pytest.approx(4, abs=0.01)  # the sound is longer than the picture
    assert timeline.sound == tmp_path / "s.wav" and analyse(path, stub).sound is None
    signal = moment(path, stub, timeline.predictions[0], tmp_path / "s.wav")
    np.testing.assert_array_equal(signal.samples, stub.signals[0].samples)


def test_a_sound_shorter_than_the_picture_ends_before_it(tmp_path):
    wavfile.write(tmp_path / "s.wav", 16000, tone(1.2))
    path = moving(tmp_path, sound=(tone(3), 16000))
    timeline = analyse(path, Stub(white_square), window=1.0, sound=tmp_path / "s.wav")
    assert timeline.duration == pytest.approx(3, abs=0.05)
    assert [timeline.predictions[i].has_audio for i in (0, -1)] == [True, False]


def test_refuses_what_is_no_sound_and_what_has_no_picture(tmp_path, data):
    silent, sine = moving(tmp_path), data / "media/sine.wav"
    for video, sound, reason in (
        (silent, silent, "in.mp4 has no sound"),
        (sine, sine, "sine.wav has no picture"),
    ):
        with pytest.raises(MediaError, match=reason):
            analyse(video, Stub(white_square), sound=sound)
    with pytest.raises(FileNotFoundError, match="none.wav"):
        analyse(silent, Stub(white_square), sound=tmp_path / "none.wav")


@pytest.mark.parametrize("stage", ["analysing", "writing"])
def test_work_that_is_broken_off_leaves_no_file_open(tmp_path, stage):
    path = moving(tmp_path, sound=(tone(3), 16000))

    def leave(now, done, whole):
        if now == stage and done > 1:
            raise InterruptedError

    # The error holds the frames of the functions, and what they have opened.
    with pytest.raises(InterruptedError) as error:
        timeline = analyse(path, Stub(white_square), progress=leave)
        render.write_annotated(timeline, tmp_path / "out.mp4", leave)
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [link for link in links if link.exists() and link.samefile(path)], error


def test_a_face_visible_once_is_not_followed(tmp_path):
    path = moving(tmp_path, lambda i: i in (40, 41, 42))
    timeline = analyse(path, Stub(white_square))
    assert timeline.tracks == [] and timeline.predictions == []


def test_real_face_is_boxed_tightly(data, tmp_path):
    path = data / "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4"
    timeline = analyse(path, Stub())
    (track,) = timeline.tracks
    frame = next(iter(media.read_frames(path)))[1]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    x1, y1, x2, y2 = track.boxes.mean(axis=0)
    assert abs((x1 + x2) / 2 - 640) < 40 and 200 < x2 - x1 < 420
    assert gray[int(y1) : int(y2), int(x1) : int(x2)].mean() < 200  # the background is white
    assert len(track.indices) == len(timeline.times) == pytest.approx(20, abs=3)


@pytest.mark.slow
def test_a_moment_is_what_was_predicted(trained, recording):
    recognizer = Recognizer(trained.folder)
    result = analyse(recording, recognizer, window=0.8, hop=0.4).predictions
    assert len(result) > 2
    for item in result:
        signal = moment(recording, recognizer, item)
        np.testing.assert_allclose(recognizer.predict([signal])[0], item.probabilities, atol=1e-5)
