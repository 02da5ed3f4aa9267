"""The face of the synthetic corpus, drawn with OpenCV.

A head of unit height is centred on (0, 0), x to the right and y down; its chin is near (0, 1).
Skin, shade and hair are painted once; eyes, brows and mouth are drawn anew in every frame
(synthetic_expression.py), at twice the size of the result, and the head is then moved as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from emotion.synthetic import expression

if TYPE_CHECKING:
    from emotion.synthetic.expression import Look

REACH = 1.65  # half the side of the head's canvas, in units
SKINS = ((255, 224, 200), (244, 205, 175), (226, 178, 142), (198, 143, 105), (168, 116, 84),
         (138, 94, 70))  # fmt: skip
HAIRS = ((38, 28, 24), (62, 42, 30), (98, 64, 40), (150, 104, 58), (196, 160, 104), (120, 56, 34),
         (128, 124, 122))  # fmt: skip
IRISES = ((92, 62, 38), (70, 48, 32), (78, 108, 132), (92, 116, 84), (110, 86, 50))
SHIRTS = ((60, 84, 120), (120, 62, 66), (74, 104, 88), (88, 80, 110), (180, 176, 168), (52, 56, 64))
WALLS = ((188, 198, 204), (204, 196, 184), (176, 190, 180), (196, 188, 200), (168, 178, 190))


@dataclass(frozen=True)
class Face:
    """A person's looks: colours as RGB floats in [0, 255], lengths in units of the head."""

    skin: tuple
    hair: tuple
    iris: tuple
    shirt: tuple
    wall: tuple
    lips: tuple
    long_hair: bool
    width: float
    jaw: float
    eyes: float
    apart: float
    mouth: float
    full: float
    brow: float
    nose: float
    hairline: float
    light: float
    texture: int


def random_face(rng: np.random.Generator, female: bool) -> Face:
    """Draws a Face."""
    skin = np.array(SKINS[rng.integers(len(SKINS))], float) * rng.uniform(0.95, 1.02)
    dark = skin.mean() < 150
    hair = np.array(HAIRS[rng.integers(2 if dark else len(HAIRS))], float)
    tint = np.array((200, 96, 100) if female else (188, 110, 102), float)
    return Face(
        skin=tuple(np.minimum(skin, 255)),
        hair=tuple(hair * rng.uniform(0.9, 1.1)),
        iris=IRISES[rng.integers(2 if dark else len(IRISES))],
        shirt=SHIRTS[rng.integers(len(SHIRTS))],
        wall=WALLS[rng.integers(len(WALLS))],
        lips=tuple(0.45 * skin + 0.55 * tint * skin.mean() / 205),
        long_hair=bool(female),
        width=rng.uniform(0.70, 0.75) if female else rng.uniform(0.72, 0.79),
        jaw=rng.uniform(0.22, 0.3) if female else rng.uniform(0.12, 0.22),
        eyes=rng.uniform(0.165, 0.185) if female else rng.uniform(0.15, 0.17),
        apart=rng.uniform(0.31, 0.34),
        mouth=rng.uniform(0.24, 0.28),
        full=rng.uniform(0.075, 0.095) if female else rng.uniform(0.055, 0.075),
        brow=rng.uniform(0.04, 0.05) if female else rng.uniform(0.06, 0.075),
        nose=rng.uniform(0.13, 0.155) if female else rng.uniform(0.15, 0.18),
        hairline=rng.uniform(0.60, 0.70) if female else rng.uniform(0.66, 0.78),
        light=rng.uniform(-0.6, 0.6),
        texture=int(rng.integers(1 << 30)),
    )


