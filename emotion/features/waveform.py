"""Waveform: 4 seconds of samples with zero mean and unit variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion.features.mfcc import describe_sound, sound

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class Waveform:
    """The samples themselves, for an encoder that reads the waveform, such as Wav2Vec2.

    What is longer is cut at both ends equally; what is shorter is followed by zeros, which count
    for neither mean nor variance. Normalised as Wav2Vec2FeatureExtractor of transformers does:
    (x - mean) / sqrt(variance + 1e-7).

    Attributes:
        sample_rate: int, Hz.
        seconds: float.
    """

    sample_rate: int = 16000
    seconds: float = 4.0

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (int(self.seconds * self.sample_rate),)

    def __call__(self, signal: Signal) -> np.ndarray:
        """Cuts or pads, and normalises.

        Args:
            signal: Signal at `sample_rate`.

        Returns:
            float32 array (n,); zeros where the signal has no sound.

        Raises:
            ValueError: the signal has another sample rate.
        """
        samples = sound(signal, self)
        values = np.zeros(self.shape, np.float32)
        if samples.size == 0:
            return values
        start = max(len(samples) - len(values), 0) // 2
        samples = samples[start : start + len(values)].astype(np.float64)
        values[: len(samples)] = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return values

    def describe(self) -> list[str]:
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        (length,) = self.shape
        return [
            describe_sound(self),
            f"`y = y[max(len(y) - {length}, 0) // 2 :][:{length}]`",
            "`x = (y - y.mean()) / np.sqrt(y.var() + 1e-7)`",
            f"`x = np.pad(x, (0, {length} - len(x)))`",
        ]
