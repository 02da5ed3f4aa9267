"""MFCC map: 40 coefficients over 44 steps that together span the whole utterance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from emotion.clip import Signal


@dataclass(frozen=True)
class Mfcc:
    """Mel-frequency cepstral coefficients, averaged into a fixed number of steps.

    The STFT keeps its own hop; the steps are means over equal parts of the utterance, so a clip of
    any length gives the same shape and none of it is cut off. "MFCC" alone specifies nothing:
    every setting that changes a value is a field here, and so part of the run.

    Attributes:
        n_mfcc: int, coefficients.
        steps: int, length of the time axis.
        sample_rate: int, Hz.
        frame_length, hop_length: int, STFT window and hop in samples.
        n_mels: int, mel bands (librosa's Slaney scale and norm, DCT-II orthonormal, top_db=80).
        trim_db: float or None; leading and trailing parts quieter than this many dB below the
            loudest frame are left out (a RAVDESS take opens and ends with a second of silence).
    """

    n_mfcc: int = 40
    steps: int = 44
    sample_rate: int = 16000
    frame_length: int = 1024
    hop_length: int = 320
    n_mels: int = 64
    trim_db: float | None = 25.0

    dtype = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_mfcc, steps, 1)."""
        return (self.n_mfcc, self.steps, 1)

    def prepare(self, signal: Signal) -> Signal:
        """Returns the signal without the silence around the speech, as `trim_db` has it."""
        samples = sound(signal, self)
        if self.trim_db is None or samples.size == 0:
            return signal
        start, end = self._bounds(samples)
        return replace(signal, samples=samples[start:end])

    def _bounds(self, samples):
        import librosa

        return librosa.effects.trim(samples, top_db=self.trim_db)[1]

    def __call__(self, signal: Signal) -> np.ndarray:
        """Computes the map.

        Args:
            signal: Signal at `sample_rate`, that `prepare` gave.

        Returns:
            float32 array (n_mfcc, steps, 1); zeros where the signal has no sound.

        Raises:
            ValueError: the signal has another sample rate.
        """
        samples = sound(signal, self)
        if samples.size == 0:
            return np.zeros(self.shape, np.float32)
        coefficients = cepstrum(samples, self)
        return step_means(coefficients, self.steps)[..., None].astype(np.float32)

    def describe(self) -> list[str]:
        """Returns the steps, list of str; what stands in backquotes can be run, to `x`."""
        trim = f"`y, _ = librosa.effects.trim(y, top_db={self.trim_db})`"
        return [
            describe_sound(self),
            *([] if self.trim_db is None else [trim]),
            describe_cepstrum(self),
            *describe_step_means(self.steps),
            "`x = x[..., None]`",
        ]

    def span(self, signal: Signal) -> tuple[float, float]:
        """Returns (start, end) in seconds, the part of a signal's sound that the steps cover."""
        samples = sound(signal, self)
        start, end = 0, len(samples)
        if self.trim_db is not None and end:
            start, end = self._bounds(samples)
        return start / self.sample_rate, end / self.sample_rate


def sound(signal: Signal, feature: Any) -> np.ndarray:
    """Returns the samples (n,) of a signal for a feature; none of them where it has no sound.

    Raises:
        ValueError: they are at another rate than the feature's `sample_rate`.
    """
    if signal.samples is None or signal.samples.size == 0:
        return np.zeros(0, np.float32)
    if signal.sample_rate != feature.sample_rate:
        raise ValueError(
            f"{type(feature).__name__} needs sound at {feature.sample_rate} Hz; decode it at that "
            f"rate. Received: sample_rate={signal.sample_rate}."
        )
    return signal.samples


def describe_sound(feature: Any) -> str:
    """Returns in words what `sound` takes."""
    return (
        f"y is the sound at {feature.sample_rate} Hz, mono (the mean of the channels), float32 in "
        "[-1, 1]. Without any, x is zero."
    )


def describe_cepstrum(feature: Any) -> str:
    """Returns in words what `cepstrum` computes."""
    return (
        f"`x = librosa.feature.mfcc(y=y, sr={feature.sample_rate}, n_mfcc={feature.n_mfcc}, "
        f"n_fft={feature.frame_length}, hop_length={feature.hop_length}, n_mels={feature.n_mels})` "
        f"(librosa 0.11): shape ({feature.n_mfcc}, t)"
    )


def cepstrum(samples: np.ndarray, feature: Any) -> np.ndarray:
    """Computes librosa's MFCC of every STFT frame, the same bits in any process.

    Args:
        samples: float32 array (n,).
        feature: Mfcc or another with its `sample_rate`, `frame_length`, `hop_length`, `n_mels` and
            `n_mfcc`.

    Returns:
        float32 array (n_mfcc, 1 + n // hop_length).
    """
    import librosa

    spectrum = librosa.stft(samples, n_fft=feature.frame_length, hop_length=feature.hop_length)
    # A sparse product, since BLAS gives other last bits with another number of threads.
    filters = _mel_filters(feature.sample_rate, feature.frame_length, feature.n_mels)
    mel = librosa.power_to_db(filters @ (spectrum.real**2 + spectrum.imag**2))
    return librosa.feature.mfcc(S=mel, n_mfcc=feature.n_mfcc)


@lru_cache(maxsize=8)
def _mel_filters(sample_rate, frame_length, n_mels):
    import librosa

    return csr_array(librosa.filters.mel(sr=sample_rate, n_fft=frame_length, n_mels=n_mels))


def step_means(values: np.ndarray, steps: int) -> np.ndarray:
    """Means of (c, t) over `steps` equal parts of t -> (c, steps); parts may overlap by a frame."""
    edges = np.linspace(0, values.shape[1], steps + 1)
    starts = np.floor(edges[:-1]).astype(int)
    ends = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    totals = np.pad(np.cumsum(values, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    return (totals[:, ends] - totals[:, starts]) / (ends - starts)


def describe_step_means(steps: int) -> list[str]:
    """Returns the steps of `step_means`, list of str."""
    return [
        f"`e = np.linspace(0, x.shape[1], {steps + 1})`",
        "`parts = [x[:, int(a) : max(int(np.ceil(b)), int(a) + 1)] for a, b in zip(e, e[1:])]`",
        "`x = np.stack([part.mean(axis=1) for part in parts], axis=1)`: "
        f"means of {steps} equal parts",
    ]