class Painter:
    """Draws one person.

    Args:
        face: Face.
        width, height: int, pixels of the frames.
        unit: float, pixels of a unit of the head.
    """

    def __init__(self, face: Face, width: int, height: int, unit: float):
        self.face, self.unit, self.size = face, unit, (width, height)
        self._fine = 2 * unit
        self._side = round(2 * REACH * self._fine)
        self._ground, self._head = self._scene(), self._bare_head()

    def draw(
        self,
        look: Look,
        gaze: tuple[float, float] = (0.0, 0.0),
        tilt: float = 0.0,
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> np.ndarray:
        """Draws a frame.

        Args:
            look: Look of synthetic_expression.py.
            gaze: where the eyes point, x and y, each in [-1, 1].
            tilt: float, degrees.
            shift: x and y in units, of the head.

        Returns:
            uint8 array (height, width, 3), RGB.
        """
        layer = self._head.copy()
        expression.express(layer, self._fine, self.face, look, gaze)
        width, height = self.size
        middle = self._side / 2
        matrix = cv2.getRotationMatrix2D((middle, middle + self._fine), tilt, 0.5)
        # The head turns about the neck, which stays where the body is.
        place = (width / 2 - middle, 0.46 * height + self.unit - middle - self._fine)
        matrix[:, 2] = matrix[:, 2] + place + np.array(shift) * self.unit
        moved = cv2.warpAffine(layer, matrix, (width, height), flags=cv2.INTER_AREA)
        cover = moved[..., 3:].astype(np.float32) / 255
        return np.round(self._ground * (1 - cover) + moved[..., :3]).astype(np.uint8)

    def _scene(self):
        """Wall, neck and shoulders, float32 (height, width, 3)."""
        person, (width, height), unit = self.face, self.size, self.unit
        x = (np.arange(width) - width / 2)[None, :, None] / unit
        y = (np.arange(height) - 0.46 * height)[:, None, None] / unit
        glow = np.exp(-((x - 1.2 * person.light) ** 2 + (y + 0.6) ** 2) / 4)
        image = np.array(person.wall) * (0.62 + 0.4 * glow)
        for shape, colour in (
            (_mirror([(0, 0.5), (0.36, 0.6), (0.37, 1.05), (0.62, 1.25), (0, 1.9)]), person.skin),
            (_mirror([(0, 1.62), (0.3, 1.38), (0.46, 1.16), (0.9, 1.3), (1.35, 1.5), (1.6, 2.6),
                      (0, 2.6)]), person.shirt),
        ):  # fmt: skip
            mask = np.zeros((2 * height, 2 * width), np.uint8)
            points = _smooth(shape) * 2 * unit + (width, 0.92 * height)
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255)
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)[..., None] / 255
            round_off = 0.86 + 0.2 * np.exp(-((x - 0.5 * person.light) ** 2)) - 0.1 * x**2
            under_chin = 1 - 0.42 * np.exp(-(((y - 0.98) / 0.22) ** 2 + (x / 0.6) ** 2))
            image += mask * (np.array(colour) * round_off * under_chin - image)
        return np.clip(image, 0, 255).astype(np.float32)

    def _bare_head(self):
        """Head without eyes, brows and mouth: uint8 (side, side, 4), the last how opaque."""
        person, side = self.face, self._side
        y, x = (np.mgrid[:side, :side] + 0.5 - side / 2) / self._fine
        rng = np.random.default_rng(person.texture)
        outline = self._outline()
        image = np.zeros((side, side, 3))
        cover = np.zeros((side, side))
        strands = self._strands(rng, x, y)
        if person.long_hair:
            back = _mirror([(0, -1.17), (0.55, -1.08), (0.86, -0.6), (0.93, 0.1), (0.9, 0.75),
                            (0.72, 1.12), (0.45, 0.9), (0, 0.8)])  # fmt: skip
            self._lay(image, cover, back, strands * 0.72)
        for way in (-1, 1):
            ear = np.array([(0.95, -0.16), (1.1, -0.2), (1.13, 0.0), (1.05, 0.22), (0.95, 0.26)])
            self._lay(image, cover, ear * (way * person.width, 1), np.array(person.skin) * 0.82)
        self._lay(image, cover, outline, self._skin(x, y, rng))
        line = -person.hairline
        cap = [(0, -1.17), (0.5, -1.1), (0.8 * person.width / 0.73, -0.72), (0.86, -0.25)]
        inner = [(person.width * 0.97, -0.02), (person.width * 0.88, -0.3), (0.5, line + 0.1)]
        part = 0.25 * np.sign(person.light)
        hair = _mirror(cap + inner + [(0.2, line - 0.02)])
        hair[:, 0] += part * (hair[:, 1] > line - 0.1) * (np.abs(hair[:, 0]) < 0.4)
        self._lay(image, cover, hair, strands, soft=2.0)
        return np.round(np.dstack([np.clip(image, 0, 255), 255 * cover])).astype(np.uint8)

    def _outline(self):
        angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
        x, y = np.sin(angle), -np.cos(angle)
        below = np.clip(y, 0, 1)
        x = np.sign(x) * np.abs(x) ** (1 - 0.15 * below) * (1 - self.face.jaw * below**2)
        return np.stack([self.face.width * x, np.where(y < 0, 1.05, 0.98) * y], axis=1)

    def _strands(self, rng, x, y):
        """Colour of the hair, (side, side, 3)."""
        angle = np.arctan2(x, 1.5 + y)
        noise = cv2.GaussianBlur(rng.normal(0, 1, (1, 600)), (0, 0), 1.5)[0] * 2.0
        waves = np.interp(angle * 180 + 8 * np.sin(3 * y), np.arange(600) - 300, noise)
        gloss = np.exp(-(((np.hypot(x - 0.3 * self.face.light, y + 0.1) - 0.88) / 0.13) ** 2))
        return np.array(self.face.hair) * (0.85 + 0.12 * waves + 0.5 * gloss)[..., None]

    def _skin(self, x, y, rng):
        """Colour of the skin under its light, (side, side, 3)."""
        person, nose = self.face, self.face.nose
        across, down = x / (person.width * 1.08), y / 1.12
        facing = np.sqrt(np.clip(1 - across**2 - down**2, 0.02, 1))
        lit = np.clip(0.45 * person.light * across - 0.35 * down + 0.82 * facing, 0, 1)
        shade = 0.58 + 0.5 * lit
        side = np.sign(person.light) or 1.0
        for cx, cy, sx, sy, gain in (
            (-person.apart, -0.14, 0.2, 0.1, -0.13), (person.apart, -0.14, 0.2, 0.1, -0.13),
            (0.02 * side, 0.12, 0.045, 0.26, 0.12), (-0.085 * side, 0.14, 0.06, 0.2, -0.12),
            (0, 0.3, 0.07, 0.06, 0.14), (0, 0.43, 0.16, 0.04, -0.2), (0, 0.78, 0.16, 0.05, -0.14),
            (0, 0.9, 0.14, 0.07, 0.06), (0, -0.45, 0.4, 0.16, 0.07), (0, 0.5, 0.03, 0.06, -0.06),
            (-nose * 0.55, 0.375, 0.04, 0.022, -0.5), (nose * 0.55, 0.375, 0.04, 0.022, -0.5),
            (-nose * 1.05, 0.33, 0.03, 0.07, -0.16), (nose * 1.05, 0.33, 0.03, 0.07, -0.16),
        ):  # fmt: skip
            shade += gain * np.exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)
        blush = sum(
            np.exp(-(((x - c) / 0.2) ** 2) - ((y - 0.26) / 0.15) ** 2) for c in (-0.44, 0.44)
        )
        grain = cv2.GaussianBlur(rng.normal(0, 1, x.shape), (0, 0), 1.2) * 0.02
        warm = np.stack([1 + 0.03 * blush, 1 - 0.06 * blush, 1 - 0.06 * blush], axis=-1)
        depth = np.array((0.5, 1.0, 1.15))  # skin reddens in the shade
        return np.array(person.skin) * np.clip(shade + grain, 0, 1.15)[..., None] ** depth * warm

    def _mask(self, points, soft=0.8):
        """A filled shape with smooth edges, float (side, side)."""
        mask = np.zeros((self._side, self._side), np.uint8)
        points = np.round((points * self._fine + self._side / 2) * 16).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
        return cv2.GaussianBlur(mask, (0, 0), soft) / 255.0

    def _lay(self, image, cover, points, colour, soft=0.8):
        mask = self._mask(_smooth(points), soft)
        image += mask[..., None] * (colour - image)
        cover += mask * (1 - cover)


def _mirror(half):
    """Completes the right half of an outline, from the top down, with its left half."""
    half = np.array(half, float)
    return np.concatenate([half, half[::-1] * (-1, 1)])


def _smooth(points):
    """Rounds a closed polygon off (Chaikin 1974: each corner is cut, three times)."""
    points = np.asarray(points, float)
    for _ in range(3):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], 1)
        points = points.reshape(-1, 2)
    return points
