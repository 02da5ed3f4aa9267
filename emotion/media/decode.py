"""Probes media files and decodes their streams (PyAV), tolerating damage.

Two clocks meet here. A file has its own (`Info.start` is its first timestamp); the rest of the
project counts from the first video frame, or from the first sample where there is no video.
read.py and encode.py build on this file; nothing else opens media.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from emotion.clip import MediaError
from emotion.media.clock import AHEAD, Clock

# Sound further than this from where its timestamp puts it is moved there: a lost packet (21 ms of
# AAC) becomes silence, while the rounding of WebM's millisecond clock is let pass.
GAP = 0.02
# Formats that hold all they play, by FFmpeg's names: a playlist opens the files that it names. Text
# and still images are known so that they can be refused by what they are.
FORMATS = (
    "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,mp3,wav,w64,flac,aac,ac3,eac3,aiff,amr,caf,"
    "au,wv,ape,tta,dts,gif,mxf,dv,rm,nut,ivf,swf,h264,hevc,m4v,mjpeg,wtv,3gp,webm,"
    "image2,tty,png_pipe,jpeg_pipe,bmp_pipe,webp_pipe,tiff_pipe,gif_pipe,svg_pipe,ppm_pipe"
)
RATES = Fraction(1, 100), 1000  # frames per second that are believed
_pixels = ContextVar("pixels", default=36_000_000)  # of a picture, at most: 8K has 33 megapixels


@dataclass(frozen=True)
class Info:
    """The streams of a file and their properties.

    Attributes:
        path: Path.
        duration: float, seconds; None where the file does not say.
        video, audio: bool, whether pictures and sound can be decoded. Cover art is no video.
        width, height: int, pixels of the upright picture; 0 without video.
        rate: Fraction, nominal frames per second; None without video.
        rotation: int, degrees counter-clockwise that make the stored picture upright.
        sample_rate: int, Hz; None without audio.
        start: float, seconds, the file's first timestamp.
        origin: float, seconds on the file's clock of our time 0.
        aspect: Fraction, width of a pixel over its height, in the upright picture.
    """

    path: Path
    duration: float | None
    video: bool
    audio: bool
    width: int = 0
    height: int = 0
    rate: Fraction | None = None
    rotation: int = 0
    sample_rate: int | None = None
    start: float = 0.0
    origin: float = 0.0
    aspect: Fraction = Fraction(1)


def probe(path: str | Path) -> Info:
    """Probes a file by decoding its first frame and its first sound.

    Args:
        path: str or Path.

    Returns:
        Info.

    Raises:
        FileNotFoundError: there is no such file.
        MediaError: the file is empty, damaged, a still image, or holds no video and no sound.
    """
    facts: dict[str, Any] = {}
    for kind in ("audio", "video"):
        with open_file(path) as container:
            duration = container.duration and container.duration / av.time_base
            start = (container.start_time or 0) / av.time_base
            stream = first_stream(container, kind)
            frame = next(decode(container, stream), None) if stream else None
            if frame is None:
                continue
            facts["origin"] = start if frame.time is None else frame.time
            if abs(facts["origin"] - start) > AHEAD:
                start = facts["origin"]
            if kind == "audio":
                facts["sample_rate"] = frame.sample_rate
                continue
            size, aspect = (frame.width, frame.height), stream.sample_aspect_ratio or Fraction(1)
            if quarters(frame) % 2:
                size, aspect = size[::-1], 1 / aspect
            facts["width"], facts["height"] = size
            facts["aspect"], facts["rotation"] = aspect, quarters(frame) * 90
            rate = stream.average_rate or stream.guessed_rate or 0
            facts["rate"] = rate if RATES[0] <= rate <= RATES[1] else Fraction(25)
    if not facts:
        raise MediaError(
            f"{path} holds no audio and no video of at most {_pixels.get() / 1e6:g} megapixels "
            "that can be decoded; copy it again or convert it."
        )
    has_video, has_audio = "rate" in facts, "sample_rate" in facts
    return Info(Path(path), duration, video=has_video, audio=has_audio, start=start, **facts)


@contextmanager
def picture_limit(pixels: float) -> Iterator[None]:
    """Limits the pixels of a picture in the block: a larger one is not decoded."""
    token = _pixels.set(int(pixels))
    try:
        yield
    finally:
        _pixels.reset(token)


def open_file(path: str | Path, skip: str = "default") -> av.container.InputContainer:
    """Opens a local file that holds moving pictures or sound.

    Args:
        path: str or Path.
        skip: `skip_frame` of FFmpeg while it examines the streams; "all" is fastest, to list them.

    Returns:
        av.container.InputContainer, a context manager.

    Raises:
        FileNotFoundError, MediaError: no such file, or it is empty, damaged, text or a still image.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; check the path.")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes); copy or download it again.")
    try:
        # Local files only: a playlist named .mp4 must not open what it points to.
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "skip_frame": skip}
        options["max_pixels"] = str(_pixels.get())
        container = av.open(os.path.abspath(path), options=options, metadata_errors="ignore")
    except av.ArgumentError as error:  # which is what the list makes of others
        raise MediaError(
            f"{path} is in a format not taken here, such as a playlist, or is damaged; convert it "
            "to MP4."
        ) from error
    except av.FFmpegError as error:
        raise MediaError(
            f"{path} is not media, or is damaged ({error.strerror}); copy it again or convert it."
        ) from error
    name = container.format.name
    if name in ("image2", "tty") or name.endswith("_pipe"):
        container.close()
        kind = "text" if name == "tty" else "a still image"
        raise MediaError(f"{path} is {kind}; give a video or a sound file.")
    return container


