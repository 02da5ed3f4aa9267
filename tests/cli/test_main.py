"""The command line, as its users run it."""

import json
import os
import subprocess
import sys
import time

import pytest

import emotion
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
        encoding="utf-8",
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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("compare", "--out", "x"), "--out is now --output"),
        (("serve", "--patience=9"), "--patience is now --timeout"),
        (("web", "--line", "9"), "--line is now --queue-size"),
        (("live", "--no-window"), "--no-window is now --no-display"),
        (("evaluate", "RUN", "--predictions", "x.csv"), "is now `emotion score FILE`"),
        (("check", "dataset"), "name the folder with --data dataset"),
    ],
)
def test_an_old_spelling_names_the_new_one(capsys, arguments, text):
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert text in printed and printed.count("\n") == 1


def test_options_are_not_abbreviated(capsys):
    with pytest.raises(SystemExit) as end:
        main(["report", "RUN", "--out", "x"])
    assert end.value.code == 2 and "--out" in capsys.readouterr().err


def test_the_cache_is_shown_and_pruned_by_age_and_by_size(tmp_path, capsys):
    for days, size in ((40, 1000), (20, 2000), (1, 3000)):
        path = tmp_path / f"{days}.safetensors"
        path.write_bytes(bytes(size))
        os.utime(path, (time.time() - 86400 * days,) * 2)
    arguments = ["cache", "--cache", str(tmp_path)]
    assert main(arguments) == 0 and "3 entries" in capsys.readouterr().out
    assert main([*arguments, "--prune", "30d"]) == 0
    assert {path.stem for path in tmp_path.iterdir()} == {"20", "1"}
    assert main([*arguments, "--prune", "4KB"]) == 0
    assert {path.stem for path in tmp_path.iterdir()} == {"1"}
    assert main([*arguments, "--prune", "a lot"]) == 2
    assert "such as 30d or a size such as 5GB" in capsys.readouterr().err


@pytest.mark.slow
def test_quiet_prints_the_result_alone(corpus, tmp_path):
    options = ["--data", corpus, "--modality", "audio", "--epochs", "1", "--workers", "0"]
    options += ["--run", tmp_path / "run", "--cache", tmp_path / "cache"]
    done = run("train", "--quiet", *options)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.count("\n") == 1 and "UAR" in done.stdout
    written = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    assert written["version"] == emotion.__version__
    assert json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))["versions"][
        "emotion"
    ]
