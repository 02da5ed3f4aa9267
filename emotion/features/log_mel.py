"""Log-mel map: mel bands in decibels below the clip's maximum, over steps that span the utterance.

One setting of it is the recipe of the CREMA-D arrays of `data.log_mel_table`, so that they and
recordings train one model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft

from emotion.features.mfcc import describe_sound, describe_step_means, mel_power, sound, step_means

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class LogMel:
    """Cepstral coefficients of a log-mel spectrogram, relative to its maximum.

    The level of a recording says more about the microphone than about the speaker, so only
    differences within the clip remain.

    Attributes:
        coefficients: int, of the DCT over the bands.
        steps: int, length of the time axis.
        sample_rate: int, Hz.
        frame_length, hop_length: int, STFT window and hop in samples.
        n_mels: int, mel bands up to half the sample rate (librosa's Slaney scale and norm).
        bands: int, the lowest of them that are used: 112 of 128 end at 7.9 kHz.
        top_db: float, dB below the maximum at which values are clipped.
        trim_db: float, dB below the loudest frame; quieter leading and trailing frames are trimmed.
    """

    coefficients: int = 40
    steps: int = 44
    sample_rate: int = 22050
    frame_length: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    bands: int = 112
    top_db: float = 60.0
    trim_db: float = 25.0

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(coefficients, steps, 1)."""
        return (self.coefficients, self.steps, 1)

    def prepare(self, signal: Signal) -> Signal:
        """Trims leading and trailing silence below `trim_db`; returns the trimmed Signal."""
        if "log_mel" in signal.features:
            values = signal.features["log_mel"]
            start, end = self._bounds(values)
            return replace(signal, features={**signal.features, "log_mel": values[:, start:end]})
        samples = sound(signal, self)
        if samples.size == 0:
            return signal
        start, end = self._bounds(_decibels(mel_power(samples, self), self.bands))
        hop = self.hop_length
        return replace(signal, samples=samples[start * hop : (end - 1) * hop + 1])

    def _bounds(self, values):
        """(start, end) of the frames from the first to the last loud one."""
        level = 10 * np.log10(np.sum(10.0 ** (values / 10), axis=0))
        loud = np.flatnonzero(level >= level.max() - self.trim_db)
        return loud[0], loud[-1] + 1

    def __call__(self, signal: Signal) -> np.ndarray:
        """Computes the map.

        Args:
            signal: Signal, given `log_mel` (bands, t) in dB, or else at `sample_rate`; as `prepare`
                returns it.

        Returns:
            float32 array (coefficients, steps, 1); zeros where the signal has no sound, or silence.

        Raises:
            ValueError: the signal has another sample rate.
        """
        values = signal.features.get("log_mel")
        if values is None:
            samples = sound(signal, self)
            if samples.size == 0 or not samples.any():
                return np.zeros(self.shape, np.float32)
            values = _decibels(mel_power(samples, self), self.bands)
        values = np.maximum(values - values.max(), -self.top_db)
        means = step_means(values, self.steps)
        return fft.dct(means, axis=0, norm="ortho")[: self.coefficients, :, None].astype(np.float32)

    def describe(self) -> list[str]:
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        hop = self.hop_length
        power = (
            f"librosa.feature.melspectrogram(y=y, sr={self.sample_rate}, "
            f"n_fft={self.frame_length}, hop_length={hop}, n_mels={self.n_mels})[:{self.bands}]"
        )
        return [
            describe_sound(self),
            f"`p = {power}.sum(axis=0)` (librosa 0.11)",
            f"`loud = np.flatnonzero(p >= p.max() * 10 ** (-{self.trim_db} / 10))`",
            f"`y = y[loud[0] * {hop} : loud[-1] * {hop} + 1]`",
            f"`x = {power}`",
            f"`x = librosa.power_to_db(x, ref=np.max, top_db={self.top_db})`",
            *describe_step_means(self.steps),
            f"`x = librosa.feature.mfcc(S=x, n_mfcc={self.coefficients})[..., None]`: a DCT",
        ]

    def span(self, signal: Signal) -> tuple[float, float]:
        """Returns (start, end) in seconds: the part of the sound that the steps cover."""
        samples = sound(signal, self)
        if samples.size == 0:
            return 0.0, 0.0
        start, end = self._bounds(_decibels(mel_power(samples, self), self.bands))
        return start * self.hop_length / self.sample_rate, end * self.hop_length / self.sample_rate


def _decibels(power, bands):
    """Power of the lowest bands in dB below their maximum, float32 (bands, t)."""
    power = np.maximum(power[:bands], 1e-10)
    return (10 * np.log10(power / power.max())).astype(np.float32)
