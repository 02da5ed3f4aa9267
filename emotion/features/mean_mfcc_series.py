"""Mean-MFCC series: the mean of 13 MFCCs at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emotion.features.mfcc import cepstrum, describe_cepstrum, describe_sound, sound

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class MeanMfccSeries:
    """The mean over 13 MFCCs in each of 259 frames: a time series, not 259 coefficients.

    A table's series is taken as it is. Computed from sound it differs from it as far as the sound
    does: the published series of RAVDESS was seen to agree with one original video (correlation
    0.9998) and to lie three frames beside another.

    Attributes:
        n_mfcc: int, coefficients that are averaged.
        sample_rate: int, Hz.
        offset, duration: float, seconds: where the series begins, and how much sound it covers.
        frame_length, hop_length: int, STFT window and hop in samples.
        n_mels: int, mel bands (librosa's Slaney scale and norm, DCT-II orthonormal, top_db=80).
    """

    n_mfcc: int = 13
    sample_rate: int = 44100
    offset: float = 0.5
    duration: float = 3.0
    frame_length: int = 2048
    hop_length: int = 512
    n_mels: int = 128

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(259,) with the default settings."""
        return (1 + int(self.duration * self.sample_rate) // self.hop_length,)

    def __call__(self, signal: Signal) -> np.ndarray:
        """Computes the series.

        Args:
            signal: Signal, given `mean_mfcc_series`, or else at `sample_rate`.

        Returns:
            float32 array (259,); a shorter sound ends in zeros, none at all is all zeros.

        Raises:
            ValueError: the signal has another sample rate, or was given another length.
        """
        series = np.zeros(self.shape, np.float32)
        if "mean_mfcc_series" in signal.features:
            tabled = signal.features["mean_mfcc_series"]
            if tabled.shape != self.shape:
                raise ValueError(
                    f"MeanMfccSeries must have the shape {self.shape} of the table's series. "
                    f"Received: {tabled.shape}."
                )
            return tabled.astype(np.float32)
        start = int(self.offset * self.sample_rate)
        samples = sound(signal, self)[start : start + int(self.duration * self.sample_rate)]
        if samples.size == 0:
            return series
        coefficients = cepstrum(samples, self)
        series[: coefficients.shape[1]] = coefficients.mean(axis=0)
        return series

    def describe(self) -> list[str]:
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        start = int(self.offset * self.sample_rate)
        return [
            describe_sound(self),
            f"`y = y[{start}:{start + int(self.duration * self.sample_rate)}]`",
            describe_cepstrum(self),
            "`x = x.mean(axis=0)`",
            f"`x = np.pad(x, (0, {self.shape[0]} - len(x)))`",
        ]
