"""Jobs: what is listed of files and folders, what is done already, and what one job writes."""

import json
import os

import pytest
from stub import Stub, moving, white_square
from videos import tone

import run_inference
from emotion import media
from emotion.annotate import recordings
from emotion.annotate.recordings import Job, Settings
from emotion.clip import MediaError


@pytest.fixture
def folder(tmp_path):
    """A folder with recordings at two levels, and what is none."""
    for name in ("in/a.mp4", "in/b.mov", "in/b.mp4", "in/deep/A.mp4", "in/c.wav", "in/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    return tmp_path / "in"


def names(listed, folder):
    return [str(job.video.relative_to(folder)) for job in listed if job.video]


def test_a_folder_keeps_its_tree_and_names_do_not_meet(folder, tmp_path):
    out = tmp_path / "out"
    listed = recordings.list_jobs([folder], out)
    assert names(listed, out) == [
        "a_annotated.mp4",
        "b.mov_annotated.mp4",
        "b.mp4_annotated.mp4",
        "deep/A_annotated.mp4",
    ]
    listed = recordings.list_jobs([folder, folder / "a.mp4"], out, ".vtt", ".svg")
    assert len(listed) == 5
    (sound,) = (job for job in listed if job.path.name == "c.wav")
    assert sound == Job(folder / "c.wav", None, out / "c_annotated.vtt", out / "c_annotated.svg")


def test_recordings_of_one_name_have_results_separate(tmp_path):
    arguments = [
        tmp_path / name for name in ("day1/t.mp4", "day2/t.mp4", "day2/T.mov", "day2/x_mp4.mkv")
    ]
    arguments += [tmp_path / name for name in ("day2/x.mp4", "day2/x.mov", "day2/x.mp4.mkv")]
    for path in arguments:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x", encoding="utf-8")
    listed = recordings.list_jobs(arguments, tmp_path / "out", ".csv")
    written = [str(item).lower() for job in listed for item in job.outputs]
    assert len(set(written)) == len(written) == 2 * len(arguments)
    assert names(listed, tmp_path / "out")[0] == "day1/t_annotated.mp4"
    folders = recordings.list_jobs([tmp_path / "day2", tmp_path / "day1"], tmp_path / "out", ".csv")
    assert set(folders) == set(listed)


@pytest.mark.parametrize("place", ["annotated", ".", ".."])
def test_results_inside_the_folder_are_no_recordings(folder, place):
    out = folder / place
    out.mkdir(exist_ok=True)
    assert len(recordings.list_jobs([folder], out)) == 4
    (folder / "a_annotated.mp4" if place == ".." else out / "a_annotated.mp4").touch()
    assert len(recordings.list_jobs([folder], out)) == 4


def test_refuses_what_is_not_there(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none.mp4", tmp_path / "empty"):
        with pytest.raises(FileNotFoundError, match=path.name):
            recordings.list_jobs([folder, path], tmp_path / "out")
    (tmp_path / "empty" / "talk.wav").touch()
    with pytest.raises(FileNotFoundError, match="add --predictions csv"):
        recordings.list_jobs([tmp_path / "empty"], tmp_path / "out")


def test_what_is_done_is_left_out_and_leftovers_go(folder, tmp_path):
    model, out = tmp_path / "run", tmp_path / "out"
    model.mkdir()
    (model / "model.keras").touch()
    listed = recordings.list_jobs([folder], out, ".csv")
    settings = Settings(str(model), hop=1.0)
    assert recordings.unfinished(listed, settings, out, folder) == listed
    for path in listed[0].outputs:
        path.touch()
    listed[1].video.touch()  # its predictions are lacking
    for path in listed[2].outputs:
        path.touch()
        os.utime(path, (1, 1))  # older than its recording
    (out / "deep" / ".A_annotated.77-1.part.mp4").touch()
    assert recordings.unfinished(listed, settings, out, folder) == listed[1:]
    assert not list(out.rglob("*.part*"))
    with pytest.raises(ValueError, match="other settings"):
        recordings.unfinished(listed, Settings(str(model), hop=2.0), out, folder)
    with pytest.raises(ValueError, match="recordings from elsewhere"):
        recordings.unfinished(listed, settings, out, tmp_path)  # where a.mp4 may be another's
    os.utime(model / "model.keras", (1, 1))
    with pytest.raises(ValueError, match="another model"):
        recordings.unfinished(listed, settings, out, folder)


@pytest.mark.parametrize(
    ("model", "file", "form"),
    [
        ("run", "run/model.onnx", "onnx"),
        ("run/model.onnx", "run/model.onnx", "onnx"),
        ("run", "run/model.tflite", "litert"),
        ("run", "run/model/saved_model.pb", "saved_model"),
    ],
)
def test_an_export_is_a_model_too(folder, tmp_path, trained, model, file, form):
    out, settings = tmp_path / "out", Settings(str(tmp_path / model))
    listed = recordings.list_jobs([folder], out)
    with pytest.raises(FileNotFoundError, match="holds no trained model"):
        recordings.unfinished(listed, settings, out, folder)
    assert not out.exists()
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).touch()
    record = {**vars(trained.record), "exported": {"format": form}}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert recordings.unfinished(listed, settings, out, folder) == listed
    os.utime(tmp_path / file, (1, 1))
    with pytest.raises(ValueError, match="another model"):
        recordings.unfinished(listed, settings, out, folder)


def test_sound_that_is_named_as_a_video_is_done_without_one(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "model.keras").touch()
    video = moving(tmp_path / "in")
    media.write_sound(tmp_path / "in" / "talk.mp4", tone(1), 16000)
    settings, out = Settings(str(tmp_path)), tmp_path / "out"
    listed = recordings.list_jobs([tmp_path / "in"], out, ".csv")
    assert recordings.unfinished(listed, settings, out, tmp_path / "in") == listed
    for job in listed:
        _, written = recordings.annotate(job, Stub(white_square), settings)
        assert (job.video in written) == (job.path == video)
    assert recordings.unfinished(listed, settings, out, tmp_path / "in") == []
    listed[0].video.unlink()
    assert recordings.unfinished(listed, settings, out, tmp_path / "in") == listed[:1]


def test_a_job_writes_all_it_names(tmp_path):
    path = moving(tmp_path, sound=(tone(3), 16000))
    outputs = [tmp_path / name for name in ("o.mp4", "o.vtt", "o.png")]
    text, written = recordings.annotate(Job(path, *outputs), Stub(white_square), Settings("any"))
    assert written == outputs and all(item.stat().st_size > 100 for item in outputs)
    assert "1 face" in text


def test_the_codec_of_the_video_is_chosen(tmp_path, capsys):
    path, sizes = moving(tmp_path), []
    for quality, preset in ((10, "medium"), (45, None)):
        settings = Settings("any", codec=media.Codec("libx264", preset, quality))
        output = tmp_path / f"{quality}.mp4"
        recordings.annotate(Job(path, output), Stub(white_square), settings)
        sizes.append(output.stat().st_size)
    assert sizes[0] > 1.5 * sizes[1]
    assert media.Codec("h264_nvenc", quality=25).options["cq"] == "25"
    command = ["--video_path", str(path), "--output", str(tmp_path / "x.mp4")]
    assert run_inference.main([*command, "--video-preset", "bogus"]) == 2
    assert "choose another --video-codec" in capsys.readouterr().err
    assert not (tmp_path / "x.mp4").exists()


def test_smoothing_is_written_and_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(recordings, "write_annotated", lambda timeline, *_: drawn.append(timeline))
    monkeypatch.setattr(recordings, "write_predictions", lambda timeline, _: drawn.append(timeline))
    path = moving(tmp_path, lambda i: i < 45, sound=(tone(3), 16000))
    job = Job(path, tmp_path / "o.mp4", tmp_path / "o.csv")
    monkeypatch.setattr(
        recordings, "smooth", lambda timeline, seconds: (seconds, timeline.duration)
    )
    monkeypatch.setattr(recordings, "summary", str)
    recordings.annotate(job, Stub(white_square), Settings("any", smooth=2.0))
    assert [item[0] for item in drawn] == [2.0, 2.0]
    with pytest.raises(ValueError, match="smooth"):
        Settings("any", smooth=-1)


@pytest.mark.parametrize("lost", ["video", "predictions", "picture"])
def test_says_before_any_work_that_it_cannot_write(tmp_path, monkeypatch, lost):
    monkeypatch.setattr(recordings, "analyse", None)
    outputs = {"video": "o.mp4", "predictions": "o.csv", "picture": "o.png"}
    outputs = {name: tmp_path / ("none" * (name == lost)) / file for name, file in outputs.items()}
    with pytest.raises(MediaError, match="none.*cannot be written.*another place"):
        recordings.annotate(Job(moving(tmp_path), **outputs), Stub(white_square), Settings("any"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    outputs[lost].mkdir(parents=True)
    with pytest.raises(MediaError, match="is a folder"):
        recordings.check(Job(tmp_path / "in.mp4", **outputs))


def test_sound_alone_needs_a_file_to_write(data, tmp_path):
    with pytest.raises(MediaError, match="has sound only"):
        recordings.check(Job(data / "media/sine.wav", tmp_path / "o.mp4"))
    recordings.check(Job(data / "media/sine.wav", None, tmp_path / "o.csv"))
