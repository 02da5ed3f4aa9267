"""Face tracking: links the face boxes of successive frames to identities.

Detections are matched to tracks by predicted position (constant velocity, as in SORT: Bewley et
al. 2016) and by colour histogram. Visible tracks are matched first, lost tracks second (the cascade
of DeepSORT and ByteTrack). A lost track is re-identified by colour for some seconds. A
re-identification network would be more accurate, but needs a download.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Colour similarity, measured on 8 recordings of 6 people: at least 0.96 for the same face
# 2 to 20 s later (1st percentile), 0.70 to 0.89 for two people in the same light.
SAME = 0.9  # at least this, to re-identify a lost face
OTHER = 0.5  # less than this is another face, even in the same place: the video was cut
YOUNG = 6  # updates during which a new face can be re-identified as a lost one
COLOURS = (8, 16, 16)  # histogram bins of L*, a*, b*
RANGES = (0, 256, 64, 192, 64, 192)  # of OpenCV's L*a*b*; skin and hair lie well inside
REACH = 4  # neighbours on each side that enter a smoothed box


@dataclass(frozen=True, eq=False)
class Track:
    """One followed face.

    Attributes:
        id: int, from 0 in the order of appearance.
        indices: int array (k,), frames in which the face was detected, increasing.
        boxes: float array (k, 4), xyxy in pixels.
    """

    id: int
    indices: np.ndarray
    boxes: np.ndarray


class Tracker:
    """Assigns a track id to each face box of successive frames.

    Args:
        confirm: int, number of detections before a face gets an id; until then it is -1.
        gap: int, number of updates for which a missed face is matched by position.
        memory: int, number of updates for which a lost face is re-identified by colour; needs
            the frames.

    Attributes:
        same: dict of int to int, from an id to the earlier id of the same face. A face that is
            partly hidden when it reappears is re-identified some updates later.

    >>> tracker = Tracker(confirm=1)
    >>> tracker.update(np.array([[0.0, 0, 10, 10], [50, 0, 60, 10]]))
    [0, 1]
    >>> tracker.update(np.array([[51.0, 0, 61, 10], [1, 0, 11, 10]]))
    [1, 0]
    """

    def __init__(self, confirm: int = 2, gap: int = 5, memory: int = 0):
        self.confirm, self.gap, self.memory = confirm, gap, max(gap, memory)
        self.same = {}
        self._faces, self._next = [], 0  # a face: box, speed, look, shown, count, age, missed, id

    def update(self, boxes: np.ndarray, frame: np.ndarray | None = None) -> list[int]:
        """Updates the tracks with the detections of the next frame.

        Args:
            boxes: float array (n, 4 or more), x1 y1 x2 y2 first, pixels.
            frame: uint8 array (h, w, 3), RGB; None matches by position alone.

        Returns:
            List of n int, the id of each box; -1 for a face that is not confirmed yet.
        """
        boxes = np.array([box[:4] for box in boxes], float).reshape(-1, 4)
        looks = [None if frame is None else _look(frame, box) for box in boxes]
        for face in self._faces:
            face["missed"], face["age"] = face["missed"] + 1, face["age"] + 1
        recent = [face for face in self._faces if face["missed"] <= self.gap + 1]
        expected = [face["box"] + np.tile(face["speed"], 2) * face["missed"] for face in recent]
        near = _likeness(boxes, np.array(expected).reshape(-1, 4))
        alike = np.array([[_alike(look, face["look"]) for face in recent] for look in looks])
        alike = alike.reshape(near.shape)
        # When two faces cross, colours separate them better than positions.
        matched = _assign(near * (alike >= OTHER) * alike**4)
        ids = []
        for i, (box, look) in enumerate(zip(boxes, looks)):
            if i in matched:
                face = recent[matched[i]]
                step = (_middles(box) - _middles(face["box"])) / face["missed"]
                face["speed"] = (face["speed"] + step) / 2
                if (
                    look is not None and (near[i] > 0).sum() < 2
                ):  # else the box may contain the other face
                    face["look"] = 0.8 * face["look"] + 0.2 * look
            else:
                face = {"speed": np.zeros(2), "look": look, "count": 0, "age": 0, "id": -1}
                self._faces.append(face)
            face.update(box=box, shown=look, count=face["count"] + 1, missed=0)
            ids.append(face)
        self._recall([face for face in ids if face["age"] <= YOUNG and face["shown"] is not None])
        for face in ids:
            if face["id"] < 0 and face["count"] >= self.confirm:
                face["id"], self._next = self._next, self._next + 1
        self._faces = [face for face in self._faces if face["missed"] <= self.memory]
        return [face["id"] for face in ids]

    def _recall(self, young):
        """Re-identifies new faces as lost ones with the same colours."""
        lost = [face for face in self._faces if face["missed"] and face["id"] >= 0]
        score = np.zeros((len(young), len(lost)))
        for row, new in enumerate(young):
            for column, old in enumerate(lost):
                # Lost before the new one appeared, and within the distance it could have moved.
                reach = old["missed"]
                within = reach > new["age"] and _likeness(new["box"][None], old["box"][None], reach)
                alike = _alike(new["shown"], old["look"])
                score[row, column] = alike * bool(within) * (alike >= SAME)
        for row, column in _assign(score).items():
            new, old = young[row], lost[column]
            if new["id"] >= 0:
                self.same[new["id"]] = old["id"]
            new.update(id=old["id"], look=old["look"], count=new["count"] + old["count"])
            new["age"] = old["age"]
            self._faces = [face for face in self._faces if face is not old]


def _assign(score):
    """Returns a dict of row to column: the assignment with the highest sum of scores above 0."""
    if min(score.shape) < 2:  # as where one face is followed
        best = np.unravel_index(score.argmax(), score.shape) if score.size else ()
        return dict([best]) if best and score[best] > 0 else {}
    from scipy.optimize import linear_sum_assignment  # not above: it takes 0.4 s to load

    pairs = zip(*linear_sum_assignment(score, maximize=True), strict=True)
    return {i: j for i, j in pairs if score[i, j] > 0}


def _look(frame, box):
    """Returns float32 array (n,) of norm 1: the square roots of a box's histogram of colours."""
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = np.clip(box, 0, (width - 1, height - 1) * 2).astype(int)
    small = cv2.resize(frame[y1 : y2 + 1, x1 : x2 + 1], (64, 64), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], None, COLOURS, RANGES).ravel()
    return np.sqrt(counts / max(counts.sum(), 1))


