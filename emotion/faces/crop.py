"""Face crops: the one code path from video frames to the crops that a model reads.

Training, recordings and live use it alike: a face is looked for at every STEP on the recording's
clock, followed, and cut out along a box that is smoothed over time. The smoothing looks at no frame
outside the stretch that is asked for, so a stretch gives the same crops whatever lies around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from emotion.faces.tracking import Tracker, areas, smooth

if TYPE_CHECKING:
    from emotion.faces.detect import Detector

STEP = 1 / 6  # seconds between detections: a head moves less than its width in that time
MEMORY = 5  # seconds for which a lost face can be re-identified
# What is kept of a frame until its stretch is complete: the face with more around it than the
# margin, at a multiple of the crop's resolution. A smoothed box lies well inside.
SLACK = 0.25  # of the box's longer side, on every side
RESOLUTION = 2


def square(box: np.ndarray, margin: float, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the square around a box.

    Args:
        box: four floats or more, x1 y1 x2 y2 first, in pixels.
        margin: float, added on every side, as a fraction of the box's longer side.
        shape: (h, w) of the frame. The square may pass its border; its centre never does.

    Returns:
        float array (4,), xyxy in pixels.

    >>> square((10, 10, 30, 50), 0.25, (100, 100)).tolist()
    [-10.0, 0.0, 50.0, 60.0]
    """
    x1, y1, x2, y2 = (float(value) for value in box[:4])
    half = max(x2 - x1, y2 - y1, 2.0) * (0.5 + margin)
    x = min(max((x1 + x2) / 2, 0.0), float(shape[1]))
    y = min(max((y1 + y2) / 2, 0.0), float(shape[0]))
    return np.array((x - half, y - half, x + half, y + half))


def crop_face(frame: np.ndarray, box: np.ndarray, size: int, margin: float) -> np.ndarray:
    """Cuts out a face.

    Args:
        frame: uint8 array (h, w, 3), RGB.
        box, margin: as in `square`.
        size: int, side of the result in pixels.

    Returns:
        uint8 array (size, size, 3), RGB; beyond the frame its border is repeated.
    """
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = np.round(square(box, margin, (height, width))).astype(int)
    inside = frame[max(y1, 0) : min(y2, height), max(x1, 0) : min(x2, width)]
    beyond = (max(-y1, 0), max(y2 - height, 0), max(-x1, 0), max(x2 - width, 0))
    if any(beyond):
        inside = cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE)
    way = cv2.INTER_AREA if inside.shape[0] > size else cv2.INTER_LINEAR
    return cv2.resize(inside, (size, size), interpolation=way)


class CropStream:
    """Follows the faces of a recording, frame by frame, and cuts them out.

    Args:
        detector: function of a frame that returns boxes, such as detect.Detector.
        size: int, side of a crop in pixels.
        margin: float, added around the smoothed box, as a fraction of its longer side.
    """

    def __init__(self, detector: Detector | None, size: int, margin: float):
        self._detector, self._size, self._margin = detector, size, margin
        self._tracker = Tracker(confirm=1, memory=round(MEMORY / STEP))
        self._times, self._detections = [], []  # of the frames; (time, id, box, patch) of the faces

    @property
    def same(self) -> dict[int, int]:
        """Dict of int to int, the ids that turned out to be an earlier one (tracking.Tracker)."""
        return self._tracker.same

    def add(self, time: float, frame: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Adds the next frame.

        Args:
            time: float, seconds; grows from call to call, by about STEP.
            frame: uint8 array (h, w, 3), RGB.

        Returns:
            List of (int id, float array (4,) xyxy in pixels), the faces as they were detected.
        """
        boxes = self._detector(frame)
        detected = list(zip(self._tracker.update(boxes, frame), boxes[:, :4], strict=True))
        for id, box in detected:
            patch = _Patch(frame, box, RESOLUTION * self._size, self._margin + SLACK)
            self._detections.append((time, id, box, patch))
        self._times.append(time)
        return detected

    def forget(self, before: float) -> None:
        """Drops what lies before a time (s)."""
        self._times = [time for time in self._times if time >= before]
        self._detections = [item for item in self._detections if item[0] >= before]

    def tracks(
        self, start: float, end: float
    ) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Cuts out the faces of a stretch.

        Args:
            start, end: float, seconds; `end` is not part of it.

        Returns:
            Dict of id to (times, boxes, crops), by id: float array (k,), seconds; float array
            (k, 4), smoothed, xyxy in pixels; uint8 array (k, size, size, 3), RGB. A face that was
            found in one of several frames is left out as spurious.
        """
        looks = sum(start <= time < end for time in self._times)
        followed = {}
        for time, id, box, patch in self._detections:
            if start <= time < end:
                followed.setdefault(self.same.get(id, id), []).append((time, box, patch))
        cut = {}
        for id, items in sorted(followed.items()):
            if len(items) >= min(2, looks):
                moments, raw, patches = zip(*items)
                times = np.array(moments)
                boxes = smooth(times, np.array(raw, float), STEP)
                pairs = zip(patches, boxes)
                crops = np.stack(
                    [patch.crop(box, self._size, self._margin) for patch, box in pairs]
                )
                cut[id] = times, boxes, crops
        return cut


def main_face(
    tracks: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Returns the (times, boxes, crops) with the most presence times area, or None without any.

    Args:
        tracks: dict, of `CropStream.tracks`.
    """
    return max(tracks.values(), key=lambda track: areas(track[1]).sum(), default=None)


class _Patch:
    """A face with its surroundings, from which it can be cut out along another box."""

    def __init__(self, frame, box, side, margin):
        x1, y1, x2, _ = np.round(square(box, margin, frame.shape[:2]))
        self._image = crop_face(frame, box, side, margin)
        self._corner, self._scale = np.array((x1, y1, x1, y1)), side / (x2 - x1)

    def crop(self, box, size, margin):
        return crop_face(self._image, (box - self._corner) * self._scale, size, margin)
