"""Writes video and sound; time 0 is the first frame."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from emotion.backend import quiet
from emotion.clip import MediaError
from emotion.files import FULL, atomic_write
from emotion.media import decode

if TYPE_CHECKING:
    from emotion.media import Info

# Encoders of H.264: the preset and the quality that are taken without another.
CODECS = {"libx264": ("veryfast", 21), "h264_nvenc": ("p4", 21), "h264_videotoolbox": ("", 65)}
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


@dataclass(frozen=True)
class Codec:
    """How pictures are encoded.

    Attributes:
        name: str, one of CODECS.
        preset: str, the encoder's name of a speed, as libx264's "medium"; None for that of CODECS.
        quality: int, on the encoder's scale: of libx264 and h264_nvenc from 0 (best) to 51, of
            h264_videotoolbox from 1 to 100 (best); None for that of CODECS.
    """

    name: str = "libx264"
    preset: str | None = None
    quality: int | None = None

    @property
    def options(self) -> dict[str, str]:
        """Dict of str to str, what FFmpeg's encoder takes."""
        preset, quality = CODECS[self.name]
        preset = self.preset or preset
        quality = quality if self.quality is None else self.quality
        if self.name == "h264_videotoolbox":  # which counts in steps of FF_QP2LAMBDA
            return {"flags": "+qscale", "global_quality": str(118 * quality)}
        if self.name == "h264_nvenc":
            return {"preset": preset, "rc": "vbr", "cq": str(quality)}
        return {"preset": preset, "crf": str(quality)}

    def check(self) -> None:
        """Raises ValueError where this machine cannot encode so."""
        try:
            context = av.CodecContext.create(self.name, "w")
            context.width = context.height = 256
            context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
            context.options = self.options
            with quiet():
                context.open()
        except (av.FFmpegError, ValueError, KeyError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"this machine cannot encode with {self.name} and {self.options} ({reason}); "
                "choose another --video-codec, --video-preset or --video-quality."
            ) from error


class VideoWriter:
    """Writes H.264 + AAC in an mp4 that browsers play; a context manager.

    The file has its name only once it is whole: it is written beside `path` and renamed when the
    block ends without an exception, deleted otherwise. Sound is interleaved as pictures come.

    Args:
        path: str or Path of the mp4.
        like: Info of the file whose timestamps, frame rate and sound are kept, or None. AAC is
            copied as it is, any other sound is encoded.
        rate: Fraction, nominal frames per second, where there is no `like`.
        sound: what takes the place of `like`'s sound: the Info of another file, whose time 0 is the
            first frame, or (samples, sample_rate int Hz): float32 (n,) in [-1, 1], or an iterator
            of such arrays, asked for the sound of a picture as that comes.
        codec: Codec, or None for the default one.
    """

    def __init__(
        self,
        path: str | Path,
        like: Info | None = None,
        rate: Fraction | None = None,
        sound: Any | None = None,
        codec: Codec | None = None,
    ):
        self._codec = codec or Codec()
        self.path = Path(path)
        self._like, self._other_sound = like, sound
        self._rate = rate or (like and like.rate) or Fraction(25)
        self._video = self._last = None

    def __enter__(self) -> VideoWriter:
        self._stack = ExitStack()
        try:
            self._part = self._stack.enter_context(atomic_write(self.path))
            self._part.touch()
        except OSError as error:
            raise MediaError(
                f"{self.path} cannot be written ({error.strerror}); choose another place."
            ) from error
        options = {"movflags": "+faststart"}
        container = av.open(os.path.abspath(self._part), "w", format="mp4", options=options)
        self._container = self._stack.enter_context(container)
        return self

    def write(self, picture: Any, time: float | None = None) -> None:
        """Adds a frame.

        Args:
            picture: av.VideoFrame of `read_pictures`, or uint8 array (h, w, 3) RGB.
            time: float, seconds; required with an array, else the picture's own timestamp is kept.
        """
        if time is not None:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base, frame.pts = Fraction(1, 90000), round(time * 90000)
            picture = decode.picture(frame)
        if self._video is None:
            self._start(picture)
        elif self._last is not None and picture.pts <= self._last:
            return
        self._last = picture.pts
        if self._like:
            picture.pts -= round(self._like.start / picture.time_base)
        now = float(picture.pts * picture.time_base)
        while self._packet is not None and float(self._packet.pts * self._packet.time_base) <= now:
            self._container.mux(self._packet)
            self._packet = next(self._packets, None)
        self._container.mux(self._video.encode(picture))

    def _start(self, picture):
        name, options = self._codec.name, self._codec.options
        self._video = self._container.add_stream(name, rate=self._rate, options=options)
        self._video.width, self._video.height = picture.width, picture.height
        self._video.pix_fmt, self._video.thread_type = "yuv420p", "AUTO"
        context = self._video.codec_context
        context.time_base = picture.time_base
        for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(context, name, getattr(picture, name))
        if self._like:
            context.sample_aspect_ratio = self._like.aspect
        self._packets = iter(())
        if isinstance(self._other_sound, tuple):
            samples, rate = self._other_sound
            pieces = samples if hasattr(samples, "__next__") else [samples]
            pieces = (np.asarray(piece, np.float32)[None] for piece in pieces)
            self._packets = self._encode(pieces, rate)
        elif (source_info := self._other_sound or self._like) and source_info.audio:
            source = self._stack.enter_context(decode.open_file(source_info.path))
            stream = decode.first_stream(source, "audio")
            start = source_info.origin - (
                self._like.origin - self._like.start if self._like else 0.0
            )
            # AAC without extradata comes from a transport stream, in a framing mp4 does not take.
            if stream.codec_context.name == "aac" and stream.codec_context.extradata:
                self._packets = self._copy(source, stream, start)
            else:
                rate = min(AAC_RATES, key=lambda rate: abs(rate - source_info.sample_rate))
                self._packets = self._encode(decode.sound(source, rate, start), rate)
        self._packet = next(self._packets, None)

    def _copy(self, source, stream, start):
        copy = self._container.add_stream_from_template(stream)
        shift = round(start / stream.time_base)
        for packet in decode.packets(source, stream):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                yield packet

    def _encode(self, pieces, rate):
        stream = None
        position = 0
        for piece in pieces:
            layout = "mono" if len(piece) == 1 else "stereo"
            stream = stream or self._container.add_stream("aac", rate=rate, layout=layout)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), "fltp", layout)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), position
            position += piece.shape[1]
            yield from stream.encode(frame)
        if stream:
            yield from stream.encode(None)

    def __exit__(self, kind, error, trace):
        with self._stack:
            try:
                if error is not None:
                    raise error  # into the stack: what was written so far is deleted
                self._finish()
            except av.FFmpegError as failure:
                if failure.errno in FULL:
                    raise
                raise MediaError(
                    f"{self.path} cannot be written ({failure.strerror}); convert the recording "
                    "and its sound first."
                ) from failure

    def _finish(self):
        if self._video is None:
            raise MediaError(f"{self.path} was not written: no frame was given; write one.")
        self._container.mux(self._video.encode(None))
        while self._packet is not None:
            self._container.mux(self._packet)
            self._packet = next(self._packets, None)


def write_sound(file: Any, samples: np.ndarray, sample_rate: int) -> None:
    """Writes sound as MP3, which every browser plays.

    Args:
        file: path or binary file.
        samples: float32 array (n,), mono, in [-1, 1].
        sample_rate: int, Hz, one that MP3 has: 16000, 22050, 24000, 32000, 44100 or 48000.
    """
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=sample_rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
        frame.sample_rate = sample_rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
