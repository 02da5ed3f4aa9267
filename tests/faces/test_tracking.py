"""Tracks: one identity a face, through gaps, behind others and past them."""

import numpy as np
import pytest
from stub import Stub
from videos import duet

from emotion.faces import detect, tracking
from emotion.inference import timeline


def boxes_at(*positions, side=40):
    return np.array([(x, 50, x + side, 50 + side, 1) for x in positions]).reshape(-1, 5)


def test_tracker_confirms_follows_and_outlives_gaps():
    tracker = tracking.Tracker(confirm=2, gap=2)
    assert tracker.update(boxes_at(100)) == [-1]
    assert tracker.update(boxes_at(300, 110)) == [-1, 0]
    assert tracker.update(boxes_at(125, 300)) == [0, 1]
    assert tracker.update(boxes_at()) == []
    assert tracker.update(boxes_at(290)) == [1]
    assert tracker.update(boxes_at(140, 295)) == [0, 1]
    for _ in range(3):
        tracker.update(boxes_at())
    assert tracker.update(boxes_at(140)) == [-1]
    assert tracker.update(boxes_at(140)) == [2]


def test_tracker_does_not_join_faces_of_other_size():
    tracker = tracking.Tracker(confirm=1)
    assert tracker.update(boxes_at(100, side=20)) == [0]
    assert tracker.update(boxes_at(90, side=60)) == [1]


def test_smoothing_takes_noise_out_and_does_not_reach_across_an_absence():
    rng, times = np.random.default_rng(0), np.arange(30) / 6
    raw = 100 + 3 * np.arange(30.0)
    noisy = raw[:, None] + rng.normal(0, 1, (30, 4))
    smoothed = tracking.smooth(times, noisy, 1 / 6)
    assert np.abs(smoothed - raw[:, None])[3:-3].std() < 0.6  # the noise put in has 1
    apart = tracking.smooth(np.r_[times[:15], times[15:] + 5], noisy, 1 / 6)
    np.testing.assert_allclose(apart[:15], tracking.smooth(times[:15], noisy[:15], 1 / 6))
    assert tracking.smooth(times[:1], noisy[:1], 1 / 6).tolist() == noisy[:1].tolist()


def test_motion_carries_a_face_through_a_gap():
    tracker = tracking.Tracker(confirm=1, gap=5)
    for i in range(10):
        assert tracker.update(boxes_at(100 + 12 * i)) == [0]
    for _ in range(4):
        tracker.update(boxes_at())
    assert tracker.update(boxes_at(100 + 12 * 14)) == [0]  # 60 pixels on, one and a half sides


def painted(*people, side=40):
    """A frame 600 wide with a square of two colours for each (x, hue); the boxes of the squares."""
    frame = np.full((140, 600, 3), 90, np.uint8)
    for x, hue in people:
        frame[50 : 50 + side, x : x + side] = np.roll((200, 120, 60), hue)
        frame[50 : 50 + side // 2, x : x + side] = np.roll((60, 30, 20), hue)
    return boxes_at(*(x for x, _ in people), side=side), frame


def test_a_lost_face_is_known_by_its_colours_wherever_it_comes_back():
    tracker = tracking.Tracker(confirm=1, gap=2, memory=20)
    assert tracker.update(*painted((100, 0), (300, 1))) == [0, 1]
    for _ in range(12):
        assert tracker.update(*painted((100, 0))) == [0]
    assert tracker.update(*painted((100, 0), (450, 2))) == [0, 2]
    assert tracker.update(*painted((100, 0), (450, 2), (250, 1))) == [0, 2, 1]
    assert tracker.same == {}


def test_a_lost_face_is_forgotten_after_a_while():
    tracker = tracking.Tracker(confirm=1, gap=2, memory=20)
    tracker.update(*painted((300, 1)))
    for _ in range(21):
        tracker.update(*painted())
    assert tracker.update(*painted((300, 1))) == [1]
    assert len(tracker._faces) == 1


def test_a_face_half_hidden_when_it_comes_back_is_known_later():
    tracker = tracking.Tracker(confirm=1, gap=2, memory=20)
    tracker.update(*painted((300, 1)))
    for _ in range(5):
        tracker.update(*painted())
    boxes, frame = painted((300, 1))
    frame[50:70, 300:340] = 230
    assert tracker.update(boxes, frame) == [1]
    assert tracker.update(*painted((300, 1))) == [0]
    assert tracker.same == {1: 0}


def test_another_face_in_the_same_place_is_another():
    tracker = tracking.Tracker(confirm=1, gap=2, memory=20)
    assert tracker.update(*painted((300, 0))) == [0]
    assert tracker.update(*painted((300, 1))) == [1]


def test_a_twin_who_stays_does_not_become_the_one_who_left():
    tracker = tracking.Tracker(confirm=1, gap=2, memory=20)
    tracker.update(*painted((100, 0)))
    assert tracker.update(*painted((100, 0), (170, 0))) == [0, 1]
    for _ in range(5):
        assert tracker.update(*painted((170, 0))) == [1]


def line(start, end, seconds=8):
    return lambda time: start + (end - start) * time / seconds


def there_and_back(start, end, seconds=8):
    return lambda time: start + (end - start) * (1 - abs(2 * time / seconds - 1))


# Where the middles of the two are, and what is hidden of the picture.
SCENES = {
    "hidden for two seconds": (line(180, 180), line(540, 540), (3, 5, 360, 720)),
    "both hidden for two seconds": (line(180, 180), line(540, 540), (3, 5, 0, 720)),
    "crossing": (line(130, 590), line(590, 130), None),
    "meeting and turning back": (there_and_back(130, 350), there_and_back(590, 370), None),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yunet", "haar"])
@pytest.mark.parametrize("scene", SCENES)
def test_two_real_faces_keep_their_identity(data, tmp_path, scene, name):
    *positions, hidden = SCENES[scene]
    path = duet(tmp_path / "duet.mp4", data, positions, hidden)
    weights = data / "weights" / "face_detection_yunet_2023mar.onnx"
    recognizer = Stub(detect.Detector(name, weights if name == "yunet" else None))
    result = timeline.analyse(path, recognizer)
    assert len(result.tracks) == 2
    for track, place in zip(sorted(result.tracks, key=lambda t: t.boxes[0, 0]), positions):
        assert track.indices[0] == 0 and track.indices[-1] == len(result.times) - 1
        middle = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
        assert np.abs(middle - place(result.times[track.indices])).max() < 60  # half a face
        assert (np.diff(track.indices) > 0).all()
    rows = [(p.start, p.track) for p in result.predictions]
    assert len(rows) == len(set(rows)) and {track for _, track in rows} - {None} == {1, 2}
    assert all(p.has_audio and p.has_face == (p.track is not None) for p in result.predictions)
