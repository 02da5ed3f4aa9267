"""Reads and writes sound and pictures, in the project's own time: 0 is the first frame."""

import os
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from emotion import streams
from emotion.clip import MediaError
from emotion.streams import Info, length, planes, probe

__all__ = ["Info", "VideoWriter", "check_format", "length", "planes", "probe", "resampled"]
__all__ += ["read_blocks", "read_frames", "read_pictures", "read_samples", "write_sound"]

X264 = {"preset": "veryfast", "crf": "21"}
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# Formats that hold all they play, by FFmpeg's names. A playlist opens the files that it names.
FORMATS = "mov,matroska,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,mp3,wav,w64,flac,aac,ac3,aiff,amr,caf"


def check_format(path):
    """Raises MediaError where a file is in none of FORMATS, before anything it names is opened."""
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        av.open(os.path.abspath(path), options=options, metadata_errors="ignore").close()
    except av.ArgumentError as error:
        raise MediaError(f"{path} is in a format not taken here; convert it to MP4.") from error
    except av.FFmpegError:
        pass  # `probe` says what is wrong with it


def read_samples(path, sample_rate):
    """Reads the whole sound of a file.

    Args:
        path: str or Path.
        sample_rate: int, Hz, of the result.

    Returns:
        float32 array (n,), mono (the mean of the channels), in [-1, 1]. Sample 0 is time 0 of the
        video, or of the sound itself where there is no video; gaps are silence.

    Raises:
        FileNotFoundError, MediaError: no such file, or no sound that can be decoded.
    """
    return np.concatenate(list(read_blocks(path, sample_rate, 10.0)))


def read_blocks(path, sample_rate, seconds):
    """Reads the sound of a file block by block, in constant memory.

    Args:
        path: str or Path.
        sample_rate: int, Hz.
        seconds: float, length of a block.

    Yields:
        float32 array (round(seconds * sample_rate),) as in `read_samples`; the last is shorter.

    Raises:
        FileNotFoundError, MediaError: as `read_samples`.
    """
    info = probe(path)
    if not info.audio:
        raise MediaError(f"{path} has no sound that can be decoded; give a file with audio.")
    size = round(seconds * sample_rate)
    held = np.zeros(0, np.float32)
    with streams.open_file(path) as container:
        for piece in streams.sound(container, sample_rate, info.origin):
            held = np.concatenate([held, piece.mean(axis=0)])
            while len(held) >= size:
                yield held[:size]
                held = held[size:]
    if len(held):
        yield held


