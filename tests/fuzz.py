"""Damaged media, made at random from a seed: each is refused in a sentence, or used.

    python tests/fuzz.py --seeds 0 4000 [--data DIR] [--output DIR] [--workers 2]

Each case runs in a process of its own, forked from one that has loaded everything, with limits of
time and memory. It goes through probing, analysis, training's decoding and an upload. Prints how
often each reason was given; files that fail are left in --output. The exit code is 1 where one did.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import numpy as np
from stub import Stub, white_square
from videos import tone, write_video

from emotion.clip import Clip, MediaError
from emotion.inference.timeline import analyse
from emotion.signals import cache
from emotion.web import uploads, work

SECONDS, MEGABYTES = 60, 600  # that a case may take
LARGEST = 700_000  # bytes of a recording of --data that is taken
SPEC = cache.Spec(sample_rate=16000, size=64, margin=0.2, detector="haar")
FORMS = {
    "mp4": ("libx264", "aac"),
    "mov": ("mpeg4", "pcm_s16le"),
    "mkv": ("mjpeg", "flac"),
    "webm": ("libvpx", "libopus"),
    "avi": ("mpeg4", "libmp3lame"),
    "flv": ("flv", "aac"),
    "ts": ("mpeg2video", "mp2"),
    "mpg": ("mpeg1video", "mp2"),
    "wmv": ("wmv2", "libmp3lame"),
    "wav": (None, "pcm_s16le"),
    "mp3": (None, "libmp3lame"),
    "ogg": (None, "libopus"),
    "flac": (None, "flac"),
}
# What a field of a header may be forged to.
EXTREMES = [
    struct.pack(form, value)
    for form in ("<I", ">I", "<Q", ">Q", "<d", ">d", "<H", ">H")
    for value in (0, 1, 7, 255, 32_767)
] + [b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80" + bytes(3), struct.pack("<d", 1e300)]


@dataclass(frozen=True)
class Result:
    """What became of a case: a reason, or what failed (None where nothing did)."""

    seed: int
    reasons: tuple
    failure: str | None
    megabytes: float


def write_bases(folder):
    """Writes a short recording of each form; returns their paths."""
    samples = tone(1.2, 48000, clicks=np.arange(0.1, 1.2, 0.1))
    for suffix, (picture, sound) in FORMS.items():
        path = folder / f"base.{suffix}"
        if picture:
            write_video(
                path, np.arange(30) / 25, (96, 72), picture, (samples, 48000), sound_codec=sound,
                draw=_square, base=Fraction(1, 25),
                pix_fmt="yuvj420p" if picture == "mjpeg" else "yuv420p",
            )  # fmt: skip
            continue
        with av.open(str(path), "w") as container:
            stream = container.add_stream(sound, rate=48000, layout="mono")
            frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return sorted(folder.glob("base.*"))


def _square(index):
    image = np.full((72, 96, 3), 40, np.uint8)
    image[20:50, 20 + index : 50 + index] = 255
    return image


def damage(seed, bases, folder):
    """Returns the path of a damaged recording in a folder; the same for the same seed."""
    chance = random.Random(seed)
    base = chance.choice(bases)
    path = folder / f"case{base.suffix}"
    shutil.copyfile(base, path)
    if chance.random() < 0.3:
        apart(remux, base, path, chance)
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 3)):
        if content:
            chance.choice((flip, forge, forge, truncate, repeat, swap, append))(content, chance)
    path.write_bytes(content)
    return path


def apart(function, *arguments):
    """Calls a function in a fork, since FFmpeg's muxers abort the process on some mistakes."""
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def flip(content, chance):
    """Changes bytes anywhere, or near the beginning, where headers are."""
    end = len(content) if chance.random() < 0.5 else min(len(content), 2000)
    for _ in range(chance.choice((1, 2, 8, 64))):
        content[chance.randrange(end)] = chance.randrange(256)


def forge(content, chance):
    """Gives fields of a header an extreme value: sizes, rates, clocks."""
    end = min(len(content), chance.choice((200, 2000, len(content))))
    for _ in range(chance.randint(1, 4)):
        value, at = chance.choice(EXTREMES), chance.randrange(end)
        content[at : at + len(value)] = value


def truncate(content, chance):
    """Cuts the end off."""
    del content[chance.randrange(len(content)) :]


def repeat(content, chance):
    """Writes a stretch twice, or the whole: joined recordings."""
    start, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    if chance.random() < 0.3:
        start, end = 0, len(content)
    content[end:end] = content[start:end]


