"""Small recordings that tests make for themselves."""

import struct
from fractions import Fraction

import av
import numpy as np


def tone(seconds, rate=16000, clicks=()):
    """float32 (n,): silence with a 5 ms burst of 1 kHz at each second of `clicks`."""
    samples = np.zeros(round(seconds * rate), np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(round(0.005 * rate)) / rate)
    for click in clicks:
        samples[round(click * rate) :][: len(burst)] = burst
    return samples


def film(path, times, size=(64, 48), codec="libx264", sound=None, sound_at=0.0, **options):
    """Writes frames at `times` (s), frame i of even grey 20 + 8 i, with sound (samples, rate).

    Options: draw(i) -> uint8 (h, w, 3) in place of grey, pix_fmt, base (Fraction, time base),
    sound_codec, and video_at (s), added to `times`.
    """
    draw = options.get("draw", lambda i: np.full((size[1], size[0], 3), 20 + 8 * i % 230, np.uint8))
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=Fraction(25))
        video.width, video.height = size
        video.pix_fmt = options.get("pix_fmt", "yuv420p")
        base = options.get("base", Fraction(1, 30000))
        video.codec_context.time_base = base
        if sound is not None:
            samples, rate = sound
            audio = container.add_stream(
                options.get("sound_codec", "aac"), rate=rate, layout="mono"
            )
            frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), "fltp", "mono")
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(sound_at * rate)
        for i, time in enumerate(times):
            picture = av.VideoFrame.from_ndarray(draw(i), format="rgb24")
            picture.time_base = base
            picture.pts = round((time + options.get("video_at", 0.0)) / base)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def turn(path, degrees):
    """Sets the display matrix of an mp4's first track to `degrees` clockwise."""
    matrix = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    a, b, c, d = (65536 * value for value in matrix)
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def onset(samples, rate):
    """float, seconds of the first loud sample."""
    return int(np.argmax(np.abs(samples) > 0.2)) / rate
