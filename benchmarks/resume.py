"""Kills trainings with SIGKILL at random moments, resumes them, and compares them bit for bit.

    python benchmarks/resume.py [--kills 24] [--seed 0]

Each chain is one training that is killed several times, at moments drawn at random or as soon as
a state file begins to be written, resumed each time with another number of workers, and at last
left to end. It must equal the training that was never stopped: the last weights with the
optimizer's, the callbacks' and the dropout's state, the history, the best model, the predictions.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
CHAINS = (("both", 0), ("both", 1), ("audio", 0), ("video", 0))


def start(folder, data, modality, seed, workers=2, resume=False):
    command = [
        *(sys.executable, ROOT / "train_model.py", "--data", data, "--modality", modality),
        *("--protocol", "speaker-kfold", "--epochs", "45", "--batch-size", "8"),
        *("--seed", str(seed), "--workers", str(workers), "--run", folder),
        *("--cache", data.parent / "signals", *(["--resume"] if resume else [])),
    ]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def kill(process, state, chance, in_write, longest):
    """Kills at a random moment, or while a state is written; returns whether it still ran.

    The moment is within `longest` seconds, so that a fast machine does not end before it.
    """
    deadline = time.monotonic() + (60 if in_write else chance.uniform(1, longest))
    skip = chance.randrange(3)
    while process.poll() is None and time.monotonic() < deadline:
        if in_write and any(state.glob("*.part")):
            if not skip:
                break
            skip -= 1
            time.sleep(0.2)
        time.sleep(0.0005 if in_write else 0.05)
    running = process.poll() is None
    process.kill()
    process.wait()
    return running, any(state.glob("*.part"))


def contents(folder):
    state = max((folder / "state").glob("epoch-*.npz"))
    with np.load(state) as arrays:
        parts = {name: arrays[name].tobytes() for name in arrays}
    for name in ("history.csv", "metrics.json", "predictions.csv"):
        parts[name] = (folder / name).read_bytes()
    import keras

    weights = keras.saving.load_model(folder / "model.keras", compile=False).get_weights()
    return {**parts, **{f"best model {i}": w.tobytes() for i, w in enumerate(weights)}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp())
    sys.path.insert(0, str(ROOT))
    from emotion.synthetic import generate

    data = generate.write(folder / "data", speakers=5, takes=1, progress=False)
    total = mismatches = half_written = 0
    for modality, seed in CHAINS:
        whole, cut = folder / f"{modality}{seed}-whole", folder / f"{modality}{seed}-cut"
        begun, process = time.monotonic(), start(whole, data, modality, seed)
        while process.poll() is None and not any((whole / "state").glob("epoch-*.npz")):
            time.sleep(0.05)
        first = time.monotonic() - begun  # seconds to the first epoch, spent at each start
        errors = process.communicate()[1]
        rest = time.monotonic() - begun - first
        if process.returncode:
            sys.exit(errors)
        history = pd.read_csv(whole / "history.csv")
        rates = history["learning_rate"].to_numpy()
        kills, wanted = 0, -(-options.kills // len(CHAINS))
        while kills < wanted:
            process = start(cut, data, modality, seed, 1 + kills % 3, (cut / "run.json").exists())
            running, in_write = kill(
                process, cut / "state", chance, kills % 3 == 2, first + rest / wanted
            )
            if not running:
                break  # it came to its end
            kills += 1
            half_written += in_write
        process = start(cut, data, modality, seed, 2, (cut / "run.json").exists())
        errors = process.communicate()[1]
        if process.returncode:
            sys.exit(errors)
        item, other = contents(whole), contents(cut)
        wrong = sorted(name for name in {*item, *other} if item.get(name) != other.get(name))
        total, mismatches = total + kills, mismatches + len(wrong)
        print(
            f"{modality}, seed {seed}: {len(history)} of 45 epochs before early stopping, "
            f"learning rate lowered {(np.diff(rates[2:]) < 0).sum()} times, {kills} kills, "
            f"{len(item)} parts compared, mismatches: {wrong or 0}",
            flush=True,
        )
    print(f"{total} kills, {half_written} while a state was being written, {mismatches} mismatches")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