def swap(content, chance):
    """Exchanges two stretches."""
    size = min(chance.choice((16, 188, 1024)), len(content) // 2)
    first, second = (chance.randrange(len(content) - size + 1) for _ in range(2))
    a, b = content[first : first + size], content[second : second + size]
    content[first : first + size], content[second : second + size] = b, a


def append(content, chance):
    """Adds something that does not belong there."""
    content += chance.randbytes(chance.choice((1, 100, 50_000)))


def remux(base, path, chance):
    """Writes the packets in another order, or at other times; some containers take what comes."""
    suffix = chance.choice((base.suffix, ".mkv", ".avi", ".ts", ".flv"))
    other = path.with_name(f"remuxed{suffix}")
    try:
        with av.open(str(base)) as source, av.open(str(other), "w") as target:
            copies = {s.index: target.add_stream_from_template(s) for s in source.streams}
            packets = [packet for packet in source.demux() if packet.dts is not None]
            for _ in range(chance.randint(1, 4)):
                at, jump = chance.randrange(len(packets)), chance.choice((-5, 3, 100, 5e3, 3e10))
                trick = chance.random()
                if trick < 0.5:
                    for packet in packets[at : None if trick < 0.3 else at + 1]:
                        packet.pts = packet.dts = packet.dts + round(jump / packet.time_base)
                else:
                    packets.insert(chance.randrange(len(packets)), packets.pop(at))
            for packet in packets:
                packet.stream = copies[packet.stream.index]
                target.mux_one(packet)
        shutil.copyfile(other, path)
    except (av.FFmpegError, ValueError, OverflowError):
        pass  # the muxer does not write that; the bytes are damaged all the same


def examine(path):
    """Does with a recording all that is done with one; returns the reasons why it was refused."""
    clip = Clip("case", "sad", "1", audio=path, video=path)
    limits = uploads.Limits(seconds=30)
    stages = {
        "analyse": lambda: analyse(path, Stub(white_square)),
        "train": lambda: cache.decode(clip, SPEC),
        "upload": lambda: (
            work.check(None, None, path, limits),
            work.predict(Stub(white_square), lambda *_: None, path, limits),
        ),
    }
    reasons = []
    for stage, call in stages.items():
        try:
            call()
            reasons.append(f"{stage}: used")
        except (MediaError, uploads.TooMuch) as error:
            text = str(error).replace(str(path), "FILE").replace("\n", " ")
            reasons.append(f"{stage}: " + re.sub(r"[\d.]+", "N", text))
    return reasons


def case(bases, output, seed):
    """Returns the Result of a seed, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            _child(seed, bases, Path(folder), write)
        os.close(write)
        with open(read, "rb") as pipe:
            said = pipe.read()
        _, status, usage = os.wait4(child, 0)
        megabytes = usage.ru_maxrss / 1000
        reasons, failure = json.loads(said) if said else ((), None)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            hangs = number == signal.SIGALRM
            last = (Path(folder) / "stderr").read_text("utf-8", "replace")[-300:]
            failure = f"took {SECONDS} s" if hangs else f"ended by signal {number}: {last}"
        elif megabytes > MEGABYTES and not failure:
            failure = f"took {megabytes:.0f} MB"
        if failure:
            for path in Path(folder).glob("case.*"):
                shutil.copyfile(path, output / f"{seed}{path.suffix}")
    return Result(seed, tuple(reasons), failure, megabytes)


def _child(seed, bases, folder, write):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT), 2)
    failure, reasons = None, []
    try:
        reasons = examine(damage(seed, bases, folder))
    except BaseException:
        failure = traceback.format_exc()
    os.write(write, json.dumps((reasons, failure)).encode()[:60_000])
    os._exit(0)


def prepare(folder, data=None):
    """Returns the recordings to damage: of each form, and the small ones of a folder."""
    cv2.setNumThreads(1)
    bases = write_bases(folder)
    for path in sorted((Path(data) / "media").glob("*")) if data else ():
        if path.suffix not in (".csv", ".jpg") and path.stat().st_size < LARGEST:
            bases.append(path)
    return bases


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 200), metavar=("FIRST", "END"))
    parser.add_argument("--data", type=Path, help="a folder with recordings in media/")
    parser.add_argument("--output", type=Path, default=Path("fuzz"), help="for files that fail")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    reasons, failed, largest = Counter(), 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        call = partial(case, prepare(Path(folder), options.data), options.output)
        with ProcessPoolExecutor(options.workers, get_context("fork")) as pool:
            for result in pool.map(call, range(*options.seeds), chunksize=8):
                reasons.update(result.reasons)
                largest = max(largest, result.megabytes)
                if result.failure:
                    failed += 1
                    print(f"seed {result.seed}: {result.failure}", flush=True)
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {reason}")
    print(f"seeds {options.seeds}: {failed} failed; at most {largest:.0f} MB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
