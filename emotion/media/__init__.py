"""Media files: what they hold, their sound and pictures, and how they are written (PyAV)."""

from emotion.media.decode import Info, length, planes, probe
from emotion.media.encode import VideoWriter, write_sound
from emotion.media.read import (
    check_format,
    read_blocks,
    read_frames,
    read_pictures,
    read_samples,
    resampled,
)
