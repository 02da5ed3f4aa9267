"""Uploads: within limits, in turn, and gone afterwards."""

import tempfile
import threading

import av
import numpy as np
import pytest
from stub import Stub, white_square, work_queue
from videos import onset, tone, write_video

from emotion import media
from emotion.clip import MediaError
from emotion.inference.recognizer import Recognizer
from emotion.web import uploads, work

# Files that name others, and why they are refused: FFmpeg knows a playlist by its suffix.
CONCAT = "ffconcat version 1.0\nfile {}\n"
HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:3.0,\n{}\n#EXT-X-ENDLIST\n"
LINKS = [(CONCAT, "in a format not taken"), (HLS, "not media")]


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


def analyse(queue, path, progress=None):
    with queue.place():
        return queue.call(work.predict, path, progress=progress)


def test_a_file_is_stored_while_it_is_needed(private):
    with uploads.received([b"one", b"two"], uploads.Limits()) as path:
        assert path.read_bytes() == b"onetwo" and path.parent.parent == private
        assert path.parent.stat().st_mode & 0o077 == 0  # nobody else may look
    assert list(private.iterdir()) == []


def test_no_more_than_the_limit_is_taken(private):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield bytes(100_000)

    with pytest.raises(uploads.TooMuch, match="may have 1 MB"):
        with uploads.received(endless(), uploads.Limits(megabytes=1)):
            pass
    assert len(taken) == 11 and list(private.iterdir()) == []


def test_a_sender_who_leaves_leaves_nothing(private):
    def broken():
        yield b"half"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        with uploads.received(broken(), uploads.Limits()):
            pass
    assert list(private.iterdir()) == []


@pytest.mark.parametrize(
    "limits, rule",
    [({"seconds": 1}, "may last 1 seconds"), ({"megapixels": 0.01}, "0.01 megapixels")],
)
def test_what_is_too_much_is_refused(recognizer, recording, limits, rule):
    with pytest.raises(uploads.TooMuch, match=rule):
        analyse(work_queue(recognizer, **limits), recording)


def test_what_is_no_recording_is_refused(recognizer, tmp_path):
    path = tmp_path / "recording"
    path.write_text("not a film", encoding="utf-8")
    with pytest.raises(MediaError):
        analyse(work_queue(recognizer), path)


def test_the_sender_is_not_reported_where_it_lies(recognizer, private):
    queue = work_queue(recognizer)
    with pytest.raises(MediaError, match="^the recording ") as text:
        with uploads.received([b"not a film"], queue.limits) as path:
            analyse(queue, path)
    assert str(private) not in str(text.value)
    with pytest.raises(MediaError, match="^the (recording|sound file) ") as text:
        with uploads.received([b"not a film"], queue.limits, [b"no sound"]) as path:
            analyse(queue, path)
    assert list(private.iterdir()) == []


def test_a_length_that_the_file_hides_is_visible(recognizer, recording, monkeypatch):
    queue = work_queue(recognizer, seconds=1)
    monkeypatch.setattr(uploads.Limits, "check", lambda self, path: media.probe(path))
    with pytest.raises(uploads.TooMuch, match="may last 1 seconds"):
        analyse(queue, recording)
    assert queue.waiting == 0


def test_timeout_ends(recognizer, recording):
    queue = work_queue(recognizer, timeout=-1)
    with pytest.raises(uploads.TooMuch, match="may take -1 seconds"):
        analyse(queue, recording)
    assert queue.waiting == 0


def test_they_come_in_turn_and_the_line_has_an_end(recognizer, recording, tmp_path):
    queue = work_queue(recognizer, queue_size=1)
    inside, leave, done = threading.Event(), threading.Event(), []

    def hold(*_):
        inside.set()
        assert leave.wait(60)

    first = threading.Thread(target=lambda: done.append(analyse(queue, recording, hold)))
    first.start()
    assert inside.wait(60)
    second = threading.Thread(target=lambda: done.append(analyse(queue, recording)))
    second.start()
    while queue.waiting < 2:
        threading.Event().wait(0.01)
    with pytest.raises(uploads.Busy, match="2 recordings wait"):
        analyse(queue, recording)
    assert done == []
    leave.set()
    first.join()
    second.join()
    assert len(done) == 2 and queue.waiting == 0


