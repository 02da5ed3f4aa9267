"""Mean MFCC: 40 coefficients, each averaged over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion.features.mfcc import cepstrum, describe_cepstrum, describe_sound, sound

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class MeanMfcc:
    """Mel-frequency cepstral coefficients, averaged over the whole utterance; librosa's defaults.

    Attributes:
        n_mfcc: int, coefficients.
        sample_rate: int, Hz.
        frame_length, hop_length: int, STFT window and hop in samples.
        n_mels: int, mel bands (librosa's Slaney scale and norm, DCT-II orthonormal, top_db=80).
    """

    n_mfcc: int = 40
    sample_rate: int = 22050
    frame_length: int = 2048
    hop_length: int = 512
    n_mels: int = 128

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_mfcc,)."""
        return (self.n_mfcc,)

    def __call__(self, signal: Signal) -> np.ndarray:
        """Computes the means.

        Args:
            signal: Signal at `sample_rate`.

        Returns:
            float32 array (n_mfcc,); zeros where the signal has no sound.

        Raises:
            ValueError: the signal has another sample rate.
        """
        samples = sound(signal, self)
        if samples.size == 0:
            return np.zeros(self.shape, np.float32)
        return cepstrum(samples, self).mean(axis=1).astype(np.float32)

    def describe(self) -> list[str]:
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        return [
            describe_sound(self),
            describe_cepstrum(self),
            "`x = x.mean(axis=1)`",
        ]
