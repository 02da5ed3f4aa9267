"""MFCC map: 40 coefficients over 44 steps that span the whole utterance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from emotion.clip import Signal

BLOCK = 1024  # frames of the STFT at once: a long sound is never there in full


@dataclass(frozen=True)
class Mfcc:
    """Mel-frequency cepstral coefficients, averaged into a fixed number of steps.

    The frames of the STFT are averaged over equal parts of the utterance, so clips of any length
    give the same shape and nothing is cut off. Every setting that changes a value is a field, and
    so part of the run.

    Attributes:
        n_mfcc: int, coefficients.
        steps: int, length of the time axis.
        sample_rate: int, Hz.
        frame_length, hop_length: int, STFT window and hop in samples.
        n_mels: int, mel bands (librosa's Slaney scale and norm, DCT-II orthonormal, top_db=80).
        trim_db: float, dB below the loudest frame; quieter leading and trailing parts are trimmed
            (a RAVDESS take begins and ends with a second of silence). None for no trimming.

    >>> from emotion.clip import Signal
    >>> tone = np.sin(np.arange(32000) / 10).astype(np.float32)
    >>> Mfcc()(Signal(tone, 16000, frames=None, times=None, duration=2.0)).shape
    (40, 44, 1)
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
        """Trims leading and trailing silence below `trim_db`; returns the trimmed Signal."""
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
            signal: Signal at `sample_rate`, as `prepare` returns it.

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
        """Returns the steps of the computation, list of str; text in backquotes is code for `x`."""
        trim = f"`y, _ = librosa.effects.trim(y, top_db={self.trim_db})`"
        return [
            describe_sound(self),
            *([] if self.trim_db is None else [trim]),
            describe_cepstrum(self),
            *describe_step_means(self.steps),
            "`x = x[..., None]`",
        ]

    def span(self, signal: Signal) -> tuple[float, float]:
        """Returns (start, end) in seconds: the part of the sound that the steps cover."""
        samples = sound(signal, self)
        start, end = 0, len(samples)
        if self.trim_db is not None and end:
            start, end = self._bounds(samples)
        return start / self.sample_rate, end / self.sample_rate


def sound(signal: Signal, feature: Any) -> np.ndarray:
    """Returns the samples of a signal, float32 (n,); n is 0 for a signal without sound.

    Raises:
        ValueError: the signal has another sample rate than the feature.
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
    """Describes the input of `sound`."""
    return (
        f"y is the sound at {feature.sample_rate} Hz, mono (the mean of the channels), float32 in "
        "[-1, 1]. Without any, x is zero."
    )


def describe_cepstrum(feature: Any) -> str:
    """Describes the computation of `cepstrum`."""
    return (
        f"`x = librosa.feature.mfcc(y=y, sr={feature.sample_rate}, n_mfcc={feature.n_mfcc}, "
        f"n_fft={feature.frame_length}, hop_length={feature.hop_length}, n_mels={feature.n_mels})` "
        f"(librosa 0.11): shape ({feature.n_mfcc}, t)"
    )


def cepstrum(samples: np.ndarray, feature: Any) -> np.ndarray:
    """Computes librosa's MFCC of every STFT frame, bit for bit the same in any process.

    Args:
        samples: float32 array (n,).
        feature: Mfcc or another with its `sample_rate`, `frame_length`, `hop_length`, `n_mels` and
            `n_mfcc`.

    Returns:
        float32 array (n_mfcc, 1 + n // hop_length).
    """
    import librosa

    mel = librosa.power_to_db(mel_power(samples, feature))
    return librosa.feature.mfcc(S=mel, n_mfcc=feature.n_mfcc)


def mel_power(samples: np.ndarray, feature: Any) -> np.ndarray:
    """Computes librosa's mel spectrogram, bit for bit the same in any process.

    It is computed here because loading librosa takes longer than analysing a short clip.

    Args:
        samples: float32 array (n,).
        feature: a feature with `sample_rate`, `frame_length`, `hop_length` and `n_mels`.

    Returns:
        float32 array (n_mels, 1 + n // hop_length), power.
    """
    length = feature.frame_length
    window = 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1)[:-1])
    frames = sliding_window_view(np.pad(samples, length // 2), length)[:: feature.hop_length]
    # A sparse product: the last bits of a BLAS product depend on the number of threads.
    filters = _mel_filters(feature.sample_rate, length, feature.n_mels)
    power = np.empty((feature.n_mels, len(frames)), np.float32)
    for first in range(0, len(frames), BLOCK):
        spectrum = np.fft.rfft(window * frames[first : first + BLOCK]).astype(np.complex64).T
        power[:, first : first + BLOCK] = filters @ (spectrum.real**2 + spectrum.imag**2)
    return power


@lru_cache(maxsize=8)
def _mel_filters(sample_rate, frame_length, n_mels):
    """Triangles (n_mels, 1 + frame_length // 2) of area 1, on the scale of Slaney's toolbox."""
    from scipy.sparse import csr_array  # not above: only sound needs it

    linear, step = 15, np.log(6.4) / 27  # up to 1000 Hz in steps of 200/3 Hz, logarithmic above
    highest = sample_rate / 2
    top = highest * 3 / 200 if highest < 1000 else linear + np.log(highest / 1000) / step
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < linear, mels * (200 / 3), 1000 * np.exp(step * (mels - linear)))
    distances = edges[:, None] - np.fft.rfftfreq(frame_length, 1 / sample_rate)
    widths = np.diff(edges)[:, None]
    rising, falling = -distances[:-2] / widths[:-1], distances[2:] / widths[1:]
    triangles = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    triangles *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return csr_array(triangles)


def step_means(values: np.ndarray, steps: int) -> np.ndarray:
    """Averages over equal parts of the time axis; neighbouring parts may share a frame.

    Args:
        values: float array (c, t).
        steps: int, number of parts.

    Returns:
        float64 array (c, steps).

    >>> step_means(np.array([[1.0, 3.0, 5.0, 7.0]]), 2).tolist()
    [[2.0, 6.0]]
    """
    edges = np.linspace(0, values.shape[1], steps + 1)
    starts = np.floor(edges[:-1]).astype(int)
    ends = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    totals = np.pad(np.cumsum(values, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    return (totals[:, ends] - totals[:, starts]) / (ends - starts)


def describe_step_means(steps: int) -> list[str]:
    """Describes the computation of `step_means`, list of str."""
    return [
        f"`e = np.linspace(0, x.shape[1], {steps + 1})`",
        "`parts = [x[:, int(a) : max(int(np.ceil(b)), int(a) + 1)] for a, b in zip(e, e[1:])]`",
        "`x = np.stack([part.mean(axis=1) for part in parts], axis=1)`: "
        f"means of {steps} equal parts",
    ]
