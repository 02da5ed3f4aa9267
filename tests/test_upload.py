"""Uploads: within limits, in turn, and gone afterwards."""

import tempfile
import threading
from pathlib import Path

import pytest

from emotion import upload
from emotion.clip import MediaError
from emotion.recognizer import Recognizer


@pytest.fixture(scope="module")
def recognizer(trained):
    return Recognizer(trained.folder)


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    """The folder in which temporary files lie during a test."""
    folder = tmp_path / "private"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_file_is_kept_while_it_is_needed(private):
    with upload.received([b"one", b"two"], upload.Limits()) as path:
        assert path.read_bytes() == b"onetwo" and path.parent.parent == private
        assert path.parent.stat().st_mode & 0o077 == 0  # nobody else may look
    assert list(private.iterdir()) == []


def test_no_more_than_the_limit_is_taken(private):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield bytes(100_000)

    with pytest.raises(upload.TooMuch, match="may have 1 MB"):
        with upload.received(endless(), upload.Limits(megabytes=1)):
            pass
    assert len(taken) == 11 and list(private.iterdir()) == []


def test_a_sender_who_leaves_leaves_nothing(private):
    def broken():
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        with upload.received(broken(), upload.Limits()):
            pass
    assert list(private.iterdir()) == []


@pytest.mark.parametrize(
    "limits, rule",
    [({"seconds": 1}, "may last 1 seconds"), ({"megapixels": 0.01}, "0.01 megapixels")],
)
def test_what_is_too_much_is_refused(recognizer, recording, limits, rule):
    with pytest.raises(upload.TooMuch, match=rule):
        upload.Desk(recognizer, upload.Limits(**limits)).analyse(recording)


def test_what_is_no_recording_is_refused(recognizer, tmp_path):
    path = tmp_path / "recording"
    path.write_text("not a film")
    with pytest.raises(MediaError):
        upload.Desk(recognizer, upload.Limits()).analyse(path)


def test_the_sender_is_not_told_where_it_lies(recognizer, private):
    desk = upload.Desk(recognizer, upload.Limits())
    with pytest.raises(MediaError, match="^the recording ") as told:
        with upload.received([b"not a film"], desk.limits) as path:
            desk.analyse(path)
    assert str(private) not in str(told.value)
    with pytest.raises(MediaError, match="^the (recording|sound) ") as told:
        with upload.received([b"not a film"], desk.limits, [b"no sound"]):
            pass
    assert list(private.iterdir()) == []


def test_a_length_that_the_file_hides_is_seen(recognizer, recording, monkeypatch):
    desk = upload.Desk(recognizer, upload.Limits(seconds=1))
    monkeypatch.setattr(upload.Limits, "check", lambda self, path: None)
    with pytest.raises(upload.TooMuch, match="may last 1 seconds"):
        desk.analyse(recording)
    assert desk.waiting == 0


def test_patience_ends(recognizer, recording):
    desk = upload.Desk(recognizer, upload.Limits(patience=-1))
    with pytest.raises(upload.TooMuch, match="may take -1 seconds"):
        desk.analyse(recording)
    assert desk.waiting == 0


def test_they_come_in_turn_and_the_line_has_an_end(recognizer, recording, tmp_path):
    desk = upload.Desk(recognizer, upload.Limits(waiting=1))
    inside, leave, done = threading.Event(), threading.Event(), []

    def hold(*_):
        inside.set()
        assert leave.wait(60)

    first = threading.Thread(target=lambda: done.append(desk.analyse(recording, hold)))
    first.start()
    assert inside.wait(60)
    second = threading.Thread(target=lambda: done.append(desk.analyse(recording)))
    second.start()
    while desk.waiting < 2:
        pass
    with pytest.raises(upload.Busy, match="2 recordings wait"):
        desk.analyse(recording)
    assert done == []
    leave.set()
    first.join()
    second.join()
    assert len(done) == 2 and desk.waiting == 0
    desk.annotate(done[0], tmp_path / "annotated.mp4")
    assert Path(tmp_path, "annotated.mp4").is_file()
