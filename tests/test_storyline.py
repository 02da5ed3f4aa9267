"""Storyline: the picture of a whole recording, by what the SVG says."""

import re
from pathlib import Path

import av
import numpy as np
import pytest

from emotion import labels, storyline
from emotion.clip import MediaError, Prediction
from emotion.streams import Info
from emotion.timeline import Timeline
from emotion.tracks import Track


def story(windows, names=labels.RAVDESS):
    """A Timeline with a prediction of 3 s for each (start, track); the third has no sound."""
    shares = np.full(len(names), 1 / len(names), np.float32)
    found = [
        Prediction(start, start + 3, names, shares, track != 3, track is not None, track)
        for start, track in windows
    ]
    ids = {track for _, track in windows} - {None}
    tracks = [Track(id, np.arange(2), np.zeros((2, 4))) for id in ids]
    return Timeline(Info(Path("in.mp4"), 30, True, True), names, 30.0, np.arange(2), tracks, found)


def words(path):
    return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))


def test_each_person_and_each_class_is_named_once(tmp_path):
    path = tmp_path / "story.svg"
    storyline.draw(story([(0, 1), (0, 2), (1, 1), (1, 3), (9, None)]), path)
    found = words(path)
    for text in ("in.mp4", "face 1", "face 2", "face 3", "no face", "without sound"):
        assert found.count(text) == 1, text
    assert all(found.count(name) == 1 for name in labels.RAVDESS)
    assert [file.name for file in tmp_path.iterdir()] == ["story.svg"]


def test_a_line_is_broken_where_the_face_is_away(tmp_path):
    def moves(windows):
        path = tmp_path / "story.svg"
        storyline.draw(story(windows, ("a", "b")), path)
        (line,) = re.findall(r'<path d="([^"]*)"[^>]*stroke: #0072b2[^>]*>', path.read_text())[:1]
        return line.count("M")

    assert moves([(start, 1) for start in (0, 1, 2, 3, 4)]) == 1
    assert moves([(start, 1) for start in (0, 1, 2, 9, 10)]) == 2


@pytest.mark.parametrize("windows", [[], [(0, None)], [(0, 1)]])
def test_little_to_show_is_still_a_picture(tmp_path, windows):
    storyline.draw(story(windows), tmp_path / "story.png")
    with av.open(str(tmp_path / "story.png")) as file:
        assert next(file.decode(video=0)).width == 1650


def test_refuses_other_suffixes_and_places(tmp_path):
    with pytest.raises(ValueError, match=r"\.png or \.svg.*story\.pdf"):
        storyline.draw(story([]), tmp_path / "story.pdf")
    with pytest.raises(MediaError, match="cannot be written"):
        storyline.draw(story([]), tmp_path / "nowhere" / "story.png")