def read_frames(path, times=None, size=None, step=None):
    """Reads the pictures of a file in order, upright, holding one or two at a time.

    Args:
        path: str or Path.
        times: increasing float array, seconds; for each, the frame shown then is yielded (the
            first before the start, the last past the end). None: every frame.
        size: (height, width) in pixels to scale to, or None.
        step: float, seconds; the first frame at or after each multiple of it.

    Yields:
        (time, frame): float seconds since the first frame, and uint8 array (h, w, 3) RGB.

    Raises:
        FileNotFoundError, MediaError: no such file, or no frame that can be decoded.
    """
    if times is not None:
        yield from _frames_at(path, times, size)
        return
    due = 0.0
    for time, frame in streams.frames(path):
        if time + 1e-6 >= due:
            yield time, streams.rgb(frame, size)
            due = (time // step + 1) * step if step else 0.0


def _frames_at(path, times, size):
    wanted = iter(times)
    due = next(wanted, None)
    shown = image = None
    for time, frame in streams.frames(path):
        while due is not None and shown is not None and due < time - 1e-6:
            image = streams.rgb(shown[1], size) if image is None else image
            yield shown[0], image
            due = next(wanted, None)
        if due is None:
            return
        shown, image = (time, frame), None
    image = streams.rgb(shown[1], size)
    while due is not None:
        yield shown[0], image
        due = next(wanted, None)


def read_pictures(path):
    """Reads every frame in the form `VideoWriter` takes, cheaper than RGB to draw on and to write.

    Args:
        path: str or Path.

    Yields:
        (time, picture): float seconds since the first frame, and an upright av.VideoFrame in
        yuv420p, of even size, with its timestamp; `planes(picture)` may be written to.

    Raises:
        FileNotFoundError, MediaError: no such file, or no frame that can be decoded.
    """
    for time, frame in streams.frames(path):
        yield time, streams.picture(frame)


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
    """

    def __init__(self, path, like=None, rate=None, sound=None):
        self.path = Path(path)
        self._like, self._sound_given = like, sound
        self._rate = rate or (like and like.rate) or Fraction(25)
        self._video = self._last = None
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")

    def __enter__(self):
        self._stack = ExitStack()
        try:
            self._part.touch()
        except OSError as error:
            raise MediaError(
                f"{self.path} cannot be written ({error.strerror}); choose another place."
            ) from error
        options = {"movflags": "+faststart"}
        container = av.open(os.path.abspath(self._part), "w", format="mp4", options=options)
        self._container = self._stack.enter_context(container)
        return self

    def write(self, picture, time=None):
        """Adds a frame.

        Args:
            picture: av.VideoFrame of `read_pictures`, or uint8 array (h, w, 3) RGB.
            time: float, seconds; required with an array, else the picture's own timestamp is kept.
        """
        if time is not None:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base, frame.pts = Fraction(1, 90000), round(time * 90000)
            picture = streams.picture(frame)
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
        self._video = self._container.add_stream("libx264", rate=self._rate, options=X264)
        self._video.width, self._video.height = picture.width, picture.height
        self._video.pix_fmt, self._video.thread_type = "yuv420p", "AUTO"
        context = self._video.codec_context
        context.time_base = picture.time_base
        for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(context, name, getattr(picture, name))
        if self._like:
            context.sample_aspect_ratio = self._like.aspect
        self._packets = iter(())
        if isinstance(self._sound_given, tuple):
            samples, rate = self._sound_given
            pieces = samples if hasattr(samples, "__next__") else [samples]
            pieces = (np.asarray(piece, np.float32)[None] for piece in pieces)
            self._packets = self._encode(pieces, rate)
        elif (heard := self._sound_given or self._like) and heard.audio:
            source = self._stack.enter_context(streams.open_file(heard.path))
            stream = streams.first_stream(source, "audio")
            start = heard.origin - (self._like.origin - self._like.start if self._like else 0.0)
            # AAC without extradata comes from a transport stream, in a framing mp4 does not take.
            if stream.codec_context.name == "aac" and stream.codec_context.extradata:
                self._packets = self._copy(source, stream, start)
            else:
                rate = min(AAC_RATES, key=lambda rate: abs(rate - heard.sample_rate))
                self._packets = self._encode(streams.sound(source, rate, start), rate)
        self._packet = next(self._packets, None)

    def _copy(self, source, stream, start):
        copy = self._container.add_stream_from_template(stream)
        shift = round(start / stream.time_base)
        for packet in streams.packets(source, stream):
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
        try:
            with self._stack:
                if kind is None:
                    self._finish()
            if kind is None:
                os.replace(self._part, self.path)
        finally:
            self._part.unlink(missing_ok=True)

    def _finish(self):
        if self._video is None:
            raise MediaError(f"{self.path} was not written: no frame was given; write one.")
        self._container.mux(self._video.encode(None))
        while self._packet is not None:
            self._container.mux(self._packet)
            self._packet = next(self._packets, None)


def write_sound(file, samples, sample_rate):
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


def resampled(rate, sample_rate):
    """Returns a function of the blocks of a mono sound, in order, that gives each one's samples.

    Blocks are float32 (n,) at `rate` Hz, samples float32 (m,) at `sample_rate` Hz; a few of a block
    may come with the next.
    """
    resampler = av.AudioResampler("fltp", "mono", sample_rate)

    def samples(block):
        frame = av.AudioFrame.from_ndarray(block[None], "fltp", "mono")
        frame.sample_rate = rate
        parts = [part.to_ndarray()[0] for part in resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    return samples
