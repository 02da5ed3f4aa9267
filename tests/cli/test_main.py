"""The command line, as its users run it."""

import os
import subprocess
import sys

import pytest

from emotion.cli.download import _actors
from emotion.cli.main import main


def run(*arguments, cwd=None):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return subprocess.run(
        [sys.executable, "-m", "emotion", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": root},
    )


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
    done = run("check", "--data", tmp_path / "none")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "is not a folder" in done.stderr
    assert done.stderr.startswith("emotion check: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("download", "ravdess", "--actors", "25"),
        ("check", "--data", "x.csv"),
        ("prepare",),
    ],
)
def test_mistakes(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(list(arguments)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_check_exit_codes(tmp_path, capsys):
    (tmp_path / "angry.wav").write_bytes(b"x")
    assert main(["check", "--data", str(tmp_path)]) == 1
    assert "misnamed" in capsys.readouterr().out


def test_check_of_good_data_is_0(data, capsys):
    assert main(["check", "--data", str(data / "ravdess")]) == 0
    assert "1200 clips" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "0", "1-", "1-25", "one", "4-2", "-3"])
def test_actors_refused(text):
    with pytest.raises(ValueError, match="--actors"):
        _actors(text)
