"""Face frames: 20 crops of 112 x 112 that span the whole utterance."""

from dataclasses import dataclass

import numpy as np

from emotion.clip import spread
from emotion.crops import RESOLUTION, SLACK


@dataclass(frozen=True)
class FaceFrames:
    """A fixed number of face crops, evenly spread over the signal.

    Attributes:
        count: int, frames.
        size: int, side of the square crop in pixels.
        margin: float, what is added around the detected face, as a fraction of its side.
    """

    count: int = 20
    size: int = 112
    margin: float = 0.2

    dtype = "uint8"

    @property
    def shape(self):
        """(count, size, size, 3)."""
        return (self.count, self.size, self.size, 3)

    def __call__(self, signal):
        """Picks, for each wanted time, the crop nearest to it.

        Args:
            signal: Signal whose frames are crops of side `size`.

        Returns:
            uint8 array (count, size, size, 3), RGB; black where the signal has no face.

        Raises:
            ValueError: the crops have another size.
        """
        if signal.frames is None or len(signal.frames) == 0:
            return np.zeros(self.shape, np.uint8)
        if signal.frames.shape[1:] != self.shape[1:]:
            raise ValueError(
                f"FaceFrames needs crops of shape {self.shape[1:]}; crop them at size={self.size}. "
                f"Received: {signal.frames.shape[1:]}."
            )
        distance = np.abs(spread(signal.duration, self.count)[:, None] - signal.times[None, :])
        nearest = np.argmin(distance, axis=1)
        same = np.array_equal(nearest, np.arange(len(signal.frames)))
        return signal.frames if same else signal.frames[nearest]

    def describe(self):
        """Returns the steps, list of str."""
        wide, around = RESOLUTION * self.size, self.margin + SLACK
        return [
            "The first frame at or after each multiple of 1/6 second, RGB and upright.",
            "The face in each, with the detector that `run.json` names; of several the one that is "
            "largest for longest. Its boxes are smoothed over time: Gaussian, sigma 1/6 second.",
            f"Cut out of the frame first, around the box as it was detected: the square around its "
            f"middle, its side {1 + 2 * around:g} times the longer one of the box, corners rounded "
            f"to pixels; beyond the frame its border is repeated. Scaled to {wide} x {wide}.",
            f"Cut out of that likewise around the smoothed box, {1 + 2 * self.margin:g} times its "
            f"longer side, and scaled to {self.size} x {self.size}. OpenCV scales: INTER_AREA to "
            "fewer pixels, else INTER_LINEAR. Values stay 0 to 255.",
            f"Of a clip of d seconds, for i from 0 to {self.count - 1}, the crop nearest in time "
            f"to (i + 0.5) d / {self.count}. Without any face all is zero.",
        ]
