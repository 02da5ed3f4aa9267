"""Storyline: the picture of a whole recording, by what the SVG says."""

import re
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex

from emotion import plotting
from emotion.annotate import timeline_plot
from emotion.clip import MediaError, Prediction
from emotion.data import labels
from emotion.data.corpora import crema_d
from emotion.faces.tracking import Track
from emotion.inference.timeline import Timeline
from emotion.media.decode import Info


def story(windows, names=labels.RAVDESS, duration=30.0):
    """A Timeline with a prediction of 3 s for each (start, track); the third has no sound."""
    shares = np.full(len(names), 1 / len(names), np.float32)
    result = [
        Prediction(start, start + 3, names, shares.copy(), track != 3, track is not None, track)
        for start, track in windows
    ]
    ids = {track for _, track in windows} - {None}
    tracks = [Track(id, np.arange(2), np.zeros((2, 4))) for id in ids]
    info = Info(Path("in.mp4"), duration, True, True)
    return Timeline(info, names, duration, np.arange(2), tracks, result)


def words(path):
    return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))


def test_each_person_and_each_class_is_named_once(tmp_path):
    path = tmp_path / "story.svg"
    timeline_plot.draw(story([(0, 1), (0, 2), (1, 1), (1, 3), (9, None)]), path)
    result = words(path)
    for text in ("in.mp4", "face 1", "face 2", "face 3", "no face", "sound not used"):
        assert result.count(text) == 1, text
    assert all(result.count(name) == 1 for name in labels.RAVDESS)
    assert [file.name for file in tmp_path.iterdir()] == ["story.svg"]


@pytest.fixture
def shown():
    """axes(timeline): the rows of its picture."""
    return lambda timeline: timeline_plot.plot(timeline).axes


def pieces(axes):
    """Of each line, of how many points each unbroken piece is; all lines are broken alike."""
    lines = [line.get_ydata() for line in axes.lines if line.get_linestyle() != "None"]
    (broken,) = {tuple(np.isnan(values)) for values in lines}
    return [len(part) for part in "".join(" " if away else "x" for away in broken).split()]


def dots(axes):
    return [line for line in axes.lines if line.get_linestyle() == "None"]


def test_a_line_is_broken_only_where_the_face_is_away(shown):
    # The last window ends with the recording: a shorter step, which is no measure of the others.
    regular = [2 / 3 * i for i in range(10)]
    for starts, expected in (
        (regular, [10]),
        ([*regular, 6.01], [11]),
        ([*regular[:4], *regular[6:], 6.01], [4, 5]),
        ([*regular[:4], regular[6], *regular[8:]], [4, 1, 2]),
        ([0, 0.1], [2]),
        ([0], [1]),
    ):
        (axes,) = shown(story([(start, 1) for start in starts]))
        assert pieces(axes) == expected
        assert len(dots(axes)) == (8 if 1 in expected else 0)  # a point by itself is no line


def test_who_is_there_seldom_is_away_between(shown):
    windows = [(start, 1) for start in range(12)] + [(start, 2) for start in (2, 6, 10)]
    first, second = shown(story(sorted(windows)))
    assert pieces(first) == [12] and pieces(second) == [1, 1, 1]


def test_each_class_has_the_colour_of_its_name(shown):
    for names in (labels.RAVDESS, crema_d.LABELS, ("happy", "other")):
        windows = [(start, 1) for start in (0, 1, 2)]
        (axes,) = shown(story(windows, names))
        expected = {name: colour for name, (colour, _) in zip(names, plotting.looks(names))}
        assert {line.get_label(): line.get_color() for line in axes.lines} == expected
        strip = next(item for item in axes.collections if isinstance(item, PolyCollection))
        assert to_hex(strip.get_facecolor()[0]).upper() == expected[names[0]]


