"""Annotation: speed against a plain decode-and-encode, memory by length, duration and sound kept.

    python benchmarks/annotate.py --model saved_models/RUN --clip clip.mp4 [--minutes 30]

Speed is the least of alternating repeats in this process, with the model loaded and warm. Memory is
the peak of a process of its own for a recording of one minute and for one of `--minutes`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import memory
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def loop(source, target, seconds, length=float("inf")):
    """Repeats the first `length` seconds of a recording by copying its packets, until `seconds`."""
    with av.open(str(target), "w") as output:
        streams, ends = {}, {}
        while not ends or min(ends.values()) < seconds:
            starts = dict(ends)
            with av.open(str(source)) as container:
                for stream in container.streams:
                    if stream.index not in streams:
                        streams[stream.index] = output.add_stream_from_template(stream)
                for packet in container.demux():
                    if not packet.size or packet.pts * packet.time_base >= length:
                        continue
                    index, base = packet.stream.index, packet.time_base
                    shift = round(starts.get(index, 0) / base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    end = (packet.pts + packet.duration) * base
                    ends[index] = max(ends.get(index, 0), end)
                    packet.stream = streams[index]
                    output.mux(packet)
    return target


def plain(source, target):
    """Decodes and encodes with the settings of annotation, doing nothing between."""
    from emotion import media
    from emotion.media import decode

    with media.VideoWriter(target, like=media.probe(source)) as writer:
        for _, frame in decode.frames(source):
            writer.write(frame)


def annotate(source, target, recognizer):
    """Annotates as the command does."""
    from emotion.annotate.render import annotate_video

    annotate_video(source, target, recognizer)


def decode(source):
    """Decodes the picture and drops it: no analysis is faster."""
    from emotion.media import decode

    for _ in decode.frames(source):
        pass


def seconds(function, *arguments):
    """float, how long a call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def sound_offset(item, two, rate=48000):
    """float, seconds by which the sound of `two` comes later, by cross-correlation of 30 s."""
    from scipy.signal import correlate

    from emotion import media

    a, b = (media.read_samples(path, rate)[: 30 * rate] for path in (item, two))
    lags = correlate(b, a[: len(b)], method="fft")
    near = slice(len(a) - 1 - rate // 2, len(a) + rate // 2)  # half a second: the clip is a loop
    return (int(np.argmax(lags[near])) - rate // 2) / rate


def peak_of_process(source, target, model, weights):
    """float, MiB: peak memory of a process that annotates."""
    command = [sys.executable, __file__, "--model", model, "--clip", source, "--one", target]
    command += ["--yunet", weights] if weights else []
    return float(
        subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    )


def main():
    """Prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", required=True, help="run folder")
    add("--clip", type=Path, required=True, help="video with sound to repeat")
    add("--yunet", help="YuNet's weights")
    add("--repeats", type=int, default=3)
    add("--minutes", type=float, default=30, help="length of the long recording; 0 leaves it out")
    add("--one", metavar="OUT", help=argparse.SUPPRESS)
    args = parser.parse_args()

    from emotion import media
    from emotion.inference.recognizer import Recognizer
    from emotion.inference.timeline import analyse

    recognizer = Recognizer(args.model, args.yunet)
    if args.one:
        memory.begin()
        annotate(args.clip, args.one, recognizer)
        print(memory.peak())
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        minute, copy, output = (folder / name for name in ("minute.mp4", "plain.mp4", "out.mp4"))
        loop(args.clip, minute, 60)
        annotate(args.clip, output, recognizer)  # compiles the model
        took = [
            (
                seconds(plain, minute, copy),
                seconds(annotate, minute, output, recognizer),
                seconds(analyse, minute, recognizer),
                seconds(decode, minute),
            )
            for _ in range(args.repeats)
        ]
        frames = sum(1 for _ in media.read_pictures(minute))
        least = np.min(took, axis=0)
        before, after = media.probe(minute), media.probe(output)
        result = {
            "frames": frames,
            "plain_fps": round(frames / least[0], 1),
            "annotate_fps": round(frames / least[1], 1),
            "ratio": round(least[0] / least[1], 3),
            "analyze_times_real_time": round(before.duration / least[2], 1),
            "decode_times_real_time": round(before.duration / least[3], 1),
            "detector": recognizer.detector and recognizer.detector.name,
            "duration_difference_frames": round(
                float((after.duration - before.duration) * before.rate), 3
            ),
            "sound_offset_ms": round(1000 * sound_offset(minute, output), 3),
            "start_s": [before.start, after.start],
            "peak_mib_1_minute": round(peak_of_process(minute, output, args.model, args.yunet), 1),
        }
        if args.minutes:
            long = loop(args.clip, folder / "long.mp4", 60 * args.minutes)
            longest = peak_of_process(long, output, args.model, args.yunet)
            result[f"peak_mib_{args.minutes:g}_minutes"] = round(longest, 1)
            result["peak_ratio"] = round(longest / result["peak_mib_1_minute"], 3)
        print(json.dumps(result))


if __name__ == "__main__":
    main()