def test_a_place_is_taken_until_all_is_done(recognizer, recording):
    queue = work_queue(recognizer, queue_size=0)
    with queue.place():
        with pytest.raises(uploads.Busy, match="1 recordings wait"):
            analyse(queue, recording)
        assert queue.call(work.predict, recording)["windows"]
    assert queue.waiting == 0


def test_timeout_is_for_each_stage(monkeypatch):
    clock = iter((0, 5, 9, 14, 20))
    monkeypatch.setattr(uploads.time, "monotonic", lambda: next(clock))
    watched = uploads.Limits(timeout=10).watch()
    for stage in ("analysing", "analysing", "writing", "writing"):
        watched(stage, 0, None)
    with pytest.raises(uploads.TooMuch, match="may take 10 seconds"):
        watched("writing", 0, None)


@pytest.mark.parametrize("text, reason", LINKS, ids=["concat", "hls"])
def test_no_other_file_is_opened(recognizer, recording, text, reason):
    queue = work_queue(recognizer)
    for name in ("recording", recording):
        with pytest.raises(MediaError, match=f"^the recording is {reason}"):
            with uploads.received([text.format(name).encode()], queue.limits) as path:
                analyse(queue, path)


@pytest.fixture
def hidden(tmp_path):
    """Makes a file of some seconds that does not say how long it is."""

    def hidden(name, seconds):
        with av.open(str(tmp_path / name), "w", format="webm", options={"live": "1"}) as container:
            sound = container.add_stream("libopus", rate=48000, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(seconds, 48000)[None], "flt", "mono")
            frame.sample_rate = 48000
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
        return tmp_path / name

    return hidden


def test_a_sound_comes_with_its_video(recognizer, tmp_path):
    queue = work_queue(recognizer)
    write_video(tmp_path / "film.mp4", np.arange(50) / 25)
    media.write_sound(str(tmp_path / "sound"), tone(2, 48000, [1.2]), 48000)
    parts = ([(tmp_path / name).read_bytes()] for name in ("film.mp4", "sound"))
    with uploads.received(next(parts), queue.limits, next(parts)) as path:
        sound = path.with_name(work.SOUND)
        assert onset(media.read_samples(sound, 48000), 48000) == pytest.approx(1.2, abs=0.1)
        assert {part.name for part in path.parent.iterdir()} == {"recording", "sound file"}
        assert queue.call(work.show, path).sound == sound


@pytest.mark.parametrize(("has_face", "has_audio"), [(2, 30), (9, 2)])
@pytest.mark.parametrize("modality", ["both", "video"])
def test_video_and_sound_are_counted_as_they_are_read(
    tmp_path, hidden, monkeypatch, has_face, has_audio, modality
):
    read, right = [], media.read_blocks
    monkeypatch.setattr(media, "read_blocks", lambda *a: (read.append(1) or b for b in right(*a)))
    monkeypatch.setattr(uploads.Limits, "check", lambda self, path: media.probe(path))
    queue = work_queue(Stub(white_square, modality), seconds=3)
    picture = write_video(tmp_path / "film.mp4", np.arange(25 * has_face) / 25).read_bytes()
    sound = hidden("sound.webm", has_audio).read_bytes()
    with uploads.received([picture], queue.limits, [sound]) as path:
        with pytest.raises(uploads.TooMuch, match="may last 3 seconds"):
            analyse(queue, path)
    assert len(read) <= 14  # blocks of 0.25 s
    assert queue.waiting == 0


def test_a_sound_within_the_limits_alone_is_taken(recognizer, recording, tmp_path):
    queue, content = work_queue(recognizer), recording.read_bytes()
    silent = write_video(tmp_path / "film.mp4", np.arange(9) / 25).read_bytes()
    for parts, reason in (
        ((content, b"no sound"), "^the sound file is not media"),
        ((content, silent), "^the sound file has no sound"),
        ((content, CONCAT.format("recording").encode()), "^the sound file is in a format not"),
    ):
        with pytest.raises(MediaError, match=reason):
            with uploads.received(parts[:1], queue.limits, parts[1:]) as path:
                analyse(queue, path)
    with pytest.raises(uploads.TooMuch, match="may have 1 MB"):
        with uploads.received([content], uploads.Limits(megabytes=1), [bytes(1_000_001)]):
            pass
