"""Log-mel map: mel bands in decibels over steps that span the utterance.

One setting of it is the recipe of the CREMA-D arrays of `data.log_mel_table`, so that they and
recordings train one model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from emotion.features.mfcc import describe_sound, describe_step_means, mel_power, sound, step_means

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class LogMel:
    """Cepstral coefficients of a log-mel spectrogram.

    The level of a recording says more about the microphone than about the speaker, so by default
    only differences within the clip remain. Recordings of one studio are told apart by it: with
    `reference_db`, it is kept.

    Attributes:
        coefficients: int, of the DCT over the bands.
        steps: int, length of the time axis.
        sample_rate: int, Hz.
        frame_length, hop_length: int, STFT window and hop in samples.
        n_mels: int, mel bands up to half the sample rate (librosa's Slaney scale and norm).
        bands: int, the lowest of them that are used: 112 of 128 end at 7.9 kHz.
        top_db: float, dB below the maximum at which values are clipped.
        trim_db: float, dB below the loudest frame; quieter leading and trailing frames are trimmed.
        reference_db: float, power in dB that becomes 0, about that of the loudest bin of a typical
            clip; None: the clip's own maximum. The level of a table's clips is unknown: theirs
            is 0.
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
    reference_db: float | None = None

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(coefficients, steps, 1)."""
        return (self.coefficients, self.steps, 1)

    def prepare(self, signal: Signal) -> Signal:
        """Computes the bands and trims leading and trailing frames below `trim_db`.

        Augmentation then varies the bands, which takes a hundredth of the time of the waveform's.

        Returns:
            Signal with `log_mel` in place of its samples; as it is where it has no sound.
        """
        values = self._bands(signal)
        if values is None:
            return signal
        start, end = self._bounds(values)
        features = {**signal.features, "log_mel": values[:, start:end]}
        return replace(signal, samples=None, features=features)

    def _bands(self, signal):
        """The bands in dB, float32 (bands, t), or None without sound."""
        if "log_mel" in signal.features:
            return signal.features["log_mel"]
        samples = sound(signal, self)
        if samples.size == 0 or not samples.any():
            return None
        power = np.maximum(mel_power(samples, self)[: self.bands], 1e-10)
        values = 10 * np.log10(power)
        top = values.max() if self.reference_db is None else self.reference_db
        return (values - top).astype(np.float32)

    def _bounds(self, values):
        """(start, end) of the frames from the first to the last loud one."""
        level = 10 * np.log10(np.sum(10.0 ** (values / 10), axis=0))
        loud = np.flatnonzero(level >= level.max() - self.trim_db)
        return loud[0], loud[-1] + 1

    def __call__(self, signal: Signal) -> np.ndarray:
        """Computes the map.

        Args:
            signal: Signal as `prepare` returns it, with `log_mel` (bands, t) in dB; or at
                `sample_rate`.

        Returns:
            float32 array (coefficients, steps, 1); zeros where the signal has no sound, or silence.

        Raises:
            ValueError: the signal has another sample rate.
        """
        from scipy import fft  # not above: only sound needs it

        values = self._bands(signal)
        if values is None:
            return np.zeros(self.shape, np.float32)
        top = values.max()
        values = np.maximum(values, top - self.top_db)
        if self.reference_db is None:
            values = values - top
        means = step_means(values, self.steps)
        return fft.dct(means, axis=0, norm="ortho")[: self.coefficients, :, None].astype(np.float32)

    def describe(self) -> list[str]:
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        power = (
            f"librosa.feature.melspectrogram(y=y, sr={self.sample_rate}, n_fft={self.frame_length},"
            f" hop_length={self.hop_length}, n_mels={self.n_mels})[:{self.bands}]"
        )
        reference = "np.max" if self.reference_db is None else f"{10 ** (self.reference_db / 10):g}"
        return [
            describe_sound(self),
            f"`x = {power}` (librosa 0.11)",
            "`p = x.sum(axis=0)`",
            f"`loud = np.flatnonzero(p >= p.max() * 10 ** (-{self.trim_db} / 10))`",
            "`x = x[:, loud[0] : loud[-1] + 1]`",
            f"`x = librosa.power_to_db(x, ref={reference}, top_db={self.top_db})`",
            *describe_step_means(self.steps),
            f"`x = librosa.feature.mfcc(S=x, n_mfcc={self.coefficients})[..., None]`: a DCT",
        ]

    def span(self, signal: Signal) -> tuple[float, float]:
        """Returns (start, end) in seconds: the part of the sound that the steps cover."""
        values = self._bands(signal)
        if values is None:
            return 0.0, 0.0
        start, end = self._bounds(values)
        return start * self.hop_length / self.sample_rate, end * self.hop_length / self.sample_rate
