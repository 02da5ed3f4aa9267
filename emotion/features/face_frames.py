"""Face frames: 20 crops of 112 x 112 that span the whole utterance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion.clip import spread
from emotion.faces.crop import RESOLUTION, SLACK

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class FaceFrames:
    """A fixed number of face crops, evenly spread over the signal or at a fixed interval.

    Attributes:
        count: int, frames.
        size: int, side of the square crop in pixels.
        margin: float, what is added around the detected face, as a fraction of its side.
        interval: float or None, seconds from one frame to the next, the first at 0; what a signal
            is too short for is black. None, or a signal that is too long for `count` of them,
            spreads `count` frames evenly.

    Raises:
        ValueError: `count`, `size` or `interval` is not positive.
    """

    count: int = 20
    size: int = 112
    margin: float = 0.2
    interval: float | None = None

    dtype = "uint8"

    def __post_init__(self):
        for name in ("count", "size", "interval"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"`{name}` must be positive. Received: {name}={value}.")

    @property
    def shape(self) -> tuple[int, ...]:
        """(count, size, size, 3)."""
        return (self.count, self.size, self.size, 3)

    def times(self, duration: float) -> np.ndarray:
        """Returns the times of the frames of a signal.

        Args:
            duration: float, seconds.

        Returns:
            float64 array (n,), seconds; n is `count`, or less where `interval` gives fewer.

        >>> FaceFrames(count=6, interval=1.0).times(3.3).tolist()
        [0.0, 1.0, 2.0, 3.0]
        >>> FaceFrames(count=2, interval=1.0).times(3.0).tolist()
        [0.75, 2.25]
        """
        if self.interval is not None:
            times = self.interval * np.arange(self.count + 1)
            times = times[times < duration]
            if len(times) <= self.count:
                return times
        return spread(duration, self.count)

    def __call__(self, signal: Signal) -> np.ndarray:
        """Picks, for each of `times`, the crop nearest to it.

        Args:
            signal: Signal whose frames are crops of side `size`.

        Returns:
            uint8 array (count, size, size, 3), RGB; all black where the signal has no face, and
            black after the last of `times`.

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
        wanted = self.times(signal.duration)
        nearest = np.argmin(np.abs(wanted[:, None] - signal.times[None, :]), axis=1)
        if np.array_equal(nearest, np.arange(len(signal.frames))):
            frames = signal.frames
        else:
            frames = signal.frames[nearest]
        if len(frames) == self.count:
            return frames
        padded = np.zeros(self.shape, np.uint8)
        padded[: len(frames)] = frames
        return padded

    def describe(self) -> list[str]:
        """Returns the steps, list of str."""
        wide, around = RESOLUTION * self.size, self.margin + SLACK
        evenly = f"(i + 0.5) d / {self.count}"
        if self.interval is None:
            when = f"{evenly}, for i from 0 to {self.count - 1}"
        else:
            when = (
                f"0, {self.interval:g}, {2 * self.interval:g} ... seconds below d, and black ones "
                f"up to {self.count}; where these are more than {self.count}, to {evenly}"
            )
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
            f"Of a clip of d seconds the crops nearest in time to {when}. Without any face all is "
            "zero.",
        ]
