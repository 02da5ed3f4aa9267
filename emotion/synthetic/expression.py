"""Eyes, brows and mouth of the synthetic face: what an expression moves.

Lengths are units of the head as in synthetic_face.py; layers are uint8 RGBA and opaque here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from emotion.synthetic.face import Face

EYE_LEVEL, MOUTH_LEVEL = -0.12, 0.58


@dataclass(frozen=True)
class Look:
    """An expression, as differences from a face at rest, in units of the head.

    Attributes:
        inner, outer: how far the brows' ends rise.
        squeeze: how far the brows close up.
        lid: how much wider the eyes are open, a fraction; -1 shuts them.
        squint: how far the lower lids rise, in [0, 1].
        corner: how far the corners of the mouth rise.
        spread: how much wider half the mouth is.
        open: how far the lips are apart.
        sneer: how far the upper lip rises.
        furrow, fold: depth of the lines between the brows and beside the mouth, in [0, 1].
    """

    inner: float = 0.0
    outer: float = 0.0
    squeeze: float = 0.0
    lid: float = 0.0
    squint: float = 0.0
    corner: float = 0.0
    spread: float = 0.0
    open: float = 0.0
    sneer: float = 0.0
    furrow: float = 0.0
    fold: float = 0.0

    def action_units(self) -> dict[str, float]:
        """Returns the strength of each action unit (Ekman & Friesen 1978) that the look has.

        Returns:
            dict of the unit's number, str of two digits, to float in [0, 5], as OpenFace scales it.
        """
        strengths = {
            "01": 28 * self.inner,  # inner brows raised
            "02": 30 * self.outer,
            "04": 3 * self.furrow + 14 * self.squeeze,  # brows lowered
            "05": 9 * self.lid,  # upper lids raised
            "06": 4 * self.squint * (self.corner > 0),  # cheeks raised
            "07": 4 * self.squint * (self.corner <= 0),  # lids tightened
            "09": 40 * self.sneer,
            "10": 30 * self.sneer,
            "12": 28 * self.corner,  # corners of the lips pulled up
            "15": -32 * self.corner,
            "20": 30 * self.spread * (self.corner <= 0),
            "25": 25 * self.open,  # lips part
            "26": 18 * self.open,  # jaw drops
            "45": -5 * (self.lid < -0.6) * self.lid,  # blink
        }
        return {unit: min(max(strength, 0.0), 5.0) for unit, strength in strengths.items()}


class Canvas:
    """Draws shapes given in units of the head on a layer of `side` pixels, `scale` to a unit."""

    def __init__(self, layer: np.ndarray, scale: float):
        self.layer, self.scale, self.side = layer, scale, layer.shape[0]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Units to the sixteenths of a pixel that OpenCV draws with, int32 (n, 2)."""
        return np.round((np.asarray(points) * self.scale + self.side / 2) * 16).astype(np.int32)

    def fill(self, points: np.ndarray, colour: tuple) -> None:
        """Fills a polygon."""
        colour = (*(float(value) for value in colour), 255.0)
        cv2.fillPoly(self.layer, [self.pixels(points)], colour, cv2.LINE_AA, 4)

    def line(self, points: np.ndarray, colour: tuple, width: float) -> None:
        """Draws an open line, `width` units wide."""
        colour, width = (*(float(v) for v in colour), 255.0), max(1, round(width * self.scale))
        cv2.polylines(self.layer, [self.pixels(points)], False, colour, width, cv2.LINE_AA, 4)

    def within(
        self,
        points: np.ndarray,
        paint: Callable[[], object],
        soft: float = 0.6,
        beyond: float = 0.1,
    ) -> None:
        """Calls `paint()` and keeps its pixels only up to `beyond` units outside a polygon."""
        low = np.floor((np.min(points, 0) - beyond) * self.scale + self.side / 2).astype(int)
        high = np.ceil((np.max(points, 0) + beyond) * self.scale + self.side / 2).astype(int)
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        before = self.layer[box].astype(np.float32)
        mask = np.zeros(before.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.pixels(points) - low.astype(np.int32) * 16], 255, cv2.LINE_AA, 4)
        mask = (cv2.GaussianBlur(mask, (0, 0), soft) / np.float32(255))[..., None]
        paint()
        self.layer[box] = before + mask * (self.layer[box] - before)