def first_stream(container: av.container.InputContainer, kind: str) -> av.stream.Stream | None:
    """Finds the stream that is used of a file.

    Args:
        container: what `open_file` gave.
        kind: "video" or "audio".

    Returns:
        The first stream of the kind that has a decoder and is no attached picture, or None.
    """
    for stream in getattr(container.streams, kind):
        if stream.codec_context and not stream.disposition & av.stream.Disposition.attached_pic:
            if kind == "video":
                stream.thread_type = "AUTO"
                stream.codec_context.options = {"max_pixels": str(_pixels.get())}
            return stream
    return None


def packets(
    container: av.container.InputContainer, stream: av.stream.Stream
) -> Iterator[av.Packet]:
    """Yields the packets of a stream, up to its end or to where the file cannot be read further.

    Their timestamps are those of `clock.Clock`, to which the packets of the other stream that is
    used of a file belong too.
    """
    used = [first_stream(container, kind) for kind in ("audio", "video")]
    streams, clock = [each for each in used if each], Clock()
    source = container.demux(streams)
    while True:
        try:
            packet = next(source, None)
        except IndexError:  # of a stream that appears late, which PyAV does not know
            source = container.demux(streams)
            continue
        except av.FFmpegError:
            return
        if packet is None:
            return
        clock.set(packet)
        if packet.stream.index == stream.index:  # an empty one has no index of its own
            yield packet


def length(path: str | Path) -> float:
    """Measures the picture by its packets, since what a container says of itself may be wrong.

    Args:
        path: str or Path.

    Returns:
        float, seconds from the start of the first packet shown to the end of the last one; 0.0
        where there is no picture.

    Raises:
        FileNotFoundError, MediaError: as `open_file`.
    """
    first = last = None
    with open_file(path) as container:
        stream = first_stream(container, "video")
        if stream is None:
            return 0.0
        usual = 1 / ((stream.average_rate or 25) * stream.time_base)
        for packet in packets(container, stream):
            if packet.pts is not None:
                end = packet.pts + (packet.duration or usual)
                first = packet.pts if first is None else min(first, packet.pts)
                last = end if last is None else max(last, end)
        return 0.0 if first is None else float((last - first) * stream.time_base)


