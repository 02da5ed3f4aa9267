"""Features: frozen dataclasses, `feature(signal) -> array`; their fields are their record.

A feature's fields are its arguments, its equality, its JSON and its cache key.
"""

from emotion.features.action_units import ActionUnits
from emotion.features.face_frames import FaceFrames
from emotion.features.log_mel import LogMel
from emotion.features.mean_mfcc import MeanMfcc
from emotion.features.mean_mfcc_series import MeanMfccSeries
from emotion.features.mfcc import Mfcc
from emotion.features.mfcc_series import MfccSeries
from emotion.features.waveform import Waveform

FEATURES = {
    "mfcc": Mfcc,
    "mfcc_series": MfccSeries,
    "mean_mfcc": MeanMfcc,
    "mean_mfcc_series": MeanMfccSeries,
    "log_mel": LogMel,
    "face_frames": FaceFrames,
    "action_units": ActionUnits,
    "waveform": Waveform,
}
