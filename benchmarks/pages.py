"""Pages: the tests of the web page, again and again, to find those that fail now and then.

    python benchmarks/pages.py --runs 30
    python benchmarks/pages.py --runs 10 --busy

Prints a line a run and how many failed; exits with 1 where one did. What a run that failed printed
is kept in --keep.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def busy():
    """One process that computes all the while."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(tests):
    """Runs the tests once; returns (seconds, exit code, what was printed)."""
    start = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "EMOTION_REQUIRE_BROWSER": "1", "EMOTION_REQUIRE_DATA": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, **pipes)
    return time.monotonic() - start, done.returncode, done.stdout


def main():
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("tests", nargs="*", default=["tests/web/test_page.py"], help="default: %(default)s")
    add("--runs", type=int, default=30)
    add("--busy", action="store_true", help="beside a process that computes all the while")
    add("--keep", type=Path, default=Path("page-failures"), help="folder (default: %(default)s)")
    args = parser.parse_args()
    if args.busy:
        with busy():
            return repeat(args)
    return repeat(args)


def repeat(args):
    """Runs the tests as often as asked; returns the exit code."""
    failed = 0
    for number in range(1, args.runs + 1):
        seconds, code, printed = run(args.tests)
        last = printed.strip().splitlines()[-1:] or [f"exit code {code}"]
        print(
            f"{number:3d}  {seconds:6.1f} s  {'failed' if code else 'passed'}  {last[0]}",
            flush=True,
        )
        if code:
            failed += 1
            args.keep.mkdir(parents=True, exist_ok=True)
            (args.keep / f"{number:03d}.txt").write_text(printed, encoding="utf-8")
    print(f"{failed} of {args.runs} runs failed" + (f"; see {args.keep}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