def express(
    layer: np.ndarray, scale: float, face: Face, look: Look, gaze: tuple[float, float]
) -> None:
    """Draws the features of `face` (a Face) with the expression `look` onto a layer, in place."""
    canvas = Canvas(layer, scale)
    _shadows(canvas, face, look)
    for way in (-1, 1):
        _eye(canvas, face, look, gaze, way)
        _brow(canvas, face, look, way)
    _mouth(canvas, face, look)


def _shadows(canvas, face, look):
    """Lines that an expression folds into the skin: soft, dark."""
    mask = np.zeros((canvas.side, canvas.side), np.uint8)

    def fold(points, depth, width=0.022):
        width = max(1, round(width * canvas.scale))
        grey = float(np.clip(200 * depth, 0, 255))
        cv2.polylines(mask, [canvas.pixels(points)], False, grey, width, cv2.LINE_AA, 4)

    reach = face.mouth + look.spread
    rise = look.corner
    for way in (-1, 1):
        cheek = [(0.17, 0.3), (0.25, 0.4 - 0.3 * rise), (reach + 0.06, MOUTH_LEVEL - 0.04 - rise)]
        fold(_bow(cheek) * (way, 1), 0.25 + 0.75 * look.fold, 0.03)
        fold([(way * 0.05, -0.42), (way * (0.055 - look.squeeze * 0.3), -0.26)], look.furrow)
        if look.squint > 0.2:
            bag = [(0.2, -0.01), (0.33, 0.03), (0.48, -0.02)]
            fold(_bow(bag) * (way, 1), 0.6 * look.squint)
    surprise = max(0.0, 5 * (look.inner + look.outer))
    for level in (-0.5, -0.42):
        fold(_bow([(-0.34, level), (0, level - 0.04), (0.34, level)]), 0.35 * surprise)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.014 * canvas.scale)
    low, high = (int(edge * canvas.scale + canvas.side / 2) for edge in (-0.7, 0.7))
    box = np.s_[low:high, low:high]  # only there is anything to dim, and all of it costs time
    dim = mask[box][..., None] * (np.array((0.40, 0.48, 0.50, 0), np.float32) / 255)
    canvas.layer[box] = canvas.layer[box] * (1 - dim)


def _eye(canvas, face, look, gaze, way):
    half = face.eyes
    x = np.linspace(-1, 1, 17)
    wide = max(0.0, 1 + look.lid)
    bulge = np.clip(1 - x**2, 0, 1) ** 0.75
    up = half * (0.54 * wide - 0.08 * (1 - wide)) * bulge
    down = half * np.clip(0.32 * min(wide, 1.25) - 0.22 * look.squint, 0.02, 1) * bulge
    down = np.maximum(down, 0.08 * half * bulge * (1 - min(wide, 1)))
    middle = np.array((way * face.apart, EYE_LEVEL))
    slant = -0.03 * half * x * way * 3
    upper = middle + np.stack([half * x, slant - up], 1)
    lower = middle + np.stack([half * x, slant + down], 1)
    dark = np.array(face.skin) * 0.28

    def paint():
        canvas.fill(np.concatenate([upper, lower[::-1]]), (236, 230, 226))
        radius = 0.47 * half
        at = middle + np.array(gaze) * (0.3 * half, 0.15 * half) + (0, -0.05 * half)
        round_ = np.stack([np.cos(np.linspace(0, 6.28, 28)), np.sin(np.linspace(0, 6.28, 28))], 1)
        canvas.fill(at + radius * round_, np.array(face.iris) * 0.5)
        canvas.fill(at + 0.86 * radius * round_, np.array(face.iris))
        canvas.fill(at + 0.45 * radius * round_, (16, 12, 12))
        spark = at + np.array((0.35 * np.sign(face.light or 1), -0.35)) * radius
        canvas.line(upper + (0, 0.05 * half), (150, 136, 132), 0.022)
        canvas.fill(spark + 0.2 * radius * round_, (252, 252, 252))

    if wide > 0.12:
        canvas.within(np.concatenate([upper, lower[::-1]]), paint)
    canvas.line(lower[2:-2], np.array(face.skin) * 0.55, 0.01)
    canvas.line(upper, dark, 0.034 if face.long_hair else 0.026)
    if face.long_hair:
        tip = upper[-1] if way > 0 else upper[0]
        canvas.line([tip, tip + (way * 0.035, -0.03)], dark, 0.022)
    crease = middle + np.stack([half * x, slant - up * 0.9 - 0.045], 1)
    canvas.line(crease[3:-3], np.array(face.skin) * 0.68, 0.012)


