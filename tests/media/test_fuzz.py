"""200 damaged recordings, of seeds that do not change: tests/fuzz.py takes as many as one likes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest

ROOT = Path(__file__).parents[2]
CASES = 200
FAILED = (1110, 2218, 2408)  # streams that appear late: PyAV's IndexError


@pytest.mark.slow
def test_what_is_damaged_is_refused_in_a_sentence_or_used(data, tmp_path):
    """In a process that has no TensorFlow: its memory would count."""
    command = [sys.executable, ROOT / "tests/fuzz.py", "--data", data, "--output", tmp_path]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    for first, end in (*((seed, seed + 1) for seed in FAILED), (0, CASES)):
        done = subprocess.run(
            [*command, "--seeds", str(first), str(end)],
            env=environment, capture_output=True, text=True, encoding="utf-8",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    counts = re.findall(r"^ *(\d+)  (.*)$", done.stdout, re.MULTILINE)
    assert sum(int(count) for count, _ in counts) == 3 * CASES  # analysis, training, an upload
    assert all(re.search(": used$|[;:] [^;]+.$", reason) for _, reason in counts)
    used = sum(int(count) for count, reason in counts if reason.endswith(": used"))
    assert 0.3 < used / (3 * CASES) < 0.9  # neither all whole nor all beyond use


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return fuzz.prepare(tmp_path_factory.mktemp("bases"))


def test_a_failure_is_reported_and_its_file_stays(bases, tmp_path, monkeypatch):
    def fail(path):
        raise IndexError(path.suffix)

    monkeypatch.setattr(fuzz, "examine", fail)
    assert "IndexError" in fuzz.case(bases, tmp_path, 7).failure
    assert [path.stem for path in tmp_path.iterdir()] == ["7"]
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    monkeypatch.setattr(fuzz, "examine", lambda path: any(iter(int, 1)))  # never ends
    assert fuzz.case(bases, tmp_path, 8).failure == "took 1 s"
    monkeypatch.setattr(fuzz, "examine", lambda path: [])
    monkeypatch.setattr(fuzz, "MEGABYTES", 1)
    assert "MB" in fuzz.case(bases, tmp_path, 9).failure


def test_a_seed_makes_the_same_file(bases, tmp_path):
    for seed in range(20):
        contents = []
        for name in ("a", "b"):
            folder = tmp_path / f"{seed}{name}"
            folder.mkdir()
            contents.append(fuzz.damage(seed, bases, folder).read_bytes())
        assert contents[0] == contents[1]
