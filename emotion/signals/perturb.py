"""Perturbations of signals in evaluation: noise, low light, blur, a missing modality.

A disturbance is called as an Augmentation is, with a signal and a generator. Its chance comes from
the clip's id alone, so a clip has the same noise in any process, and the same at every level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from emotion.clip import Clip, Load, Signal


@dataclass(frozen=True)
class Noise:
    """White Gaussian noise in the sound.

    Attributes:
        level: float, signal-to-noise ratio in dB: the power of the clip's samples, silence
            included, over that of the noise; inf adds none. The sum may leave [-1, 1].
    """

    level: float

    kind = "noise"

    def reaches(self, signal: Signal) -> bool:
        """Returns whether a model hears these samples, and not what a table says of them."""
        return signal.samples is not None and not replace(signal, samples=None).has_audio

    def __call__(self, signal: Signal, generator: np.random.Generator) -> Signal:
        """Returns the signal with noise of exactly that power; one without sound as it is."""
        if signal.samples is None or not signal.samples.any():
            return signal
        noise = generator.standard_normal(len(signal.samples))
        ratio = np.mean(np.square(signal.samples, dtype=float)) / np.mean(noise**2)
        samples = signal.samples + noise * np.sqrt(ratio) * 10 ** (-self.level / 20)
        return replace(signal, samples=samples.astype(np.float32))


@dataclass(frozen=True)
class Darkness:
    """Less light on the face.

    Attributes:
        level: float in [0, 1], the gain that every value of a crop is multiplied by; 1 darkens
            nothing.
    """

    level: float

    kind = "darkness"

    def reaches(self, signal: Signal) -> bool:
        """Returns whether there are crops."""
        return signal.frames is not None

    def __call__(self, signal: Signal, generator: np.random.Generator) -> Signal:
        """Returns the signal with darker frames."""
        if signal.frames is None:
            return signal
        darker = np.rint(np.arange(256) * self.level).astype(np.uint8)
        return replace(signal, frames=darker[signal.frames])


@dataclass(frozen=True)
class Blur:
    """A face out of focus.

    Attributes:
        level: float, standard deviation of the Gaussian in pixels of the crop; 0 blurs nothing.
    """

    level: float

    kind = "blur"

    def reaches(self, signal: Signal) -> bool:
        """Returns whether there are crops."""
        return signal.frames is not None

    def __call__(self, signal: Signal, generator: np.random.Generator) -> Signal:
        """Returns the signal with blurred frames."""
        if signal.frames is None or not self.level:
            return signal
        edge = cv2.BORDER_REPLICATE
        blurred = [cv2.GaussianBlur(f, (0, 0), self.level, borderType=edge) for f in signal.frames]
        return replace(signal, frames=np.stack(blurred))


@dataclass(frozen=True)
class Without:
    """A modality that is missing, with what was computed from it.

    Attributes:
        level: "audio" or "video".
    """

    level: str

    kind = "without"

    def reaches(self, signal: Signal) -> bool:
        """Returns whether the other modality is left."""
        return signal.has_audio and signal.has_face

    def __call__(self, signal: Signal, generator: np.random.Generator) -> Signal:
        """Returns the signal without the modality."""
        return signal.without(self.level)


# From the weakest to the strongest of each kind.
DISTURBANCES = (
    *map(Noise, (30.0, 20.0, 10.0, 5.0, 0.0)),
    *map(Darkness, (0.75, 0.5, 0.25, 0.1)),
    *map(Blur, (1.0, 2.0, 4.0)),
    *map(Without, ("audio", "video")),
)


def load(clip: Clip, read: Load, disturbance: Any) -> Signal:
    """Loads a clip's signal and disturbs it.

    Args:
        clip: Clip; its id is the seed.
        read: function of a Clip that returns its Signal.
        disturbance: one of DISTURBANCES, or another level of such.

    Returns:
        Signal.
    """
    return disturbance(read(clip), np.random.default_rng(list(clip.id.encode())))