def test_an_hour_is_averaged_in_lanes(shown):
    windows = [(2 / 3 * i, 1) for i in range(5396) if not 900 <= i < 1200]
    (axes,) = shown(story(windows, duration=3600))
    assert axes.lines[:] == []  # neither lines, which would hide each other, nor dots
    lanes = {
        item.get_label(): item for item in axes.collections if item.get_label() in labels.RAVDESS
    }
    for (name, lane), (colour, _) in zip(
        lanes.items(), plotting.looks(labels.RAVDESS), strict=True
    ):
        assert to_hex(lane.get_facecolor()[0]).upper() == colour
        before, after = (path.vertices for path in lane.get_paths())
        assert before[:, 0].max() == 610 and after[:, 0].min() == 800
        assert np.ptp(before[:, 1]) == pytest.approx(1 / 64)  # 1 / 8 of a lane of 1 / 8
        place = next(t for t in axes.get_yticklabels() if t.get_text() == name).get_position()[1]
        assert before[:, 1].min() < place < before[:, 1].min() + 1 / 8
    assert "means over 10 s" in axes.get_xlabel()
    assert axes.xaxis.get_major_formatter()(1230, 0) == "20:30"


def test_a_block_of_the_strip_is_as_long_as_its_class(shown):
    timeline = story([(start, 1) for start in (0, 1, 2, 3, 9)], ("sad", "happy"))
    for item, row in zip(timeline.predictions, np.eye(2)[[0, 0, 1, 1, 1]]):
        item.probabilities[:] = row
    (axes,) = shown(timeline)
    blocks = [item for item in axes.collections if isinstance(item, PolyCollection)]
    spans = [np.array([p.vertices[:, 0] for p in item.get_paths()]) for item in blocks]
    assert [(item.min(), item.max()) for item in spans] == [(1, 3), (3, 5), (10, 11)]
    assert [text.get_text() for text in axes.texts] == ["sad", "happy"]  # where it has room


def test_the_legend_names_all_and_hides_nothing(shown):
    for count in (2, 40):
        names = tuple(f"a long name of class {index}" for index in range(count))
        axes = shown(story([(0, 1), (1, 1), (2, 3)], names))
        figure = axes[0].figure
        (legend,) = figure.legends
        figure.draw_without_rendering()
        box = legend.get_window_extent()
        assert len(legend.get_texts()) == count + 1  # and "sound not used"
        assert not any(box.overlaps(item.get_window_extent()) for item in axes)
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 + 1


@pytest.mark.parametrize("windows", [[], [(0, None)], [(0, 1)]])
def test_little_to_show_is_still_a_picture(tmp_path, windows):
    timeline_plot.draw(story(windows), tmp_path / "story.png")
    with av.open(str(tmp_path / "story.png")) as file:
        assert next(file.decode(video=0)).width == 1650


def test_refuses_other_suffixes_and_paths(tmp_path):
    with pytest.raises(ValueError, match=r"\.png or \.svg.*story\.pdf"):
        timeline_plot.draw(story([]), tmp_path / "story.pdf")
    with pytest.raises(MediaError, match="cannot be written"):
        timeline_plot.draw(story([]), tmp_path / "nowhere" / "story.png")


def test_names_are_no_formulas(tmp_path):
    """matplotlib would read $...$ as mathematics, and fail on half of one."""
    timeline = story([(0, 1), (1, 1)], names=("$a", "$b$", "{\\"))
    timeline = replace(timeline, info=replace(timeline.info, path=Path("pay $5 in {4$ \\frac.mp4")))
    timeline_plot.draw(timeline, tmp_path / "story.svg")
    assert "pay $5 in {4$ \\frac.mp4" in words(tmp_path / "story.svg")


def test_of_a_crowd_the_twenty_faces_that_stay_longest_are_drawn(tmp_path):
    windows = [(start, track) for track in range(1, 231) for start in range(1 + track % 23)]
    timeline_plot.draw(story(windows, duration=60.0), tmp_path / "story.svg")
    text = words(tmp_path / "story.svg")
    faces = {int(word[5:]) for word in text if re.fullmatch(r"face \d+", word)}
    assert len(faces) == 20 and {track % 23 for track in faces} == {21, 22}
    assert "in.mp4 (20 of 230 faces)" in text
    windows += [(start, None) for start in range(30)]  # a voice, whose row is no face
    timeline_plot.draw(story(windows, duration=60.0), tmp_path / "story.svg")
    assert "in.mp4 (19 of 230 faces)" in words(tmp_path / "story.svg")
