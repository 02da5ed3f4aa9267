"""A recogniser that needs no training, and the scene of one white square that it is shown."""

import sys
import threading
from types import SimpleNamespace

import numpy as np
from videos import write_video

from emotion.faces import detect
from emotion.web import uploads

LABELS = ("neutral", "happy", "sad")
NTSC = np.arange(90) * 1001 / 30000


class Stub:
    """Says "happy" where it hears and sees, "sad" where it only hears, else "neutral"."""

    labels, window, sample_rate, crop_size, crop_margin = LABELS, 1.2, 16000, 32, 0.2

    def __init__(self, detector=None, modality="both"):
        self.preset, self.spec = (
            SimpleNamespace(modality=modality),
            SimpleNamespace(table_features=()),
        )
        self.detector = detector or detect.Detector("haar")
        self.signals = []

    def spoken(self, samples):
        return samples  # tones count as speech

    def threshold(self, signal):
        return 0.0

    def predict(self, signals):
        self.signals += signals
        which = [(s.samples is not None) * (1 if s.frames is not None else 2) for s in signals]
        return np.eye(3, dtype=np.float32)[which] * 0.7 + 0.1


def load(settings):
    """Loads nothing; what recordings.Settings.load is replaced by."""
    return Stub()


def stuck(settings):
    """As `load`; but the recogniser never answers, and says so on stderr."""
    recognizer = Stub()

    def predict(signals):
        print("\nstuck", file=sys.stderr, flush=True)
        threading.Event().wait()

    recognizer.predict = predict
    return recognizer


def white_square(frame):
    """A detector of one bright patch."""
    rows, columns = np.nonzero(frame.min(axis=2) > 180)
    if len(rows) < 50:
        return np.zeros((0, 5), np.float32)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 1)
    return np.array([box], np.float32)


def scene(present, step=2):
    """draw(i): a white square that moves to the right, where `present(i)`."""

    def draw(i):
        image = np.full((240, 320, 3), 60, np.uint8)
        if present(i):
            image[60:140, 20 + step * i : 100 + step * i] = 255
        return image

    return draw


def moving(folder, present=lambda i: True, times=NTSC, **options):
    """Path of a film of the scene, in.mp4 of `folder`."""
    return write_video(folder / "in.mp4", times, size=(320, 240), draw=scene(present), **options)


class InProcess:
    """In the place of processes.Worker: what it is called for is done here."""

    def __init__(self, loaded=None):
        self.loaded = loaded

    def call(self, function, *arguments, watch=None):
        return function(self.loaded, watch or (lambda *_: None), *arguments)


def work_queue(recognizer, **limits):
    """uploads.WorkQueue of a recogniser in this process."""
    return uploads.WorkQueue(InProcess(recognizer), InProcess(), uploads.Limits(**limits))
