"""Run folders that were damaged at random: one line that says so, never a traceback.

EMOTION_FUZZ_RUNS says how many folders (default: 8), EMOTION_FUZZ_FIRST the first seed.
"""

import json
import math
import os
import random
import shutil

import numpy as np
import pytest

import emotion
from emotion import models
from emotion.cli.main import main
from emotion.clip import MediaError, Signal
from emotion.inference.recognizer import Recognizer

VALUES = (None, True, -1, 0, 3, 10**400, 30_000, -2.5, math.nan, math.inf, "", "x", [], ["a"], {},
          {"a": 1}, [[1]])  # fmt: skip


@pytest.fixture(scope="module")
def whole(corpus, signals, tmp_path_factory):
    """The folder of a small run that was trained, scored and reported."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    preset = models.preset("cnn3d_mfcc").only("audio")
    emotion.train(corpus, preset, epochs=1, run=folder, cache=signals, workers=0)
    assert main(["report", str(folder), "--quiet"]) == 0
    return folder


def paths(value, path=()):
    """Yields the path of each value in nested dicts and lists, of long lists the first few."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:3])
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, (dict, list)):
            yield from paths(inner, (*path, key))


def damage_values(path, chance):
    """Changes or removes a few values of a JSON file; returns what."""
    content, done = json.loads(path.read_text(encoding="utf-8")), []
    for *above, last in chance.sample(list(paths(content)), chance.randint(1, 2)):
        inner = content
        for key in above:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if not isinstance(inner, (dict, list)):
            continue
        value = chance.choice(VALUES)
        if chance.random() < 0.3 and isinstance(inner, dict):
            inner.pop(last, None)
        elif isinstance(inner, dict) or last < len(inner):
            inner[last] = value
        done.append((*above, last, value))
    path.write_text(json.dumps(content), encoding="utf-8")
    return done


def damage_bytes(path, chance):
    """Cuts a file short, empties it, turns bits or writes noise into it; returns what."""
    content = bytearray(path.read_bytes())
    kind = chance.choice(("cut", "empty", "bits", "noise"))
    if kind == "cut":
        content = content[: chance.randrange(len(content))]
    elif kind == "empty":
        content = b""
    elif kind == "bits":
        for _ in range(chance.choice((1, 10, 200))):
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    else:
        at = chance.randrange(len(content))
        content[at : at + 500] = chance.randbytes(min(500, len(content) - at))
    path.write_bytes(content)
    return kind


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_run_is_one_line(whole, tmp_path, signals, capsys):
    signal = Signal(np.ones(16000, np.float32), 16000, None, None, 1.0)
    states = [path.relative_to(whole) for path in whole.glob("state/*.npz")]
    codes, failed = [], []
    first = int(os.environ.get("EMOTION_FUZZ_FIRST", 0))
    for seed in range(first, first + int(os.environ.get("EMOTION_FUZZ_RUNS", 8))):
        chance = random.Random(seed)
        folder = tmp_path / f"run-{seed}"
        shutil.copytree(whole, folder)
        name = chance.choice(["run.json"] * 5 + ["metrics.json", "model.keras", "history.csv",
                              "timing.json", "predictions.csv", *map(str, states)])  # fmt: skip
        as_json = name.endswith(".json") and chance.random() < 0.8
        what = (damage_values if as_json else damage_bytes)(folder / name, chance)
        said = f"{seed}: {name} {what}"
        try:
            Recognizer(folder).predict([signal])
        except (ValueError, OSError, MediaError) as error:
            assert "\n" not in str(error).strip(), said
        except Exception as error:  # what a user would see as a traceback
            failed.append((said, "Recognizer", repr(error)))
        commands = [["report", str(folder)], ["evaluate", str(folder), "--cache", str(signals)]]
        commands[1] += ["--workers", "0"]
        if name.startswith("state"):
            commands = [["train", "--resume", "--run", str(folder), "--workers", "0"]]
        for command in commands:
            try:
                codes.append(main([*command, "--quiet"]))
                sentences = capsys.readouterr().err.splitlines()
                named = (str(folder), *(["is not a folder"] if "data_path" in said else []))
                if codes[-1] and not any(name in sentences[-1] for name in named):
                    failed.append((said, command[0], sentences[-1]))
            except Exception as error:
                failed.append((said, command[0], repr(error)))
        shutil.rmtree(folder)
    capsys.readouterr()
    assert not failed, "\n".join(map(str, failed))
    assert set(codes) <= {0, 2} and {0, 2} <= set(codes)