def _brow(canvas, face, look, way):
    inner = np.array((face.apart - 0.19 - look.squeeze, -0.32 - look.inner))
    outer = np.array((face.apart + 0.21 - 0.3 * look.squeeze, -0.33 - look.outer))
    arch = (inner + outer) / 2 + (0.05, -0.05 - 0.05 * max(0, look.inner + look.outer))
    spine = _bow([inner, arch, outer])
    width = face.brow * np.interp(
        np.linspace(0, 1, len(spine)), (0, 0.25, 0.6, 1), (0.7, 1, 0.8, 0.2)
    )
    edge = np.stack([np.zeros(len(spine)), width / 2], 1)
    shape = np.concatenate([spine - edge, (spine + edge)[::-1]]) * (way, 1)
    colour = 0.72 * np.array(face.hair) + 0.1 * np.array(face.skin)
    canvas.within(shape, lambda: canvas.fill(shape, colour), soft=0.012 * canvas.scale)


def _mouth(canvas, face, look):
    half = face.mouth + look.spread
    x = np.linspace(-1, 1, 25)
    hill = np.clip(1 - x**2, 0, 1)
    level = MOUTH_LEVEL - look.corner * x**2 + 0.4 * look.corner * hill
    gap = max(0.0, look.open)
    # Of the opening a third lifts the upper lip, the rest drops the jaw.
    upper_in = level - (0.3 * gap + 0.5 * look.sneer) * hill**0.6
    lower_in = level + 0.7 * gap * hill**0.6 + 0.006
    bow = 1 - 0.30 * np.exp(-((x / 0.16) ** 2)) + 0.12 * np.exp(-(((np.abs(x) - 0.3) / 0.2) ** 2))
    upper_out = upper_in - face.full * 0.8 * hill**0.7 * bow - 0.4 * look.sneer * hill
    lower_out = lower_in + face.full * hill**0.6
    lips = np.array(face.lips)

    def line(y):
        return np.stack([half * x, y], axis=1)

    inside = np.concatenate([line(upper_in), line(lower_in)[::-1]])
    if gap + look.sneer > 0.012:
        canvas.fill(inside, (58, 18, 22))

        def paint():
            tongue = np.stack([0.6 * half * x, lower_in - 0.25 * gap * hill], axis=1)
            canvas.fill(np.concatenate([tongue, line(lower_in)[::-1]]), (176, 84, 84))
            teeth = upper_in + np.minimum(0.05, 0.5 * (lower_in - upper_in))
            canvas.fill(np.concatenate([line(upper_in), line(teeth)[::-1]]), (238, 232, 224))

        canvas.within(inside, paint)
    canvas.fill(
        np.concatenate([line(lower_in), line(lower_out)[::-1]]), np.minimum(lips * 1.06, 255)
    )
    canvas.fill(np.concatenate([line(upper_out), line(upper_in)[::-1]]), lips * 0.86)
    shine = (lower_in + 0.45 * (lower_out - lower_in))[9:16]
    gloss = np.stack([half * x[9:16], shine], axis=1)
    canvas.line(gloss, np.minimum(lips * 1.18 + 6, 255), 0.014)
    canvas.line(line(upper_in), lips * 0.42, 0.012)


def _bow(points):
    """A curve through three points, float (15, 2)."""
    a, b, c = (np.asarray(point, float) for point in points)
    t = np.linspace(0, 1, 15)[:, None]
    return a * (1 - t) * (1 - 2 * t) + 4 * b * t * (1 - t) + c * t * (2 * t - 1)
