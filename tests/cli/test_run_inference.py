"""run_inference.py: every kind of file, what is written and what is refused; a stub predicts."""

import csv
import json
import os

import numpy as np
import pytest
import stub
from stub import LABELS, moving

import run_inference
from emotion import media
from emotion.cli import annotate
from emotion.cli.model import chosen

# name: what is printed of it, or the reason on stderr. Faces are those the Haar cascade finds.
TABLE = {
    "av1_no_audio.mkv": (0, "no face; predictions: none"),
    "cover_art.mp3": (2, "has sound only"),
    "empty.webm": (2, "is empty (0 bytes)"),
    "face_appears_hevc_vfr.mov": (0, "from sound"),
    "face_leaves_hevc_vfr.mov": (0, "from sound"),
    "failing_audio.mp4": (0, "from sound"),
    "grid_mpeg1_mp2.mpg": (0, "1 face; predictions: 6 from sound and face"),
    "grid_mpeg1_mp2_b.mpg": (0, "1 face; predictions: 6 from sound and face"),
    "h264_10bit.mp4": (0, "no face; predictions: none"),
    "hevc_10bit.mp4": (0, "no face; predictions: none"),
    "multi_face.jpg": (2, "is a still image"),
    "nasa_8khz_audio.mp4": (0, "from sound alone"),
    "no_duration_vp9.webm": (0, "from sound"),
    "no_face.mp4": (0, "no face; predictions: 8 from sound alone"),
    "one_face.mp4": (0, "1 face; predictions:"),
    "one_face_short.mp4": (0, "1 face; predictions:"),
    "one_pixel.mp4": (0, "no face; predictions: none"),
    "openface_output.csv": (2, "is not media"),
    "rotated_180_vfr_mono.mp4": (0, "from sound alone"),
    "sine.wav": (2, "has sound only"),
    "single_face.jpg": (2, "is a still image"),
}
SLOW = ("one_face.mp4", "face_appears_hevc_vfr.mov", "face_leaves_hevc_vfr.mov")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """run(*arguments) -> (exit code, stdout, lines of stderr that are no progress bar)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(annotate, "load", stub.load)

    def run(*arguments):
        code = run_inference.main(["--model", "any", *map(str, arguments)])
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if "run_inference" in line or "Trace" in line]
        return code, out, lines

    return run


def test_the_table_names_every_file(data):
    assert {path.name for path in (data / "media").iterdir()} == set(TABLE)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in TABLE],
)
def test_command_on_every_kind_of_file(data, command, tmp_path, name):
    expected, text = TABLE[name]
    path = data / "media" / name
    code, out, errors = command("--video_path", path)
    assert code == expected
    if code == 2:
        assert len(errors) == 1 and text in errors[0] and name in errors[0]
        assert os.listdir(tmp_path) == []
        return
    assert text in out and errors == []
    assert os.listdir(tmp_path) == [f"{path.stem}_annotated.mp4"]
    before, after = media.probe(path), media.probe(tmp_path / f"{path.stem}_annotated.mp4")
    assert after.audio == before.audio and after.rotation == 0
    assert (after.width, after.height) == (max(2, before.width), max(2, before.height))
    if before.duration:
        assert after.duration == pytest.approx(before.duration, abs=float(1 / before.rate) + 1e-6)
    assert sum(1 for _ in media.read_frames(after.path, size=(2, 2))) == sum(
        1 for _ in media.read_frames(path, size=(2, 2))
    )


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_command_writes_predictions_of_sound(data, command, tmp_path, suffix):
    table = tmp_path / f"sine.{suffix}"
    code, out, errors = command(
        "--video_path", data / "media/sine.wav", "--predictions", table, "--window", 2, "--hop", 1
    )
    assert code == 0 and errors == [] and "3 from sound alone" in out
    assert os.listdir(tmp_path) == [table.name]
    if suffix == "csv":
        rows = list(csv.DictReader(table.open(encoding="utf-8")))
        assert (
            rows[1]["start"] == "1.0" and rows[1]["has_audio"] == "True" and rows[1]["track"] == ""
        )
    else:
        rows = json.loads(table.read_text(encoding="utf-8"))["windows"]
        assert rows[1]["start"] == 1.0 and rows[1]["has_audio"] is True and rows[1]["track"] is None
    assert [row["label"] for row in rows] == ["sad"] * 3
    assert sum(float(rows[0][label]) for label in LABELS) == pytest.approx(1, abs=1e-3)


def test_command_refuses_in_one_line(data, command, tmp_path, monkeypatch):
    clip = moving(tmp_path)
    content = clip.read_bytes()
    for arguments, reason in (
        (("--video_path", clip, "--output", clip), "another file"),
        (("--video_path", clip, "--output", "out.avi"), "must end in .mp4"),
        (("--video_path", clip, "--predictions", "p.txt"), ".csv, .json or .vtt"),
        (("--video_path", clip, "--output", "nowhere/out.mp4"), "cannot be written"),
        (("--video_path", clip, "--hop", "9"), "`hop` must be"),
        (("--video_path", "missing.mp4"), "missing.mp4"),
        (("--video_path", clip, "--timeline", "t.pdf"), ".png or .svg"),
        (("--video_path", clip, "--smooth", "-1"), "`smooth` must be"),
    ):
        code, _, errors = command(*arguments)
        assert code == 2 and len(errors) == 1 and reason in errors[0], arguments
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path / "runs"))
    assert run_inference.main(["--video_path", str(clip)]) == 2
    assert os.listdir(tmp_path) == ["in.mp4"] and clip.read_bytes() == content


def test_command_takes_the_sound_of_a_file_separate(data, command, tmp_path):
    clip = data / "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4"  # with a sound of its own
    sound = data / "ravdess/audios/Actor_01/03-01-01-01-02-01-01.flac"
    code, out, errors = command("--video_path", clip, "--audio_path", sound)
    assert (code, errors) == (0, []) and "from sound and face" in out
    has_audio = media.read_samples(tmp_path / f"{clip.stem}_annotated.mp4", 16000)
    arguments = media.read_samples(sound, 16000)
    assert np.corrcoef(has_audio[: len(arguments)], arguments[: len(has_audio)])[0, 1] > 0.99


def test_command_refuses_a_sound_that_fits_nothing(data, command, tmp_path):
    clip, sine = moving(tmp_path), data / "media/sine.wav"
    for arguments, reason in (
        (("--video_path", clip, "--audio_path", "none.wav"), "none.wav"),
        (("--video_path", clip, "--audio_path", clip), "in.mp4 has no sound"),
        (("--video_path", sine, "--audio_path", sine), "sine.wav has no picture"),
        (("--video_path", tmp_path, "--audio_path", sine), "the sound of one video"),
        (("--video_path", clip, clip, "--audio_path", sine), "the sound of one video"),
        (("--live", "--audio_path", sine), "live takes no --audio_path"),
    ):
        code, _, errors = command(*arguments)
        assert code == 2 and len(errors) == 1 and reason in errors[0], arguments
    talk = tmp_path / "talk.mp4"
    talk.write_bytes((data / "media/sine.wav").read_bytes())
    code, _, errors = command("--video_path", clip, "--audio_path", talk, "--output", talk)
    assert code == 2 and "another file than the input" in errors[0]
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "talk.mp4"]


@pytest.mark.parametrize(
    "arguments",
    [("--output", "no/o.mp4"), ("--predictions", "no/o.csv"), ("--timeline", "no/o.svg")],
)
def test_command_looks_for_its_place_before_it_loads(command, tmp_path, monkeypatch, arguments):
    monkeypatch.setattr(annotate, "load", None)
    code, _, (line,) = command("--video_path", moving(tmp_path), *arguments)
    assert code == 2 and "no/o" in line and "cannot be written" in line


def test_progress_is_a_bar_a_stage(capsys):
    with annotate.Progress() as progress:
        for stage in ("analysing", "writing"):
            for done in range(10):
                progress(stage, done, 9.0)
    assert capsys.readouterr().err.count("\n") == 2


def test_command_takes_the_newest_run(tmp_path, monkeypatch, capsys):
    def made(age, name, trained=True):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").touch()
        if trained:
            (tmp_path / name / "model.keras").touch()
            os.utime(tmp_path / name / "model.keras", (1e9 - age, 1e9 - age))

    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path))
    made(100, "folds/fold-1")
    made(50, "comparison/cnn3d_mfcc-audio/seed-0-fold-0")
    with pytest.raises(FileNotFoundError, match="must be named: --model .*seed-0-fold-0$"):
        chosen(None)
    made(300, "old")
    made(200, "newer")
    made(0, "unfinished", trained=False)
    assert chosen(None) == tmp_path / "newer"
    assert f"model: {tmp_path / 'newer'} (the newest" in capsys.readouterr().out