def _alike(a, b):
    """Returns float in [0, 1], the Bhattacharyya coefficient of two looks; 1 without one."""
    return 1.0 if a is None or b is None else min(1.0, float(a @ b))


def _likeness(a, b, reach=1):
    """Returns float array (n, m): 1 for equal boxes, 0 for those that cannot be one face.

    The centres may lie at most `reach` sides apart and the sides differ at most twofold: unlike IoU
    alone, this still follows a head that moved its own width between two detections.
    """
    side_a, side_b = _sides(a)[:, None], _sides(b)[None, :]
    larger = np.maximum(side_a, side_b)
    distance = np.linalg.norm(_middles(a)[:, None] - _middles(b)[None], axis=2) / larger
    ratio = np.minimum(side_a, side_b) / larger
    return np.clip(1 - distance / reach, 0, 1) * np.clip(2 * ratio - 1, 0, 1)


def _middles(boxes):
    return (boxes[..., :2] + boxes[..., 2:4]) / 2


def _sides(boxes):
    return np.sqrt(areas(boxes))


def areas(boxes: np.ndarray) -> np.ndarray:
    """Returns the areas (n,) of boxes (n, 4), xyxy."""
    return np.maximum(boxes[:, 2:4] - boxes[:, :2], 1e-6).prod(axis=1)


def smooth(times: np.ndarray, boxes: np.ndarray, deviation: float) -> np.ndarray:
    """Smooths the boxes of a face over time: Gaussian-weighted means.

    Args:
        times: float array (n,), seconds, increasing.
        boxes: float array (n, 4).
        deviation: float, standard deviation of the Gaussian in seconds.

    Returns:
        Float array (n, 4). Boxes that are far apart in time do not affect each other.

    >>> smooth(np.array([0.0, 9.0]), np.array([[0.0, 0, 4, 4], [8, 8, 9, 9]]), 0.2)[0].tolist()
    [0.0, 0.0, 4.0, 4.0]
    """
    total, weights = np.zeros_like(boxes), np.zeros((len(boxes), 1))
    for shift in range(-REACH, REACH + 1):
        here = np.arange(max(0, -shift), min(len(boxes), len(boxes) - shift))
        apart = (times[here + shift] - times[here])[:, None]
        weight = np.exp(-0.5 * (apart / deviation) ** 2)
        total[here] += weight * boxes[here + shift]
        weights[here] += weight
    return total / weights
