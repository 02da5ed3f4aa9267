"""Batches of recordings: failures, deaths and kills of processes. The recogniser is a stub."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import stub
from videos import tone

import run_inference
from emotion import media
from emotion.annotate import batch
from emotion.annotate.recordings import Settings, list_jobs
from emotion.cli import annotate
from emotion.engines import Engine

ROOT = Path(__file__).parents[2]
CALL = """
import sys, stub, run_inference
from emotion.cli import annotate

if __name__ == "__main__":
    annotate.load = stub.load
    sys.exit(run_inference.main(sys.argv[1:]))
"""


@pytest.fixture
def clips(tmp_path):
    """A folder of eight short recordings, of which three cannot be read."""
    folder = tmp_path / "clips"
    folder.mkdir()
    content = stub.moving(tmp_path, sound=(tone(3), 16000)).read_bytes()
    for i in range(8):
        (folder / f"{i}.mp4").write_bytes(content)
    (folder / "2.mp4").write_bytes(b"")
    (folder / "4.mp4").write_bytes(b"no video")
    (folder / "6.mp4").write_bytes(content[:1000])
    return folder


def dying(settings):
    """Loads a stub that ends its process at the second recording it is given."""
    recognizer, files = stub.Stub(stub.white_square), []

    def detect(frame):
        return stub.white_square(frame)

    def predict(signals):
        files.append(1)
        if len(files) == 2:
            os._exit(7)
        return stub.Stub.predict(recognizer, signals)

    recognizer.detector, recognizer.predict = detect, predict
    return recognizer


def dying_at_once(settings):
    os._exit(9)


def refusing(settings):
    raise FileNotFoundError("no run here")


def lacking(settings):
    raise ModuleNotFoundError("no onnxruntime here")


@pytest.mark.slow
def test_a_process_that_dies_costs_its_recording_only(clips, tmp_path):
    listed = list_jobs([clips], tmp_path / "out")
    (tmp_path / "out").mkdir()
    ended = {
        job.path.stem: reason for job, reason in batch.work(listed, Settings("x"), Engine(), dying)
    }
    assert sorted(ended) == list("01234567")
    died = [name for name, reason in ended.items() if reason and "exit code 7" in reason]
    assert died == ["1", "5"]  # 0 | 1; 2 and 4 cannot be read, 3 | 5; 7
    assert "empty" in ended["2"] and "not media" in ended["4"] and "not media" in ended["6"]
    assert not ended["0"] and not ended["3"] and not ended["7"]


@pytest.mark.slow
def test_a_process_that_dies_as_it_loads_is_said(clips, tmp_path):
    listed = list_jobs([clips], tmp_path / "out")[:1]
    ((_, reason),) = batch.work(listed, Settings("x"), Engine(), dying_at_once)
    assert "exit code 9" in reason


@pytest.mark.slow
def test_no_recogniser_is_an_error_of_the_call(clips, tmp_path):
    listed = list_jobs([clips], tmp_path / "out")
    for load, reason in ((refusing, "no run here"), (lacking, "no onnxruntime here")):
        with pytest.raises(ValueError, match=reason):
            list(batch.work(listed, Settings("x"), Engine(), load))
    with pytest.raises(ValueError, match="`workers` must be at least 1.*0"):
        Engine(count=0)


@pytest.fixture
def call(tmp_path):
    """Gives (arguments of a subprocess, its environment): the command with a stub, on a folder."""
    script = tmp_path / "call.py"
    script.write_text(CALL, encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").touch()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, str(script), "--video_path", str(tmp_path / "clips")]
    command += ["--model", str(tmp_path / "run"), "--output", str(tmp_path / "out")]
    return [*command, "--workers", "2", "--predictions", "csv"], environment


@pytest.mark.slow
def test_killed_and_called_again_it_repeats_nothing(clips, call, tmp_path):
    command, environment = call
    options = {"env": environment, "encoding": "utf-8", "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, start_new_session=True, **options)
    shown = ""
    while not re.search(r" [3-7]/8 ", shown):
        letter = process.stderr.read(1)
        assert letter, shown
        shown += letter
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[0-9]*")}
    assert before
    done = subprocess.run(command, stdout=subprocess.PIPE, **options)
    assert done.returncode == 1, done.stderr
    reasons = done.stderr.partition("3 failed:\n")[2].splitlines()
    assert [Path(line.split(".mp4")[0]).name for line in reasons] == ["2", "4", "6"]
    assert re.search(r"5 of 8 recordings annotated \([1-5] of them before\)", done.stdout)
    videos = sorted((tmp_path / "out").glob("*.mp4"))
    whole = {path for path in videos if path.with_suffix(".csv") in before and path in before}
    assert len(videos) == 5 and all(media.probe(path).duration > 2.9 for path in videos)
    assert all(path.stat().st_mtime_ns == before[path] for path in whole)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
def test_the_processes_end_with_the_call(clips, call, tmp_path):
    command, environment = call
    script = tmp_path / "call.py"
    script.write_text(CALL.replace("stub.load", "stub.stuck"), encoding="utf-8")
    options = {"env": environment, "stderr": subprocess.PIPE, "start_new_session": True}
    process = subprocess.Popen(command, **options)
    try:
        while b"stuck" not in process.stderr.readline():
            pass
        process.kill()
        process.communicate(timeout=30)  # the pipe ends with the last process that has inherited it
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_several_recordings_are_refused_what_is_for_one(clips, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(annotate, "load", stub.load)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").touch()
    (tmp_path / "file").touch()
    base = ["--video_path", str(clips), "--model", str(tmp_path / "run")]
    for more, reason in (
        (["--predictions", "all.csv"], "suffix alone"),
        (["--timeline", "pdf"], ".png, .svg"),
        (["--output", str(tmp_path / "file")], "file"),
        (["--workers", "0", "--output", str(tmp_path / "out")], "`workers`"),
        (["--workers", "-2", "--output", str(tmp_path / "out")], "`workers`"),
    ):
        assert run_inference.main([*base, *more]) == 2
        (line,) = (item for item in capsys.readouterr().err.splitlines() if "run_inf" in item)
        assert reason in line
