"""Face crops: the one path from the frames of a recording to the crops that a model sees.

Training, recordings and live use it alike: a face is looked for at every STEP on the recording's
clock, followed, and cut out along a box that is smoothed over time. The smoothing looks at no frame
outside the stretch that is asked for, so a stretch gives the same crops whatever lies around it.
"""

import numpy as np

from emotion import faces
from emotion.tracks import Tracker, areas, smooth

STEP = 1 / 6  # seconds between detections: a head moves less than its width in that time
MEMORY = 5  # seconds for which a face that was lost is known again
# What is kept of a frame until its stretch is complete: the face with more around it than the
# margin, at a multiple of the crop's resolution. A smoothed box lies well inside.
SLACK = 0.25  # of the box's longer side, on every side
RESOLUTION = 2


class CropStream:
    """Follows the faces of a recording, frame by frame, and cuts them out.

    Args:
        detector: function of a frame that returns boxes, such as faces.Detector.
        size: int, side of a crop in pixels.
        margin: float, added around the smoothed box, as a fraction of its longer side.
    """

    def __init__(self, detector, size, margin):
        self._detector, self._size, self._margin = detector, size, margin
        self._tracker = Tracker(confirm=1, memory=round(MEMORY / STEP))
        self._times, self._found = [], []  # of the frames; (time, id, box, patch) of the faces

    @property
    def same(self):
        """Dict of int to int, the ids that turned out to be an earlier one (tracks.Tracker)."""
        return self._tracker.same

    def see(self, time, frame):
        """Takes the next frame.

        Args:
            time: float, seconds; grows from call to call, by about STEP.
            frame: uint8 array (h, w, 3), RGB.

        Returns:
            List of (int id, float array (4,) xyxy in pixels), the faces as they were detected.
        """
        boxes = self._detector(frame)
        found = list(zip(self._tracker.update(boxes, frame), boxes[:, :4], strict=True))
        for id, box in found:
            patch = _Patch(frame, box, RESOLUTION * self._size, self._margin + SLACK)
            self._found.append((time, id, box, patch))
        self._times.append(time)
        return found

    def forget(self, before):
        """Drops what lies before a time (s)."""
        self._times = [time for time in self._times if time >= before]
        self._found = [item for item in self._found if item[0] >= before]

    def tracks(self, start, end):
        """Cuts out the faces of a stretch.

        Args:
            start, end: float, seconds; `end` is not part of it.

        Returns:
            Dict of id to (times, boxes, crops), by id: float array (k,), seconds; float array
            (k, 4), smoothed, xyxy in pixels; uint8 array (k, size, size, 3), RGB. A face that was
            found in one of several frames is left out as spurious.
        """
        looks = sum(start <= time < end for time in self._times)
        own = {}
        for time, id, box, patch in self._found:
            if start <= time < end:
                own.setdefault(self.same.get(id, id), []).append((time, box, patch))
        cut = {}
        for id, items in sorted(own.items()):
            if len(items) >= min(2, looks):
                times, boxes, patches = zip(*items)
                times = np.array(times)
                boxes = smooth(times, np.array(boxes, float), STEP)
                pairs = zip(patches, boxes)
                crops = np.stack(
                    [patch.crop(box, self._size, self._margin) for patch, box in pairs]
                )
                cut[id] = times, boxes, crops
        return cut


def main_face(tracks):
    """Returns the (times, boxes, crops) with the most presence times area, or None without any.

    Args:
        tracks: dict, of `CropStream.tracks`.
    """
    return max(tracks.values(), key=lambda track: areas(track[1]).sum(), default=None)


class _Patch:
    """A face with its surroundings, from which it can be cut out along another box."""

    def __init__(self, frame, box, side, margin):
        x1, y1, x2, _ = np.round(faces.square(box, margin, frame.shape[:2]))
        self._image = faces.crop(frame, box, side, margin)
        self._corner, self._scale = np.array((x1, y1, x1, y1)), side / (x2 - x1)

    def crop(self, box, size, margin):
        return faces.crop(self._image, (box - self._corner) * self._scale, size, margin)
