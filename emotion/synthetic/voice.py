"""The voice of the synthetic corpus: a source and a filter, after Klatt (1980).

A train of glottal pulses with a pitch contour, jitter and breath (the source) passes resonators
whose frequencies move from vowel to vowel (the vocal tract). D. H. Klatt, "Software for a
cascade/parallel formant synthesizer", J. Acoust. Soc. Am. 67(3), 1980.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

SAMPLE_RATE = 22050
DURATION = 2.0  # of a clip, seconds
STEP = 110  # samples for which the vocal tract stands still: 5 ms

# Formants of men in Hz: Peterson & Barney, "Control methods used in a study of the vowels",
# J. Acoust. Soc. Am. 24(2), 1952.
VOWELS = {
    "i": (270, 2290, 3010),
    "I": (390, 1990, 2550),
    "E": (530, 1840, 2480),
    "a": (730, 1090, 2440),
    "o": (570, 840, 2410),
    "V": (640, 1190, 2390),
    "3": (490, 1350, 1690),
}
# Each syllable: the noise that opens it (0 none, 1 a hiss or a burst), its vowel, its stress.
STATEMENTS = {
    "1": ((1.0, "I", 1.0), (0.0, "3", 0.6), (1.0, "o", 1.0), (0.7, "I", 0.6),
          (0.4, "a", 0.9), (0.2, "V", 0.5), (0.4, "o", 1.0)),
    "2": ((0.4, "a", 1.0), (0.0, "3", 0.6), (1.0, "I", 1.0), (0.8, "i", 0.6),
          (0.4, "a", 0.9), (0.2, "V", 0.5), (0.4, "o", 1.0)),
}  # fmt: skip


@dataclass(frozen=True)
class Manner:
    """How something is said, as differences from plain speech.

    Attributes:
        pitch: float, semitones.
        melody: float, semitones between a stressed and an unstressed syllable.
        slope: float, semitones from the first to the last syllable.
        loudness: float, dB.
        tilt: float, dB that the spectrum gains at 3 kHz against 300 Hz.
        breath: float, noise for voice, a fraction.
        shake: float, semitones of tremor and jitter.
    """

    pitch: float = 0.0
    melody: float = 1.5
    slope: float = -1.0
    loudness: float = 0.0
    tilt: float = 0.0
    breath: float = 0.05
    shake: float = 0.1


@dataclass(frozen=True)
class Throat:
    """A speaker: base pitch in Hz, formants relative to an average man's, breath and tilt."""

    pitch: float
    formants: float
    breath: float
    tilt: float


def throat(rng: np.random.Generator, female: bool) -> Throat:
    """Draws a Throat; men and women differ in pitch and in the length of the vocal tract."""
    return Throat(
        pitch=rng.uniform(185, 230) if female else rng.uniform(98, 130),
        formants=rng.uniform(1.12, 1.2) if female else rng.uniform(0.95, 1.04),
        breath=rng.uniform(0.02, 0.06),
        tilt=rng.uniform(-1.5, 1.5),
    )


def speak(
    throat: Throat,
    manner: Manner,
    statement: str,
    rng: np.random.Generator,
    duration: float | None = DURATION,
) -> tuple[np.ndarray, np.ndarray]:
    """Synthesises a statement.

    The tempo varies from take to take but not with the manner: the lips would show it.

    Args:
        throat: Throat.
        manner: Manner.
        statement: "1" or "2", as in RAVDESS.
        rng: numpy Generator.
        duration: float, seconds.

    Returns:
        (samples, lips): float32 (n,) in [-1, 1] at SAMPLE_RATE, and float (n // STEP, 2): how far
        the mouth is open and how spread the lips are, each in [0, 1], a row every STEP samples.
    """
    steps = round(duration * SAMPLE_RATE) // STEP
    syllables = STATEMENTS[statement]
    loud, hiss, formants, accent = _score(syllables, steps, rng)
    pitch = throat.pitch * 2 ** ((manner.pitch + manner.melody * accent) / 12)
    drift = np.cumsum(rng.normal(0, 1, steps)) / np.sqrt(steps)
    tremor = np.sin(2 * np.pi * 6.5 * np.arange(steps) * STEP / SAMPLE_RATE + rng.uniform(0, 6))
    line = manner.slope * np.linspace(-0.5, 0.5, steps) + 0.6 * drift + manner.shake * tremor
    pitch = pitch * 2 ** (line / 12)
    source = _glottis(pitch, loud, throat.breath + manner.breath, manner.shake, rng)
    source = _tilt(source, throat.tilt + manner.tilt)
    voice = _tract(source, formants * throat.formants, throat.formants)
    noise = rng.normal(0, 1, steps * STEP) * np.repeat(hiss, STEP)
    noise = lfilter(*_resonator(4200 * throat.formants, 1800), np.diff(noise, prepend=0))
    samples = voice / _level(voice) + 0.25 * noise / max(_level(noise), 1e-9)
    # 0 dB of manner is -28 dB of full scale: the loudest shout still fits.
    samples = samples * 10 ** ((manner.loudness - 28) / 20)
    samples = samples + rng.normal(0, 10 ** (-66 / 20), len(samples))
    lips = np.stack([loud, np.clip((formants[:, 1] - 800) / 1500, 0, 1)], axis=1)
    return np.clip(samples, -1, 1).astype(np.float32), lips


