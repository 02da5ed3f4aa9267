"""Detects the faces in a frame.

YuNet (Wu et al. 2023, "YuNet: a tiny millisecond-level face detector") if its weights
exist, else the Haar cascade that OpenCV 4 carries. Both answer in the same units and extent: a box
from the forehead to the chin, so that a crop holds the same whichever of them found the face.
"""

from __future__ import annotations

import hashlib
import logging
import os
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import platformdirs

YUNET_URL = (
    "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx"
)
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
DETECTORS = ("auto", "yunet", "haar")
_NO_WEIGHTS = (
    "The detector 'yunet' needs its weights: run `python -m emotion download yunet`, or name the "
    ".onnx file. Received: weights={}."
)

# Faces of interest fill a good part of the picture: this finds them all and costs a few ms.
LONGEST_SIDE = 320
# Where a YuNet box lies in the Haar box of the same face, in sides of the Haar box from its upper
# left corner: medians over 106 frames of 8 recordings (standard deviations 0.03 to 0.05).
YUNET_IN_HAAR = np.array((0.08, -0.05, 0.92, 1.13))


def yunet_path() -> Path | None:
    """Returns the Path of YuNet's weights if they exist, else None.

    The file that the environment variable EMOTION_YUNET names comes first, then the one that
    `fetch_yunet` keeps; a damaged copy of the latter does not count.

    Raises:
        FileNotFoundError: EMOTION_YUNET names no file.
    """
    named = os.environ.get("EMOTION_YUNET")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(
                "EMOTION_YUNET must name YuNet's .onnx file; correct or unset it. "
                f"Received: {named}"
            )
        return Path(named)
    path = platformdirs.user_cache_path("emotion") / YUNET_URL.rpartition("/")[2]
    return path if path.is_file() and _sha256(path) == YUNET_SHA256 else None


def identify(detector: str) -> str:
    """Returns what tells apart detectors of one name: the digest of its weights.

    Args:
        detector: str, "yunet" or "haar".

    Raises:
        FileNotFoundError: YuNet's weights are not there.
    """
    if detector != "yunet":
        return detector
    path = yunet_path()
    if path is None:
        raise FileNotFoundError(_NO_WEIGHTS.format(None))
    return _sha256(path)


def _sha256(path):
    status = path.stat()
    return _sha256_once(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _sha256_once(path, size, modified):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch_yunet(url: str = YUNET_URL) -> Path:
    """Downloads YuNet's weights (230 kB, MIT licence) unless a whole copy is there already.

    Returns:
        Path of the file, in the user's cache folder.

    Raises:
        ValueError: what was downloaded is another file; it is not kept.
        requests.RequestException: the server cannot be reached or refuses.
    """
    import pooch  # not above: few commands download

    name, folder = YUNET_URL.rpartition("/")[2], platformdirs.user_cache_path("emotion")
    return Path(pooch.retrieve(url, f"sha256:{YUNET_SHA256}", fname=name, path=folder))


class Detector:
    """Finds the faces of a frame; the same frame gives the same boxes. One serves one thread.

    Args:
        name: "yunet", "haar", or "auto": YuNet if its weights exist, else Haar.
        weights: path of YuNet's .onnx file; None takes that of `yunet_path`.

    Attributes:
        name: str, "yunet" or "haar", the one in use.

    Raises:
        ValueError: unknown `name`, or OpenCV cannot read `weights`.
        FileNotFoundError: "yunet" is asked for and its weights are not there.
    """

    def __init__(self, name: str = "auto", weights: Path | str | None = None):
        if name not in DETECTORS:
            raise ValueError(
                f"`name` of a detector must be one of {', '.join(DETECTORS)}. Received: {name!r}."
            )
        weights = None if name == "haar" else weights or yunet_path()
        if name == "auto" and weights is None:
            logging.getLogger(__name__).warning(
                "Faces are found by OpenCV's Haar cascade; for YuNet, which is faster and finds "
                "turned faces, run `python -m emotion download yunet`."
            )
        self.name = "haar" if weights is None and name != "yunet" else "yunet"
        if self.name == "haar":
            cascade = os.path.join(cv2.data.haarcascades, "haarcascade_frontalface_alt2.xml")
            self._model = cv2.CascadeClassifier(cascade)
            return
        if weights is None or not Path(weights).is_file():
            raise FileNotFoundError(_NO_WEIGHTS.format(weights))
        try:
            size = (LONGEST_SIDE, LONGEST_SIDE)
            self._model = cv2.FaceDetectorYN.create(str(weights), "", size, score_threshold=0.7)
        except cv2.error as error:
            raise ValueError(
                f"OpenCV cannot read the weights {weights}; fetch them again with "
                "`python -m emotion download yunet`."
            ) from error

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Returns the faces of one frame.

        Args:
            frame: uint8 array (h, w, 3), RGB.

        Returns:
            float32 array (n, 5): x1, y1, x2, y2 in pixels of `frame`, which a box may pass, and
            a score in [0, 1] (Haar has none: 1).
        """
        height, width = frame.shape[:2]
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        boxes = self._haar(small) if self.name == "haar" else self._yunet(small)
        # The copy's sides are whole pixels, so its two scales differ a little.
        boxes[:, :4] *= np.tile((width / size[0], height / size[1]), 2)
        return boxes.astype(np.float32)

    def _yunet(self, small):
        # On pictures of up to 32 x 32 pixels OpenCV 4.14 runs YuNet on uninitialised memory.
        below, right = (max(0, 64 - side) for side in small.shape[:2])
        small = cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT)
        self._model.setInputSize(small.shape[1::-1])
        faces = self._model.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        if faces is None:
            return np.zeros((0, 5))
        corner, side = faces[:, :2], faces[:, 2:4]
        return np.concatenate([corner, corner + side, faces[:, -1:]], axis=1)

    def _haar(self, small):
        gray = cv2.equalizeHist(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
        faces = self._model.detectMultiScale(gray, 1.1, 4, minSize=(24, 24))
        # Its threads deliver in any order.
        faces = np.array(sorted(map(tuple, faces)), float).reshape(-1, 4)
        boxes = np.tile(faces[:, :2], 2) + faces[:, 2:3] * YUNET_IN_HAAR
        return np.concatenate([boxes, np.ones((len(boxes), 1))], axis=1)
