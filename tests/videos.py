"""Small recordings that tests make for themselves."""

import struct
from fractions import Fraction

import av
import numpy as np

from emotion import media


def tone(seconds, rate=16000, clicks=()):
    """float32 (n,): silence with a 5 ms burst of 1 kHz at each second of `clicks`."""
    samples = np.zeros(round(seconds * rate), np.float32)
    burst = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(round(0.005 * rate)) / rate)
    for click in clicks:
        samples[round(click * rate) :][: len(burst)] = burst
    return samples


def write_video(path, times, size=(64, 48), codec="libx264", sound=None, sound_at=0.0, **options):
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


def duet(path, data, positions, hidden=None, seconds=8):
    """Films two real talking faces, cut out of the blue they were filmed before, on one grey wall.

    Args:
        path: Path of the mp4, 720 x 288 at 25 frames a second, with the sound of the first.
        data: Path of the real recordings.
        positions: two functions of time (s) to the x (pixels) of the middle of each; the second one
            passes behind the first.
        hidden: (from s, to s, from x, to x), a curtain before the picture, or None.
        seconds: float; the faces talk to and fro, their clips last 3 s.
    """
    names = ("grid_mpeg1_mp2.mpg", "grid_mpeg1_mp2_b.mpg")
    clips = [[f for _, f in media.read_frames(data / "media" / name)] for name in names]

    def draw(i):
        picture, time = np.full((288, 720, 3), 110, np.uint8), i / 25
        for frames, place in reversed(list(zip(clips, positions))):
            person = (frames + frames[-2:0:-1])[i % (2 * len(frames) - 2)]
            left = round(place(time)) - person.shape[1] // 2
            inside = slice(max(0, -left), max(0, min(720 - left, person.shape[1])))
            person = person[:, inside]
            target = picture[:, left + inside.start : left + inside.stop]
            solid = person[..., 2].astype(int) - person[..., 0] < 40
            target[solid] = person[solid]
        if hidden and hidden[0] <= time < hidden[1]:
            picture[:, hidden[2] : hidden[3]] = 60
        return picture

    sound = np.tile(media.read_samples(data / "media" / names[0], 16000), 4)[: seconds * 16000]
    times = np.arange(seconds * 25) / 25
    return write_video(path, times, (720, 288), draw=draw, sound=(sound, 16000))
