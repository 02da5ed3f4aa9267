"""Palette: colours by name that can be read and told apart, whoever looks."""

import itertools

import numpy as np
import pytest

from emotion import plotting
from emotion.annotate import overlay
from emotion.data import labels
from emotion.data.corpora import crema_d

COLOURS = [colour for colour, _ in plotting.LOOKS.values()]
# Machado, Oliveira & Fernandes 2009, severity 1; they apply to linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(rgb):
    share = np.array(rgb) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(item, other):
    """WCAG 2.1 contrast of two (r, g, b)."""
    low, high = sorted(linear(rgb) @ (0.2126, 0.7152, 0.0722) + 0.05 for rgb in (item, other))
    return high / low


def oklab(rgb):
    """Ottosson 2020, of linear (r, g, b)."""
    lms = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return lab @ np.cbrt(lms @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("ground", [(255, 255, 255), overlay.CARD])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_class_can_be_read_on_paper_and_on_a_card(colour, ground):
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast(plotting.rgb(colour), ground) >= 3


@pytest.mark.parametrize("sight", SIGHT)
def test_classes_are_distinguished_without_some_cones(sight):
    shown = [oklab(SIGHT[sight] @ linear(plotting.rgb(colour))) for colour in COLOURS]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(shown, 2)]
    assert min(apart) >= 0.1  # black and white are 1 apart


def test_a_name_has_its_colour_wherever_it_stands():
    assert set(labels.RAVDESS) == set(plotting.LOOKS)
    for names in (labels.RAVDESS, crema_d.LABELS, labels.RAVDESS[::-1], ("bored", "sad", "happy")):
        for name, look in zip(names, plotting.looks(names), strict=True):
            assert name not in plotting.LOOKS or look == plotting.LOOKS[name]


def test_other_names_take_what_is_free():
    names = ("bored", "happy", "amused", "sad")
    result = dict(zip(names, plotting.looks(names)))
    assert (
        result["amused"] == plotting.LOOKS["neutral"] and result["bored"] == plotting.LOOKS["calm"]
    )
    assert result == dict(zip(names[::-1], plotting.looks(names[::-1])))
    many = plotting.looks(tuple(f"class {i:02d}" for i in range(32)))
    assert len(set(many)) == 32 and len({colour for colour, _ in many[:8]}) == 8
    assert len(plotting.looks(tuple(f"class {i:02d}" for i in range(99)))) == 99
