"""Overlay: boxes and cards on a frame."""

import av
import numpy as np
import pytest
from stub import LABELS

from emotion import media, plotting
from emotion.annotate import overlay
from emotion.annotate.overlay import Face

HAPPY = plotting.rgb(plotting.LOOKS["happy"][0])


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (320, 240), (240, 320), (161, 121)])
@pytest.mark.parametrize(
    "box", [(0.4, 0.3, 0.6, 0.7), (-0.1, -0.1, 0.2, 0.3), (0.7, 0.6, 1.1, 1.2)]
)
def test_draw_frame_is_pure_and_marks_box_and_card(size, box):
    frame = np.full((size[1], size[0], 3), 90, np.uint8)
    face = Face(np.array(box) * (*size, *size), "1", LABELS, np.array([0.1, 0.7, 0.2]))
    drawn = overlay.draw_frame(frame, [face], "from the picture alone")
    assert (frame == 90).all() and drawn.shape == frame.shape
    assert (drawn == HAPPY).all(axis=2).sum() > 20
    assert (drawn.min(axis=2) < 60).mean() > 0.02  # the card
    np.testing.assert_array_equal(
        drawn, overlay.draw_frame(frame, [face], "from the picture alone")
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (16, 9), (40, 30)])
def test_draws_on_frames_too_small_for_a_card(size):
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    face = Face(np.array([0, 0, *size], float), "1", LABELS, np.array([0.1, 0.7, 0.2]))
    assert overlay.draw_frame(frame, [face], "no face").shape == frame.shape


def test_planes_and_rgb_show_the_same():
    frame = np.full((240, 320, 3), 120, np.uint8)
    face = Face(np.array([60, 60, 140, 160.0]), "1", LABELS, np.array([0.1, 0.7, 0.2]))
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
    overlay.paint(media.planes(picture), [face], None, {}, {})
    difference = np.abs(
        picture.to_ndarray(format="rgb24").astype(int) - overlay.draw_frame(frame, [face])
    )
    assert difference.mean() < 4


def test_cards_of_two_faces_do_not_meet():
    frame = np.full((720, 1280, 3), 90, np.uint8)
    shares = np.array([0.1, 0.7, 0.2])
    boxes = [np.array([300, 200, 460, 400.0]), np.array([700, 200, 860, 400.0])]
    both = [Face(box, str(i), LABELS, shares) for i, box in enumerate(boxes)]
    alone = [(overlay.draw_frame(frame, [face]) != frame).any(axis=2) for face in both]
    together = (overlay.draw_frame(frame, both) != frame).any(axis=2)
    assert together.sum() >= 0.99 * (alone[0].sum() + alone[1].sum())


def test_box_bar_and_mark_have_the_colour_of_the_class_by_its_name():
    frame = np.full((360, 640, 3), 90, np.uint8)
    for names in (("neutral", "calm", "happy", "sad"), ("happy", "bored")):
        shares = np.array([0.7 if name == "happy" else 0.1 for name in names])
        card = overlay.draw_frame(frame, [Face(None, "1", names, shares)])
        face = Face(np.array([10, 10, 60, 60.0]), "1", names, shares)
        for drawn in (card, overlay.draw_frame(frame, [face])):
            there = {tuple(colour) for colour in drawn.reshape(-1, 3)}
            assert {plotting.rgb(colour) for colour, _ in plotting.looks(names)} <= there
        assert (overlay.draw_frame(frame, [face])[10, 10:60] == HAPPY).all()