def _score(syllables, steps, rng):
    """Lays the syllables out in time; returns loudness, hiss, formants and accent by step."""
    seconds = np.arange(steps) * STEP / SAMPLE_RATE
    total = seconds[-1] + STEP / SAMPLE_RATE
    lengths = np.array([0.6 + 0.5 * stress for _, _, stress in syllables])
    lengths = lengths * rng.uniform(0.9, 1.1, len(lengths))
    begin, end = total * rng.uniform(0.07, 0.14), total * rng.uniform(0.86, 0.95)
    edges = begin + (end - begin) * np.concatenate([[0], np.cumsum(lengths) / lengths.sum()])
    loud, hiss = np.zeros(steps), np.zeros(steps)
    for (noise, _, stress), start, stop in zip(syllables, edges[:-1], edges[1:], strict=True):
        place = np.clip((seconds - start) / (stop - start), 0, 1)
        # Softer consonants leave the voice on between two vowels.
        swell = np.sin(np.pi * np.clip((place - 0.15 * noise) / (1 - 0.15 * noise), 0, 1))
        loud = np.maximum(loud, swell**0.7 * (0.55 + 0.45 * stress) * rng.uniform(0.9, 1.0))
        burst = np.exp(-(((seconds - start - 0.02) / 0.022) ** 2))
        hiss = np.maximum(hiss, noise * burst)
    middle = (edges[:-1] + edges[1:]) / 2
    targets = np.array([VOWELS[vowel] for _, vowel, _ in syllables]) * rng.normal(1, 0.03, (7, 3))
    formants = np.stack([np.interp(seconds, middle, column) for column in targets.T], axis=1)
    stresses = np.array([stress for _, _, stress in syllables]) * 2.5 - 2
    accent = np.interp(seconds, middle, stresses * rng.uniform(0.8, 1.2, len(stresses)))
    return loud, hiss, formants, accent


def _glottis(pitch, loud, breath, shake, rng):
    """Returns the derivative of the glottal flow, float (steps * STEP,).

    The pulse is type C of A. E. Rosenberg, "Effect of glottal pulse shape on the quality of
    natural vowels", J. Acoust. Soc. Am. 49(2B), 1971: it opens for 40 % of the period, closes
    for 16 %.
    """
    hertz, loud = np.repeat(pitch, STEP), np.repeat(loud, STEP)
    slow = lfilter([0.004], [1, -0.996], rng.normal(0, 1, len(hertz))) * 15
    phase = np.cumsum(hertz * (1 + 0.01 * (0.5 + 2 * shake) * slow) / SAMPLE_RATE) % 1.0
    opening, closing = 0.4, 0.16
    flow = np.where(
        phase < opening,
        0.5 * (1 - np.cos(np.pi * phase / opening)),
        np.cos(0.5 * np.pi * np.clip((phase - opening) / closing, 0, 1)),
    )
    air = rng.normal(0, 1, len(flow)) * (0.4 + flow)
    pulses = np.diff(flow, prepend=flow[0])
    return loud * ((1 - breath) * pulses / _level(pulses) + breath * 2 * air)


def _tilt(samples, decibel):
    """Adds a first-order shelf: `decibel` between 300 Hz and 3 kHz."""
    pole = np.exp(-2 * np.pi * 900 / SAMPLE_RATE)
    low = lfilter([1 - pole], [1, -pole], samples)
    return low + (samples - low) * 10 ** (decibel / 20)


def _resonator(frequency, bandwidth):
    """Returns (b, a) of the digital resonator of Klatt (1980), equations 2 and 3."""
    radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
    c = -(radius**2)
    b = 2 * radius * np.cos(2 * np.pi * frequency / SAMPLE_RATE)
    return [1 - b - c], [1, -b, -c]


def _tract(source, formants, scale):
    """Passes the source through five resonators in cascade, the first three moving."""
    high = np.tile([3500.0 * scale, 4500.0 * scale], (len(formants), 1))
    tracks = np.concatenate([formants, high], axis=1)
    blocks = source.reshape(-1, STEP)
    for track, bandwidth in zip(tracks.T, (70, 90, 130, 250, 300), strict=True):
        state, passed = np.zeros(2), np.empty_like(blocks)
        for i, frequency in enumerate(track):
            passed[i], state = lfilter(*_resonator(frequency, bandwidth), blocks[i], zi=state)
        blocks = passed
    return blocks.ravel()


def _level(samples):
    return np.sqrt(np.mean(np.square(samples)))
