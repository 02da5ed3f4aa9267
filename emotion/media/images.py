"""Still images: files that Pillow reads, and arrays or tables that hold many."""

from __future__ import annotations

import csv
import os
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from emotion.clip import Clip, MediaError
from emotion.files import read_arrays
from emotion.media.suffixes import IMAGES

_SIDE = 48  # pixels, of the images in FER2013's CSV


def is_still(clip: Clip) -> bool:
    """Returns whether the picture of a Clip is a still image."""
    path = clip.video
    return path is not None and (clip.index is not None or path.suffix.lower() in IMAGES)


def read_image(path: Path, index: int | None = None) -> np.ndarray:
    """Reads a still image.

    Args:
        path: Path of an image file; or of an .npz with `images`, uint8 (n, h, w) or (n, h, w, 3)
            RGB; or of a .csv with a column `pixels`, as FER2013 has it.
        index: int, which image of an .npz or .csv, from 0; None for an image file.

    Returns:
        uint8 array (h, w, 3), RGB, upright.

    Raises:
        FileNotFoundError: there is no such file.
        MediaError: it cannot be decoded.
    """
    if index is not None:
        image = read_images(path)[index]
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not a file; check the path.")
    try:
        with Image.open(path) as file:
            return upright(file)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path} is not an image that can be read ({error}).") from error


def upright(image: Image.Image) -> np.ndarray:
    """Returns a Pillow image as uint8 array (h, w, 3), RGB, turned as its EXIF data say."""
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def read_images(path: Path) -> np.ndarray:
    """Reads all images of an .npz or .csv, once for each process.

    Returns:
        uint8 array (n, h, w) or (n, h, w, 3).

    Raises:
        FileNotFoundError, MediaError: as `read_image`.
    """
    return _read_images(Path(path), os.stat(path).st_mtime_ns)


@lru_cache(maxsize=4)
def _read_images(path, modified):
    if path.suffix.lower() == ".csv":
        return _pixels(path)
    try:
        (images,) = read_arrays(path, "images")
    except ValueError as error:
        raise MediaError(str(error)) from error
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise MediaError(
            f"{path}: `images` must be uint8 (n, h, w) or (n, h, w, 3). "
            f"Received: {images.dtype} {images.shape}."
        )
    return images


def _pixels(path):
    csv.field_size_limit(sys.maxsize)
    images = []
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        for row in csv.DictReader(file, skipinitialspace=True, restval=""):
            pixels = _numbers(row.get("pixels", ""))
            if pixels.size != _SIDE * _SIDE:
                raise MediaError(
                    f"{path}, image {len(images)}: `pixels` must be {_SIDE * _SIDE} numbers. "
                    f"Received: {pixels.size}."
                )
            images.append(pixels.reshape(_SIDE, _SIDE))
    if not images:
        raise MediaError(f"{path} holds no images; get the whole data.")
    return np.stack(images)


def _numbers(text):
    """The numbers 0 to 255 of a text, uint8 (n,); of size 0 where it holds something else."""
    try:
        numbers = np.fromstring(text, np.int64, sep=" ")
    except ValueError:
        return np.zeros(0, np.uint8)
    right = ((numbers >= 0) & (numbers <= 255)).all()
    return numbers.astype(np.uint8) if right else np.zeros(0, np.uint8)
