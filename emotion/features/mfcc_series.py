"""MFCC series: 10 coefficients at the 156 steps of 3.6 seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion.features.mfcc import cepstrum, describe_cepstrum, describe_sound, sound

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class MfccSeries:
    """Mel-frequency cepstral coefficients as a time series of a fixed duration.

    What is shorter is padded with silence at its end; what is longer is cut at both ends equally.

    Source: Chumachenko et al. (ICPR 2022), https://github.com/katerynaCh/multimodal-emotion-recognition,
    which takes librosa's defaults for all but the number of coefficients.

    Attributes:
        n_mfcc: int, coefficients.
        duration: float, seconds.
        sample_rate: int, Hz.
        frame_length, hop_length: int, STFT window and hop in samples.
        n_mels: int, mel bands (librosa's Slaney scale and norm, DCT-II orthonormal, top_db=80).
    """

    n_mfcc: int = 10
    duration: float = 3.6
    sample_rate: int = 22050
    frame_length: int = 2048
    hop_length: int = 512
    n_mels: int = 128

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(steps, n_mfcc)."""
        return (1 + int(self.duration * self.sample_rate) // self.hop_length, self.n_mfcc)

    def __call__(self, signal: Signal) -> np.ndarray:
        """Computes the series.

        Args:
            signal: Signal at `sample_rate`.

        Returns:
            float32 array (steps, n_mfcc); zeros where the signal has no sound.

        Raises:
            ValueError: the signal has another sample rate.
        """
        samples = sound(signal, self)
        if samples.size == 0:
            return np.zeros(self.shape, np.float32)
        length = int(self.duration * self.sample_rate)
        start = max(len(samples) - length, 0) // 2
        samples = samples[start : start + length]
        samples = np.pad(samples, (0, length - len(samples)))
        return np.ascontiguousarray(cepstrum(samples, self).T, np.float32)

    def describe(self) -> list[str]:
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        length = int(self.duration * self.sample_rate)
        return [
            describe_sound(self),
            f"`y = y[max(len(y) - {length}, 0) // 2 :][:{length}]`",
            f"`y = np.pad(y, (0, {length} - len(y)))`",
            describe_cepstrum(self),
            "`x = x.T`",
        ]

    def span(self, signal: Signal) -> tuple[float, float]:
        """Returns (start, end) in seconds, the part of a signal that the steps cover."""
        excess = len(sound(signal, self)) / self.sample_rate - self.duration
        start = max(excess, 0.0) / 2
        return start, start + self.duration