def decode(container: av.container.InputContainer, stream: av.stream.Stream) -> Iterator[Any]:
    """Yields the decoded frames of a stream; a damaged packet loses its own frames only."""
    for packet in packets(container, stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from frames


def frames(path: str | Path) -> Iterator[tuple[float, av.VideoFrame]]:
    """Decodes the picture.

    Args:
        path: str or Path.

    Yields:
        (time, frame): float seconds since the first frame, always growing, and av.VideoFrame.

    Raises:
        FileNotFoundError, MediaError: no such file, or no frame that can be decoded.
    """
    last = first = None
    with open_file(path) as container:
        stream = first_stream(container, "video")
        if stream:
            step = max(1, round(1 / ((stream.average_rate or 25) * stream.time_base)))
            for frame in decode(container, stream):
                if frame.pts is None:
                    frame.pts = 0 if last is None else last + step
                if last is None:
                    first = frame.pts
                elif frame.pts <= last:
                    continue
                last = frame.pts
                yield float((last - first) * stream.time_base), frame
    if last is None:
        raise MediaError(f"{path} has no picture that can be decoded; give a file with video.")


def sound(container: av.container.InputContainer, rate: int, origin: float) -> Iterator[np.ndarray]:
    """Decodes the sound, without gaps or overlaps.

    Args:
        container: what `open_file` gave.
        rate: int, Hz, of the result.
        origin: float, seconds on the file's clock where the result begins.

    Yields:
        float32 array (channels, n) in [-1, 1]; one or two channels, the same for all.
    """
    stream = first_stream(container, "audio")
    layout = form = resampler = None
    written = 0
    for frame in decode(container, stream):
        if form != (frame.format.name, frame.layout.name, frame.sample_rate):
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
            layout = layout or ("mono" if frame.layout.nb_channels == 1 else "stereo")
            resampler = av.AudioResampler("fltp", layout, rate)
        late = 0 if frame.time is None else round((frame.time - origin) * rate) - written
        frame.pts = None
        slack = GAP * rate if written else 0
        while late > slack + rate:  # a gap, of `clock.AHEAD` at most: a second at a time
            yield np.zeros((1 if layout == "mono" else 2, rate), np.float32)
            written, late = written + rate, late - rate
        piece = place(_join(resampler.resample(frame), layout), late, slack)
        written += piece.shape[1]
        if piece.size:
            yield piece
    piece = _join(resampler.resample(None) if resampler else [], layout)
    if piece.size:
        yield piece


def place(piece: np.ndarray, late: int, slack: float) -> np.ndarray:
    """Moves sound (channels, n) to its place: silence comes before it, or its beginning is lost.

    Args:
        late: int, samples by which it must come later; negative, earlier.
        slack: float, samples; what lies no further from its place stays.
    """
    if late > slack:
        return np.pad(piece, ((0, 0), (late, 0)))
    return piece[:, -late:] if late < -slack else piece


def _join(frames, layout):
    pieces = [frame.to_ndarray() for frame in frames]
    pieces.append(np.zeros((1 if layout == "mono" else 2, 0), np.float32))
    return np.nan_to_num(np.concatenate(pieces, axis=1)).clip(-1, 1)


def quarters(frame: av.VideoFrame) -> int:
    """int, quarter turns counter-clockwise that make a frame upright (its display matrix)."""
    return round(frame.rotation / 90) % 4


def rgb(frame: av.VideoFrame, size: tuple[int, int] | None = None) -> np.ndarray:
    """Converts an av.VideoFrame to upright uint8 (h, w, 3) RGB, scaled to `size` (h, w)."""
    turns = quarters(frame)
    if size is not None:
        height, width = size[::-1] if turns % 2 else size
        frame = frame.reformat(width, height, "rgb24", interpolation="AREA")
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def picture(frame: av.VideoFrame) -> av.VideoFrame:
    """Converts an av.VideoFrame to an upright one in yuv420p, of even size, free to be drawn on."""
    turns = quarters(frame)
    width, height = frame.width + frame.width % 2, frame.height + frame.height % 2
    even = frame
    if (frame.format.name, frame.width, frame.height) != ("yuv420p", width, height):
        even = frame.reformat(width, height, "yuv420p")
    if turns:
        upright = av.VideoFrame(*((height, width) if turns % 2 else (width, height)), "yuv420p")
        for source, target in zip(planes(even), planes(upright)):
            target[:] = np.rot90(source, turns)
        even = upright
    if even is frame:
        even.make_writable()  # the decoder still refers to it
        return even
    for name in ("pts", "time_base", "color_range", "colorspace", "color_primaries", "color_trc"):
        setattr(even, name, getattr(frame, name))
    return even


def planes(picture: av.VideoFrame) -> tuple[np.ndarray, ...]:
    """Returns the memory of a picture as arrays.

    Args:
        picture: av.VideoFrame in yuv420p.

    Returns:
        Tuple of uint8 arrays: Y (h, w), U and V (h / 2, w / 2); views, writing changes the picture.
    """
    return tuple(
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
            : plane.height, : plane.width
        ]
        for plane in picture.planes
    )
