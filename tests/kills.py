"""kill -9 at random moments: nothing half-written under a final name, and the same results after.

    python tests/kills.py --count 200 [--seed 0] [--commands train prepare annotate compare export]

Each case runs one command in an empty folder, in a third of the cases two of the same at once, and
kills them at a random moment. All files that have their final names must then be whole. The command
is repeated until it is done, and what it leaves is compared with that of a call that nobody killed.
The exit code is 1 where a case failed.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from emotion import media

ROOT = Path(__file__).parents[1]
AGAIN = 3  # calls that may be needed until a command is done; a lock may outlive its process
COMMANDS = ("train", "prepare", "annotate", "compare", "export")
# What differs from one call to the next.
MEASURED = ("training_clips_per_second", "window_ms")
VARYING = ("seconds", "started", "created", "ms", "window_ms", "version", "versions", "command")


def arguments(command, shared, folder):
    """The arguments of a command that writes into a folder, and whether it is train_model.py."""
    corpus, cache = shared / "corpus", folder / "cache"
    run = folder / "run"
    small = ["--data", corpus, "--workers", "1", "--quiet"]
    resumed = ["--resume"] if (run / "run.json").exists() else []
    return {
        "train": ["train_model.py", *small, "--modality", "audio", "--epochs", "3", "--run", run,
                  "--cache", shared / "cache", *resumed],
        "prepare": ["-m", "emotion", "prepare", *small, "--cache", cache],
        "annotate": ["-m", "emotion", "annotate", shared / "videos", "--output", folder / "out",
                     "--model", shared / "run", "--predictions", "csv", "--workers", "1"],
        "compare": ["-m", "emotion", "compare", *small, "--presets", "cnn3d_mfcc", "--modalities",
                    "audio", "--fold", "0", "--epochs", "1", "--output", run, "--cache",
                    shared / "cache"],
        "export": ["-m", "emotion", "export", shared / "run", "--format", "litert", "--output",
                   folder / "litert", "--data", corpus, "--cache", shared / "cache"],
    }[command]  # fmt: skip


def start(command, shared, folder):
    """Starts a command in a group of processes of its own."""
    log = open(folder / ".log", "ab")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments(command, shared, folder))], cwd=ROOT, stdout=log,
        stderr=log, env=environment, start_new_session=True,
    )  # fmt: skip


def finals(folder):
    """The files that have their final names."""

    def hidden(path):
        return any(part.startswith(".") for part in path.relative_to(folder).parts)

    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not hidden(path)]
    return [path for path in paths if path.suffix != ".lock"]


def check(path):
    """Raises an exception where a file is not whole."""
    if path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".csv":
        assert path.read_bytes().endswith(b"\n")
        pd.read_csv(path)
    elif path.suffix in (".keras", ".npz"):
        assert zipfile.ZipFile(path).testzip() is None
    elif path.suffix == ".safetensors":
        load_file(path)
    elif path.suffix == ".mp4":
        assert sum(1 for _ in media.read_frames(path)) > 10
    else:
        assert path.stat().st_size > 0


def digests(folder):
    """What a command has left, by name: of each file a digest of what does not vary."""
    known = {}
    for path in finals(folder):
        name = str(path.relative_to(folder))
        if path.suffix == ".json":
            content = repr(_constant(json.loads(path.read_text(encoding="utf-8")))).encode()
        elif path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                content = archive.read("model.weights.h5")
        elif path.suffix == ".safetensors":
            arrays = load_file(path)
            content = b"".join(
                np.ascontiguousarray(arrays[key]).tobytes() for key in sorted(arrays)
            )
        elif path.suffix == ".csv":
            table = pd.read_csv(path)
            content = table.drop(columns=list(MEASURED), errors="ignore").to_csv().encode()
        elif path.suffix == ".tflite":
            content = path.read_bytes()
        elif path.suffix == ".mp4":
            content = b"".join(frame.tobytes() for _, frame in media.read_frames(path))
        else:
            content = b""  # pictures and texts, which are made of these
        known[name] = hashlib.blake2b(content).hexdigest()
    return known


def _constant(value):
    if isinstance(value, dict):
        return {k: _constant(v) for k, v in value.items() if k not in VARYING}
    return [_constant(each) for each in value] if isinstance(value, list) else value


def finish(command, shared, folder):
    """Repeats a command until it is done; returns the seconds that the last call took."""
    for _ in range(AGAIN):
        if (folder / "litert").exists():
            return 0.0  # an export that was done before is not written anew
        begun = time.monotonic()
        if start(command, shared, folder).wait() == 0:
            return time.monotonic() - begun
    raise AssertionError((folder / ".log").read_text(encoding="utf-8")[-2000:])


def case(command, shared, folder, chance, seconds, expected):
    """Kills a command at a random moment; raises AssertionError where something is wrong."""
    count = 2 if chance.random() < 1 / 3 else 1
    processes = [start(command, shared, folder) for _ in range(count)]
    for process in processes:
        try:
            process.wait(chance.uniform(0, seconds) / count)
        except subprocess.TimeoutExpired:
            pass
    for process in processes:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
    for path in finals(folder):
        try:
            check(path)
        except Exception as error:
            raise AssertionError(f"{path.name} is not whole: {error!r}") from error
    finish(command, shared, folder)
    left = digests(folder)
    other = {name for name in left.keys() | expected.keys() if left.get(name) != expected.get(name)}
    assert not other, f"other than without a kill: {', '.join(sorted(other))}"
    return count


def prepare(shared, data):
    """Makes a corpus, a run and recordings that all cases share."""
    call = [sys.executable, "-m", "emotion"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = lambda *more: subprocess.run([*call, *map(str, more)], check=True, env=environment)  # noqa: E731
    run("synthetic", shared / "corpus", "--speakers", 4, "--takes", 1, "--quiet")
    (shared / "videos").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(data / "media" / "one_face_short.mp4", shared / "videos" / name)
    run("train", "--data", shared / "corpus", "--modality", "audio", "--epochs", 1, "--run",
        shared / "run", "--cache", shared / "cache", "--quiet", "--workers", 0)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--data", type=Path, required=True, help="a folder with media/")
    options = parser.parse_args()
    failed, twice = 0, 0
    with tempfile.TemporaryDirectory() as shared:
        shared = Path(shared)
        prepare(shared, options.data)
        known = {}
        for command in options.commands:
            with tempfile.TemporaryDirectory() as folder:
                seconds = finish(command, shared, Path(folder))
                known[command] = seconds, digests(Path(folder))
            print(f"{command}: {seconds:.1f} s, {len(known[command][1])} files", flush=True)
        for index in range(options.count):
            chance = random.Random(options.seed + index)
            command = options.commands[index % len(options.commands)]
            with tempfile.TemporaryDirectory() as folder:
                try:
                    twice += case(command, shared, Path(folder), chance, *known[command]) == 2
                except AssertionError as error:
                    failed += 1
                    print(f"{command}, seed {options.seed + index}: {error}", flush=True)
    print(f"{options.count} cases, {twice} with two processes at once: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
