"""Features: frozen dataclasses, `feature(signal) -> array`; their fields are their record.

A feature's fields are its arguments, its equality, its JSON and its cache key.
"""

from emotion.features.face_frames import FaceFrames
from emotion.features.mfcc import Mfcc
from emotion.features.mfcc_series import MfccSeries

FEATURES = {"mfcc": Mfcc, "mfcc_series": MfccSeries, "face_frames": FaceFrames}
