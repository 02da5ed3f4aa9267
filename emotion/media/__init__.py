"""Media files: streams, sound, video and still images, and how they are written."""

from emotion.media.decode import Info, length, picture_limit, planes, probe
from emotion.media.encode import Codec, VideoWriter, write_sound
from emotion.media.images import is_still, read_image, read_images, upright
from emotion.media.read import (
    ahead,
    read_blocks,
    read_frames,
    read_pictures,
    read_samples,
    resampled,
)
