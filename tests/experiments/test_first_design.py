"""The layout and the commands that the first design prints: train, stop, resume, annotate."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from emotion import media
from emotion.run import load_run

ROOT = Path(__file__).parents[2]
REAL = (  # (file of a real take, its emotion and intensity)
    ("Actor_01/01-01-01-01-01-01-01.mp4", "01-01"),
    ("Actor_01/01-01-07-02-02-01-01.mp4", "07-02"),
    ("Actor_19/01-01-08-02-01-01-19.mp4", "08-02"),
)


@pytest.fixture
def run(tmp_path):
    """Starts a command of the project in a folder that holds `dataset/`."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "EMOTION_RUNS": str(tmp_path / "saved_models"),
        "EMOTION_CACHE": str(tmp_path / "cache"),
    }

    def run(*arguments):
        command = [sys.executable, *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        return subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes)

    return run


def done(process):
    """What a command that succeeded printed."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out + err


def song(corpus, dataset):
    """Puts synthetic clips under song names, the number of audio-only files on both kinds."""
    for path in sorted([*corpus.rglob("*.wav"), *corpus.rglob("*.mp4")]):
        _, _, emotion, *rest = path.stem.split("-")
        if emotion <= "06":
            kind = "audios" if path.suffix == ".wav" else "videos"
            folder = dataset / kind / f"Actor_{rest[-1]}"
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / f"03-02-{emotion}-{'-'.join(rest)}{path.suffix}")


def speech(data, dataset):
    """Puts real media under speech names, likewise: three takes of each of four actors."""
    for actor in ("01", "05", "09", "13"):
        for path, acted in REAL:
            name = f"03-01-{acted}-01-01-{actor}"
            sound = data / "ravdess/audios" / f"Actor_{actor}" / f"{name}.flac"
            for kind, source in (("audios", sound), ("videos", data / "ravdess/videos" / path)):
                folder = dataset / kind / f"Actor_{actor}"
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / f"{name}{source.suffix}")


@pytest.mark.slow
def test_the_layout_of_the_first_design_trains_resumes_and_annotates(corpus, data, tmp_path, run):
    dataset, clip = tmp_path / "dataset", data / "media/one_face_short.mp4"
    song(corpus, dataset)
    speech(data, dataset)
    text, _ = run("-m", "emotion", "check").communicate()
    for channel, count in (("speech", 12), ("song", 30)):
        assert re.search(rf"^{channel}:.*?sound and picture {count}\b", text, re.S | re.M), text

    training = run(ROOT / "train_model.py", "--epochs", "3")
    lines = []
    for line in training.stderr:
        lines.append(line)
        if line.startswith("epoch   2"):
            training.kill()
            break
    training.communicate()
    assert training.returncode == -signal.SIGKILL, "".join(lines)
    counts = re.search(
        r"train (\d+) clips.*validation (\d+) clips.*test (\d+) clips", "".join(lines)
    )
    assert sum(map(int, counts.groups())) == 12  # it trains on the speech
    assert "ravdess-song" in "".join(lines) and "ravdess-all" in "".join(lines)

    (folder,) = (tmp_path / "saved_models").iterdir()
    labels = load_run(folder).labels
    assert labels == ("neutral", "disgust", "surprised")
    annotate = (ROOT / "run_inference.py", "--video_path", clip, "--output")
    done(run(*annotate, "before.mp4"))
    text = done(run(ROOT / "train_model.py", "--resume"))
    assert str(folder) in text and "epoch   3" in text
    done(run(*annotate, "after.mp4"))
    for name in ("before.mp4", "after.mp4"):
        assert media.probe(tmp_path / name).audio
    measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert measured["labels"] == list(labels) and measured["modality"] == "both"
