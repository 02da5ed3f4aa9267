"""A folder of clips: results and reasons, a kill in the middle, and the speed of two workers.

    python benchmarks/folder.py --model saved_models/RUN --clip A.mp4 B.mpg [--clips 200]

The clips are copies of those given, of some seconds each; some are broken in five ways. A call is
killed with all its processes when a quarter is done, and repeated; then other copies, all whole,
are annotated on one core by one worker and on two by two (Linux), loading included.
Prints a line of JSON.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def make(folder, sources, count, broken):
    """Writes `count` copies of clips, the last `broken` of them not to be read."""
    folder.mkdir()
    for i in range(count):
        source = sources[i % len(sources)]
        (folder / f"clip{i:03}{source.suffix}").write_bytes(source.read_bytes())
    spoilt = (
        b"",
        b"no video",
        sources[0].read_bytes()[:1000],
        os.urandom(5000),
        b"\x89PNG\r\n\x1a\n" + bytes(99),
    )
    for i in range(broken):
        next(folder.glob(f"clip{count - 1 - i:03}.*")).write_bytes(spoilt[i % len(spoilt)])


def command(args, source, output, workers):
    """List of str, the call."""
    call = [sys.executable, str(ROOT / "run_inference.py"), "--video_path", str(source)]
    call += ["--model", args.model, "--output", str(output), "--workers", str(workers)]
    return call + (["--yunet", args.yunet] if args.yunet else [])


def run(args, source, output, workers, cores=None):
    """(seconds, exit code, stdout, list of reasons)."""
    begun = time.perf_counter()
    call = command(args, source, output, workers)
    if cores:
        call = ["taskset", "-c", f"0-{cores - 1}", *call]
    done = subprocess.run(call, capture_output=True, text=True, encoding="utf-8")
    reasons = done.stderr.partition(" failed:\n")[2].splitlines()
    return time.perf_counter() - begun, done.returncode, done.stdout.strip(), reasons


def killed(args, source, output, share):
    """Starts a call and kills it with all its processes when a share of it is done."""
    call = command(args, source, output, args.workers)
    process = subprocess.Popen(
        call, stderr=subprocess.PIPE, text=True, start_new_session=True, encoding="utf-8"
    )
    shown = ""
    while not (result := re.findall(r"(\d+)/(\d+) \[", shown)) or (
        int(result[-1][0]) < share * int(result[-1][1])
    ):
        shown = shown[-200:] + process.stderr.read(1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def finished(output):
    """Dict of name to the time it was written."""
    return {path.name: path.stat().st_mtime_ns for path in output.glob("*_annotated.mp4")}


def main():
    """Prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", required=True, help="run folder")
    add("--clip", type=Path, nargs="+", required=True, help="videos of some seconds to copy")
    add("--yunet", help="YuNet's weights")
    add("--clips", type=int, default=200)
    add("--broken", type=int, default=5)
    add("--workers", type=int, default=2)
    add("--timed", type=int, default=200, help="clips of the comparison of one core with more")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips, output, fewer = (Path(folder) / name for name in ("clips", "out", "fewer"))
        make(clips, args.clip, args.clips, args.broken)
        killed(args, clips, output, 0.25)
        before = finished(output)
        _, code, text, reasons = run(args, clips, output, args.workers)
        after = finished(output)
        result = {
            "clips": args.clips,
            "finished_before_the_kill": len(before),
            "repeated_of_them": sum(after[name] != when for name, when in before.items()),
            "results": len(after),
            "exit_code": code,
            "told": text,
            "reasons": len(reasons),
            "left_over": len(list(output.glob(".*"))),
        }
        make(fewer, args.clip, args.timed, 0)
        seconds = {
            count: run(args, fewer, Path(folder) / f"by-{count}", count, count)[0]
            for count in (1, args.workers)
        }
        result |= {f"seconds_{count}_cores": round(took, 1) for count, took in seconds.items()}
        result["speed_ratio"] = round(seconds[1] / seconds[args.workers], 2)
        print(json.dumps(result))
        print(*reasons, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
