"""Live: pictures displayed late, the wait for predictions, and memory over time.

    python benchmarks/live.py --model saved_models/RUN --clip clip.mp4 [--minutes 5]

A file stands in for camera and microphone, at its own pace; the process is held to two cores.
Everything is drawn and handed to a display that shows it nowhere.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import threading
from pathlib import Path

import cv2
import numpy as np
from annotate import loop

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Nowhere:
    """A display that does what cv2.imshow is given, and shows nothing."""

    def show(self, frame):
        """Takes a frame; returns the key pressed."""
        cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        return ""

    def close(self):
        """Does nothing."""


def resident():
    """float, MiB in use by this process now, on Linux."""
    return (
        int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))[1])
        / 1024
    )


def main():
    """Prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", required=True, help="run folder")
    add("--clip", type=Path, required=True, help="video with sound to repeat")
    add("--yunet", help="YuNet's weights")
    add("--minutes", type=float, default=5)
    add("--hop", type=float, help="seconds between predictions")
    add("--record", action="store_true", help="record all the while")
    add("--cores", type=int, default=2)
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])

    from emotion import backend

    backend.start()
    from emotion import media
    from emotion.inference.recognizer import Recognizer
    from emotion.live import sources
    from emotion.live.player import Player
    from emotion.live.session import Session

    recognizer = Recognizer(args.model, args.yunet)
    memory, done = [], threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop.mp4"
        loop(args.clip, path, 60 * args.minutes)
        both = sources.open_both(str(path), None, recognizer.sample_rate)
        session = Session(recognizer, *both, hop=args.hop)
        record = Path(folder) / "recorded.mp4" if args.record else None
        player = Player(session, Nowhere(), record)

        def watch():
            while not done.wait(10):
                memory.append(resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        player.run()
        done.set()
        watcher.join()
        info = media.probe(path)
    waits = 1000 * np.array(player.latencies)
    windows = int((info.duration - session.window) / session.hop + 1e-6) + 1
    minutes = {f"rss_mib_minute_{m}": round(memory[6 * m - 1], 1) for m in (1, 5)
               if len(memory) >= 6 * m}  # fmt: skip
    result = {
        "size": [info.width, info.height],
        "frames": player.pictures,
        "late_percent": round(100 * player.late / player.pictures, 3),
        "lost": session.lost,
        "window_s": session.window,
        "hop_s": round(session.hop, 3),
        "windows": windows,
        "predicted": len(waits),
        "latency_ms": {
            f"p{p}": round(float(np.percentile(waits, p)), 1) for p in (50, 95, 99, 100)
        },
        **minutes,
        "detector": recognizer.detector and recognizer.detector.name,
        "recorded": args.record,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
