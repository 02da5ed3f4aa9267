"""Draws face boxes, labels and probability bars on RGB arrays or on YUV planes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import cv2
import numpy as np

from emotion import plotting
from emotion.clip import UNCERTAIN

if TYPE_CHECKING:
    from emotion.clip import Prediction

CARD = (16, 18, 24)
OPACITY = 0.9
TEXT, PALE, TROUGH = (250, 250, 250), (176, 181, 190), (40, 43, 50)


@dataclass(frozen=True, eq=False)
class Face:
    """A face to draw: its box and its prediction at one moment.

    Attributes:
        box: float array (4,), xyxy in pixels; None draws the card alone, in the lower left corner.
        name: str, first text of the card, such as "1" for track 1.
        labels: tuple of str, class names.
        probabilities: float array (classes,), or None without a prediction.
        uncertain: bool, whether the card names no class.
    """

    box: np.ndarray | None
    name: str
    labels: tuple = ()
    probabilities: np.ndarray | None = None
    uncertain: bool = False

    @property
    def label(self) -> str | None:
        """str, the most probable class or UNCERTAIN; None without a prediction."""
        if self.probabilities is None:
            return None
        return UNCERTAIN if self.uncertain else self.labels[int(np.argmax(self.probabilities))]


def compose(
    tracked: list[tuple[np.ndarray, int, Prediction | None]],
    alone: Prediction | None,
    pictured: bool,
) -> tuple[list[Face], str | None]:
    """Decides what is drawn on a frame, for recordings and for live video.

    Args:
        tracked: list of (box, track id, Prediction or None), the visible faces.
        alone: Prediction at this time that belongs to no face, or None.
        pictured: bool, whether the model uses faces.

    Returns:
        (faces, note): list of Face, and str for the lower left corner or None.
    """
    if tracked:
        has_audio = all(prediction is None or prediction.has_audio for *_, prediction in tracked)
        faces = [_face(box, str(id), prediction) for box, id, prediction in tracked]
        return faces, None if has_audio else "from the picture alone"
    if alone is not None:
        prefix = "no face: " if pictured else ""
        return [_face(None, f"{prefix}{_sources(alone)}", alone)], None
    return [], "no face" if pictured else None


def _face(box, name, prediction):
    if prediction is None:
        return Face(box, name)
    shown = prediction.labels, prediction.probabilities, prediction.uncertain
    return Face(box, name, *shown)


def _sources(prediction):
    """Names the inputs of a prediction without a visible face."""
    if not prediction.has_face:
        return "from sound alone"
    return "from sound and action units" if prediction.has_audio else "from action units alone"


def draw_frame(frame: np.ndarray, faces: list[Face], note: str | None = None) -> np.ndarray:
    """Draws faces on a copy of a frame.

    Args:
        frame: uint8 array (h, w, 3), RGB.
        faces: list of Face.
        note: str for the lower left corner, or None.

    Returns:
        uint8 array (h, w, 3), RGB.

    >>> face = Face(np.array([80.0, 60, 160, 140]), "1", ("happy", "sad"), np.array([0.9, 0.1]))
    >>> draw_frame(np.zeros((240, 320, 3), np.uint8), [face]).shape
    (240, 320, 3)
    """
    drawn = frame.copy()
    paint((drawn,), faces, note, {}, {})
    return drawn


def paint(
    planes: tuple[np.ndarray, ...],
    faces: list[Face],
    note: str | None,
    cards: dict,
    positions: dict,
    status: str | None = None,
) -> None:
    """Draws faces in place; only pixels of box edges and cards change.

    Args:
        planes: (frame,) uint8 (h, w, 3) RGB, or (Y, U, V) uint8 with U and V of half the size.
        faces: list of Face.
        note: str or None.
        cards: dict of rendered cards, passed from frame to frame as a cache.
        positions: dict of the place of each face's card, passed from frame to frame.
        status: str for the upper left corner, on top, or None.
    """
    height, width = planes[0].shape[:2]
    crowd = 1.0 if len(faces) < 3 else 0.75
    size = max(10, round(crowd * min(height, 0.75 * width) / 38))
    line = 2 * max(1, round(size / 12))  # also the room between a card and what is next to it
    blocked = [face.box for face in faces if face.box is not None]
    for face in faces:
        if face.box is not None:
            _outline(planes, face.box, _colour(face), line)
    for face in faces:
        options = [_card(face, size, look, len(planes), cards) for look in ("full", "slim", "tag")]
        place = _place(face, options, (height, width), blocked, line, positions.get(face.name))
        if place is not None:
            look, x, y, positions[face.name] = place
            _stamp(planes, options[look], x, y)
            high, wide = options[look][0][1].shape[:2]
            blocked.append(np.array((x, y, x + wide, y + high)))
    for text, low in ((note, True), (status, False)):
        if text:
            card = _card(Face(None, text), size, "tag", len(planes), cards)
            high, wide = card[0][1].shape[:2]
            if high + line <= height and wide + line <= width:
                y = height - high - line if low else line
                _stamp(planes, card, line, y // 2 * 2)


def _colour(face):
    if face.label in (None, UNCERTAIN):
        return PALE
    return _class_colours(face.labels)[int(np.argmax(face.probabilities))]


def _class_colours(labels):
    return [plotting.rgb(colour) for colour, _ in plotting.looks(tuple(labels))]


def _outline(planes, box, colour, line):
    height, width = planes[0].shape[:2]
    x1, x2 = (int(np.clip(value, 0, width)) // 2 * 2 for value in box[[0, 2]])
    y1, y2 = (int(np.clip(value, 0, height)) // 2 * 2 for value in box[[1, 3]])
    if x2 - x1 <= 2 * line or y2 - y1 <= 2 * line:
        return
    values = [colour] if len(planes) == 1 else _yuv(np.full((2, 2, 3), colour, np.uint8))
    for plane, value in zip(planes, values, strict=True):
        half = 1 + (plane.shape[0] < height)
        value = value if len(planes) == 1 else value[0, 0]
        left, top, right, bottom, t = (side // half for side in (x1, y1, x2, y2, line))
        plane[top : top + t, left:right] = value
        plane[bottom - t : bottom, left:right] = value
        plane[top:bottom, left : left + t] = value
        plane[top:bottom, right - t : right] = value


def _place(face, options, shape, blocked, line, last):
    """The cheapest (look, x, y, key) that lies inside the frame, or None."""
    height, width = shape
    best, lowest = None, np.inf
    for look, card in enumerate(options):
        high, wide = card[0][1].shape[:2]
        right, bottom = width - wide - line, height - high - line
        if right < line or bottom < line:
            continue
        if face.box is None and look < 2 and high * wide > 0.4 * height * width:
            continue  # a chart without a face must not hide the picture
        if face.box is None:
            return look, line, bottom // 2 * 2, (look, 0)
        x1, y1, x2, y2 = face.box
        spots = [(x2 + line, y1), (x1 - wide - line, y1), (x1, y2 + line), (x1, y1 - high - line)]
        spots += [(right, y1), (line, y1), (x1, bottom), (x1, line)]
        for spot, (x, y) in enumerate(spots):
            x, y = (
                int(np.clip(value, line, limit)) // 2 * 2
                for value, limit in ((x, right), (y, bottom))
            )
            area = sum(
                max(0, min(x + wide, b[2]) - max(x, b[0]))
                * max(0, min(y + high, b[3]) - max(y, b[1]))
                for b in blocked
            )
            gap = max(0, x - x2, x1 - x - wide) + max(0, y - y2, y1 - y - high)
            # A chart may cover a fifth of its own area; moving about is not worth a little less.
            cost = 2.5 * area / (high * wide) + gap / wide + (0, 0.1, 0.5)[look] + 0.01 * spot
            cost -= 0.2 if last == (look, spot) else 0
            if cost < lowest:
                best, lowest = (look, x, y, (look, spot)), cost
    return best


def _stamp(planes, card, x, y):
    for plane, (keep, colour) in zip(planes, card, strict=True):
        half = 1 + (plane.shape[0] < planes[0].shape[0])
        height, width = colour.shape[:2]
        target = plane[y // half :, x // half :][:height, :width]
        target[:] = (target * keep + colour) >> 8


def _card(face, size, look, count, cards):
    """A rendered card: for each of `count` planes (256 - alpha, colour * alpha), both uint16."""
    shares = None if face.probabilities is None else tuple(np.round(100 * face.probabilities))
    key = (face.name, face.label, shares, size, look, count)
    if key not in cards:
        if len(cards) > 64:  # a long recording must not gather them
            cards.clear()
        image, alpha = _render(face, shares, size, look)
        parts = [(image, alpha[..., None])]
        if count == 3:
            small = cv2.resize(alpha, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            parts = list(zip(_yuv(image), (alpha, small, small), strict=True))
        cards[key] = [
            (256 - part_alpha.astype(np.uint16), part.astype(np.uint16) * part_alpha)
            for part, part_alpha in parts
        ]
    return cards[key]


def _yuv(image):
    """Y (h, w), U and V (h / 2, w / 2) of an RGB image of even size, BT.601 in video range."""
    height, width = image.shape[:2]
    flat = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    half = flat[height:].reshape(2, height // 2, width // 2)
    return flat[:height], half[0], half[1]


def _render(face, shares, size, look):
    """RGB image uint8 (h, w, 3) and alpha uint16 (h, w) in 0..256, both of even size."""
    from PIL import Image, ImageDraw, ImageFont

    # Its fonts: every letter of a label can be drawn, on every machine. It is not loaded itself.
    package = os.path.dirname(find_spec("matplotlib").origin)
    folder = os.path.join(package, "mpl-data", "fonts", "ttf")
    plain, bold = (
        ImageFont.truetype(os.path.join(folder, file), size)
        for file in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
    )
    labels, best = face.labels, None if shares is None else int(np.argmax(shares))
    colours, head = _class_colours(labels), [face.name]
    if best is not None:
        head += [face.label, f"{shares[best]:.0f} %"]
    pad, space, row = round(0.6 * size), round(0.5 * size), round(1.35 * size)
    rows = len(labels) if shares is not None and look != "tag" else 0
    names = round(max((plain.getlength(label) for label in labels), default=0)) + space
    bar = round((4.5 if look == "full" else 2.5) * size)
    number = round(plain.getlength("100 %")) + space if look == "full" else 0
    square = round(0.8 * size)  # of the colour of the class, before its name
    width = sum(bold.getlength(text) for text in head) + space * (len(head) - 1)
    width += 0 if best is None else square + space
    width = round(max(width, names + bar + number if rows else 0)) + 2 * pad
    bar = width - 2 * pad - names - number
    height = 2 * pad + round(1.1 * size) + (rows * row + space if rows else 0)
    width, height = width + width % 2, height + height % 2
    image = Image.new("RGB", (width, height), CARD)
    draw = ImageDraw.Draw(image)
    x = pad
    for i, text in enumerate(head):
        if i == 1:
            top = round(pad + 0.5 * size - square / 2)
            draw.rectangle((x, top, x + square - 1, top + square - 1), _colour(face))
            x += square + space
        draw.text((x, pad + 0.5 * size), text, TEXT, bold, anchor="lm")
        x += bold.getlength(text) + space
    for i in range(rows):
        middle = 2 * pad + size + space // 2 + (i + 0.5) * row
        draw.text((pad, middle), labels[i], TEXT if i == best else PALE, plain, "lm")
        left, top, thick = pad + names, middle - 0.22 * size, max(2, round(0.44 * size))
        draw.rectangle((left, top, left + bar, top + thick), TROUGH)
        if shares[i] >= 1:
            draw.rectangle((left, top, left + bar * shares[i] / 100, top + thick), colours[i])
        if number:
            share = f"{shares[i]:.0f} %"
            draw.text((left + bar + number, middle), share, PALE, plain, "rm")
    image = np.asarray(image)
    # Only the background lets the picture through: what is brighter than it is opaque.
    ink = np.clip((image.max(axis=2).astype(float) - max(CARD)) / 60, 0, 1)
    return image, np.round(256 * (OPACITY + (1 - OPACITY) * ink)).astype(np.uint16)
