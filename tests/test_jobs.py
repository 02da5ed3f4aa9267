"""Jobs: what is listed of files and folders, what is done already, and what one job writes."""

import os

import pytest
from films import tone
from stub import Stub, moving, white_square

from emotion import jobs
from emotion.clip import MediaError
from emotion.jobs import Job, Settings


@pytest.fixture
def folder(tmp_path):
    """A folder with recordings at two levels, and what is none."""
    for name in ("in/a.mp4", "in/b.mov", "in/b.mp4", "in/deep/A.mp4", "in/c.wav", "in/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path / "in"


def names(listed, folder):
    return [str(job.video.relative_to(folder)) for job in listed if job.video]


def test_a_folder_keeps_its_tree_and_names_do_not_meet(folder, tmp_path):
    out = tmp_path / "out"
    listed = jobs.list_jobs([folder], out)
    assert names(listed, out) == [
        "a_annotated.mp4",
        "b_mov_annotated.mp4",
        "b_mp4_annotated.mp4",
        "deep/A_annotated.mp4",
    ]
    listed = jobs.list_jobs([folder, folder / "a.mp4"], out, ".vtt", ".svg")
    assert len(listed) == 5
    (sound,) = (job for job in listed if job.path.name == "c.wav")
    assert sound == Job(folder / "c.wav", None, out / "c_annotated.vtt", out / "c_annotated.svg")


def test_results_inside_the_folder_are_no_recordings(folder):
    out = folder / "annotated"
    out.mkdir()
    (out / "a_annotated.mp4").touch()
    assert len(jobs.list_jobs([folder], out)) == 4


def test_refuses_what_is_not_there(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "none.mp4", tmp_path / "empty"):
        with pytest.raises(FileNotFoundError, match=path.name):
            jobs.list_jobs([folder, path], tmp_path / "out")


def test_what_is_done_is_left_out_and_leftovers_go(folder, tmp_path):
    model, out = tmp_path / "run", tmp_path / "out"
    model.mkdir()
    (model / "model.keras").touch()
    listed = jobs.list_jobs([folder], out, ".csv")
    settings = Settings(str(model), hop=1.0)
    assert jobs.unfinished(listed, settings, out) == listed
    for path in listed[0].outputs:
        path.touch()
    listed[1].video.touch()  # its predictions are lacking
    for path in listed[2].outputs:
        path.touch()
        os.utime(path, (1, 1))  # older than its recording
    (out / "deep" / ".A_annotated.mp4.77.part").touch()
    assert jobs.unfinished(listed, settings, out) == listed[1:]
    assert not list(out.rglob("*.part"))
    with pytest.raises(ValueError, match="other settings"):
        jobs.unfinished(listed, Settings(str(model), hop=2.0), out)
    os.utime(model / "model.keras", (1, 1))
    with pytest.raises(ValueError, match="another model"):
        jobs.unfinished(listed, settings, out)


def test_a_job_writes_all_it_names(tmp_path):
    path = moving(tmp_path, sound=(tone(3), 16000))
    outputs = [tmp_path / name for name in ("o.mp4", "o.vtt", "o.png")]
    told, written = jobs.annotate(Job(path, *outputs), Stub(white_square), Settings("any"))
    assert written == outputs and all(one.stat().st_size > 100 for one in outputs)
    assert "1 face" in told


def test_smoothing_is_written_and_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(jobs, "write_annotated", lambda timeline, *_: drawn.append(timeline))
    monkeypatch.setattr(jobs, "write_predictions", lambda timeline, _: drawn.append(timeline))
    path = moving(tmp_path, lambda i: i < 45, sound=(tone(3), 16000))
    job = Job(path, tmp_path / "o.mp4", tmp_path / "o.csv")
    monkeypatch.setattr(jobs, "smooth", lambda timeline, seconds: (seconds, timeline.duration))
    monkeypatch.setattr(jobs, "summary", str)
    jobs.annotate(job, Stub(white_square), Settings("any", smooth=2.0))
    assert [one[0] for one in drawn] == [2.0, 2.0]
    with pytest.raises(ValueError, match="smooth"):
        Settings("any", smooth=-1)


def test_sound_alone_needs_a_file_to_write(data, tmp_path):
    with pytest.raises(MediaError, match="has sound only"):
        jobs.check(Job(data / "media/sine.wav", tmp_path / "o.mp4"))
    jobs.check(Job(data / "media/sine.wav", None, tmp_path / "o.csv"))
