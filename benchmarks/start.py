"""How long a short recording takes from the command to the written video, in a fresh process.

    python benchmarks/start.py --clip clip.mp4 [--seconds 5] [--model saved_models/RUN]

With the run's ONNX export and, alternating, without it, so through Keras; the median of each.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from annotate import loop

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from emotion.shipped import starter


def seconds(clip, model, output):
    """float, how long the command takes."""
    command = [sys.executable, ROOT / "run_inference.py", "--video_path", clip, "--model", model]
    begun = time.perf_counter()
    subprocess.run([*command, "--output", output], check=True, capture_output=True)
    return time.perf_counter() - begun


def main():
    """Prints a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--model", type=Path, default=starter())
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clip = loop(args.clip, folder / "clip.mp4", 0.01, args.seconds)
        without = shutil.copytree(args.model, folder / "keras", ignore=lambda *_: ["onnx"])
        took = [
            [seconds(clip, model, folder / "out.mp4") for model in (args.model, without)]
            for _ in range(args.repeats)
        ]
        exported, plain = map(statistics.median, zip(*took, strict=True))
        print(
            f"{clip.stat().st_size / 1e6:.1f} MB, {args.seconds:g} s: {exported:.2f} s through "
            f"ONNX, {plain:.2f} s through Keras, ratio {plain / exported:.1f}"
        )


if __name__ == "__main__":
    main()
