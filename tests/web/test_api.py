"""HTTP: answers, refusals, limits, senders who leave, and what stays behind: nothing."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from server import Server
from stub import work_queue

from emotion import media
from emotion.annotate import predictions, render
from emotion.cli.main import main
from emotion.inference.recognizer import Recognizer
from emotion.web import api, request_limits, uploads, work

ROOT = Path(__file__).parents[2]
TRICKS = "../../etc/<script>alert(1)</script>\\..\\\"; a='.mp4"


@pytest.fixture(scope="module")
def recognizer(trained):
    return Recognizer(trained.folder)


@pytest.fixture(scope="module", autouse=True)
def private(tmp_path_factory):
    """The folder in which temporary files lie during these tests."""
    folder = tmp_path_factory.mktemp("private")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def client(recognizer):
    return serving(recognizer, megabytes=1, seconds=30, queue_size=1)


def serving(recognizer, errors=True, **limits):
    """A client of the interface, whose work is done in this process."""
    app = api.create_app(work_queue(recognizer, **limits), work.describe(recognizer, None))
    return TestClient(app, raise_server_exceptions=errors)


def send(client, path, content, name="clip.mp4", part="file"):
    return client.post(path, files={part: (name, content)})


def refused(answer, status, *words):
    """Checks a refusal: one sentence, which tells nothing of the server."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    detail = answer.json()["detail"]
    assert set(answer.json()) == {"detail"} and all(word in detail for word in words)
    assert tempfile.gettempdir() not in detail and "Traceback" not in detail


def test_predictions_are_those_of_the_file(client, recognizer, recording, tmp_path, private):
    answer = send(client, "/predict", recording.read_bytes())
    predictions.write_predictions(render.analyse(recording, recognizer), tmp_path / "a.json")
    assert answer.status_code == 200 and answer.json()["windows"]
    assert answer.json() == json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert list(private.iterdir()) == []


def test_the_annotated_video_has_the_picture_and_the_sound(client, recording, tmp_path, private):
    answer = send(client, "/annotate", recording.read_bytes(), TRICKS)
    assert answer.status_code == 200 and answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == 'attachment; filename="annotated.mp4"'
    (tmp_path / "a.mp4").write_bytes(answer.content)
    before, after = media.probe(recording), media.probe(tmp_path / "a.mp4")
    assert after.video and after.audio and after.duration == pytest.approx(before.duration, abs=0.1)
    first = next(media.read_frames(recording))[1]
    drawn = next(media.read_frames(tmp_path / "a.mp4"))[1]
    assert abs(first.astype(int) - drawn).max() > 100  # labels
    assert list(private.iterdir()) == []


def test_model_health_and_pages(client, recognizer):
    said = client.get("/model").json()
    assert said["labels"] == list(recognizer.labels) and said["window"] == recognizer.window
    assert (said["preset"], said["modality"]) == ("cnn3d_mfcc", "both")
    assert client.get("/health").json() == {"status": "ok", "waiting": 0}
    assert "/openapi.json" in client.get("/docs").text
    documented = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["responses"]
    assert set(documented) == {"200", "400", "408", "413", "415", "422", "503", "507"}


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty (0 bytes)"),
        (b"I am a film.\n" * 50, "is not media"),
        (b"ffconcat version 1.0\nfile recording\n", "in a format not taken"),
        (bytes(1_000_001), "may have 1 MB"),
        (bytes(2_000_000), "may have 1 MB"),
    ],
    ids=["empty", "text", "playlist", "over the limit by a byte", "far over the limit"],
)
@pytest.mark.parametrize("path", ["/predict", "/annotate"])
def test_what_is_no_recording_is_refused(client, path, content, words, private):
    refused(send(client, path, content), 413 if "MB" in words else 422, words)
    assert list(private.iterdir()) == []


def test_a_name_changes_nothing_and_is_repeated_nowhere(client, recording, private):
    plain = send(client, "/predict", recording.read_bytes())
    assert send(client, "/predict", recording.read_bytes(), TRICKS).json() == plain.json()
    answer = send(client, "/predict", b"x", TRICKS)
    refused(answer, 422, "the recording is not media")
    assert "script" not in answer.text
    assert list(private.iterdir()) == [] and not list(private.parent.rglob("*script*"))


def test_sound_is_audible_and_cannot_be_drawn_on(client, clips, data, private):
    sine = (data / "media" / "sine.wav").read_bytes()
    assert send(client, "/predict", sine).json()["windows"] == []  # nobody speaks
    sound = clips[0].audio.read_bytes()
    refused(send(client, "/annotate", sound), 422, "sound only", "/predict")
    answer = send(client, "/predict", sound)
    assert {(row["has_audio"], row["has_face"]) for row in answer.json()["windows"]} == {
        (True, False)
    }
    assert list(private.iterdir()) == []


def test_a_video_may_bring_its_sound(client, recognizer, recording, clips, tmp_path, private):
    silent, sound = clips[0].video, clips[0].audio
    assert not media.probe(silent).audio
    files = {"file": ("a.mp4", silent.read_bytes()), "audio": (TRICKS, sound.read_bytes())}
    answer = client.post("/predict", files=files)
    assert {(row["has_audio"], row["has_face"]) for row in answer.json()["windows"]} == {
        (True, True)
    }
    result = render.analyse(silent, recognizer, sound=sound)
    assert answer.json()["windows"] == list(predictions.rows(result))
    (tmp_path / "a.mp4").write_bytes(client.post("/annotate", files=files).content)
    has_audio, arguments = (media.read_samples(path, 16000) for path in (tmp_path / "a.mp4", sound))
    length = min(len(has_audio), len(arguments))
    assert np.corrcoef(has_audio[:length], arguments[:length])[0, 1] > 0.98
    assert list(private.iterdir()) == []


def test_a_sound_that_fits_nothing_is_refused(client, recording, data, private):
    video, sine = recording.read_bytes(), (data / "media/sine.wav").read_bytes()
    for path in ("/predict", "/annotate"):
        for file, audio, status, words in (
            (video, b"x", 422, "the sound file is not media"),
            (video, b"", 422, "the sound file is empty"),
            (sine, sine, 422, "the recording has no picture"),
            (
                video,
                bytes(1_000_001 + request_limits.FRAME - len(video)),
                413,
                "may have 1 MB",
            ),  # together
        ):
            files = {"file": ("a", file), "audio": ("b", audio)}
            refused(client.post(path, files=files), status, words)
    assert list(private.iterdir()) == []


@pytest.mark.parametrize(
    "request_, status",
    [
        ({"files": {"sound": ("a.mp4", b"x")}}, 422),
        ({"files": {"file": (None, b"x")}}, 400),
        ({"files": {"audio": ("a", b"x")}}, 422),
        ({"files": {"file": ("a", b"x"), "sound": ("b", b"x")}}, 400),
        ({"files": [("audio", ("a", b"x"))] * 2}, 422),
        ({"files": [("file", ("a", b"x")), *[("audio", ("b", b"x"))] * 2]}, 400),
        ({"files": [("file", ("a", b"x")), ("file", ("b", b"x"))]}, 400),
        ({"files": {"file": ("a", b"x")}, "data": {"more": "x"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=a"}}, 400),
        ({"data": {"file": "x"}}, 415),
        ({"json": {"file": "x"}}, 415),
        ({}, 415),
    ],
)
def test_what_is_no_upload_is_refused(client, request_, status, private):
    refused(client.post("/predict", **request_), status, "send one file, as the part `file`")
    assert list(private.iterdir()) == []


@pytest.mark.parametrize(
    "limit, rule",
    [
        ({"seconds": 1}, "may last 1 seconds"),
        ({"megapixels": 0.01}, "0.01 megapixels"),
        ({"timeout": 1e-9}, "may take 1e-09 seconds"),
    ],
)
def test_what_is_too_much_is_refused(recognizer, recording, limit, rule, private):
    client = serving(recognizer, **limit)
    refused(send(client, "/predict", recording.read_bytes()), 413, rule)
    assert list(private.iterdir()) == []


def test_what_the_server_does_wrong_is_not_shown(recognizer, monkeypatch, private):
    def fail(*_, **__):
        raise RuntimeError(f"{tempfile.gettempdir()}: secret")

    monkeypatch.setattr(media, "probe", fail)
    client = serving(recognizer, errors=False)
    refused(send(client, "/predict", b"x"), 500, "the server failed")
    assert list(private.iterdir()) == []


def test_the_line_has_an_end(recognizer, recording, monkeypatch):
    inside, leave, right = threading.Event(), threading.Event(), work.analyse

    def held(*arguments, **options):
        inside.set()
        assert leave.wait(60)
        return right(*arguments, **options)

    monkeypatch.setattr(work, "analyse", held)
    content = recording.read_bytes()
    with serving(recognizer, queue_size=0) as client:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(send, client, "/predict", content)
            assert inside.wait(60)
            answer = send(client, "/predict", content)
            refused(answer, 503, "1 recordings wait already")
            assert int(answer.headers["retry-after"]) > 0
            assert client.get("/health").json()["waiting"] == 1
            leave.set()
            assert first.result().status_code == 200
        assert send(client, "/predict", content).status_code == 200


def through_limits(limits, receive, send=None, headers=()):
    """The messages that a door sends, before an application that reads and answers."""
    sent = []

    async def application(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    async def keep(message):
        sent.append(message)

    entrance = request_limits.RequestLimits(application, work_queue(None, **limits))
    scope = {"type": "http", "method": "POST", "headers": list(headers)}
    asyncio.run(entrance(scope, receive, send or keep))
    assert entrance.held == 0
    return sent


async def never(*_):
    await asyncio.Event().wait()


def test_no_more_than_the_limit_is_read():
    read = []

    async def endless():
        read.append(1)
        return {"type": "http.request", "body": bytes(100_000), "more_body": True}

    with pytest.raises(uploads.TooMuch, match="may have 1 MB"):
        through_limits(dict(megabytes=1), endless)
    assert len(read) == 11
    with pytest.raises(uploads.TooMuch, match="may have 1 MB"):
        through_limits(dict(megabytes=1), endless, headers=[(b"content-length", b"2000000")])
    assert len(read) == 11


def test_who_sends_too_slowly_is_refused():
    with pytest.raises(api.HTTPException, match="must arrive within 0.01 seconds") as refusal:
        through_limits(dict(transfer=0.01), never)
    assert refusal.value.status_code == 408


def test_who_takes_too_slowly_is_left():
    async def whole():
        return {"type": "http.request", "body": b"x"}

    assert len(through_limits(dict(transfer=0.01), whole)) == 2
    assert through_limits(dict(transfer=0.01), whole, never) == []


def test_work_ends_when_its_sender_leaves(recognizer, monkeypatch, private):
    ended = threading.Event()

    def endless(path, recognizer, progress, sound):
        try:
            while True:
                progress("analysing", 0, 1)
        finally:
            ended.set()

    monkeypatch.setattr(work, "analyse", endless)
    monkeypatch.setattr(uploads.Limits, "check", lambda self, path: media.Info(path, 1, True, True))
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'
    messages = iter([{"type": "http.request", "body": body}, {"type": "http.disconnect"}])

    async def receive():
        return next(messages)

    kind = [(b"content-type", b"multipart/form-data; boundary=b")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": kind}
    scope |= {"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"}
    asyncio.run(serving(recognizer).app(scope, receive, never))
    assert ended.is_set() and list(private.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "package", "more"),
    [
        ("serve", "uvicorn", [(("--port", "0", "--queue-size", "-1"), "at least 0. Received: -1"),
                              (("--port", "0", "--transfer", "nan"), "--transfer must be positive"),
                              (("--port", "0", "--max-mb", "0.5"), "saved_models holds no")]),
        ("web", "streamlit", [(("--port", "0", "--cameras", "-1"), "at least 0. Received: -1")]),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(command, package, more, trained, tmp_path, monkeypatch, capsys):
    def says(arguments, reason):
        assert main([command, *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and reason in error

    if command == "web":
        monkeypatch.setattr("streamlit.App.run", lambda *_, **__: pytest.fail("it started"))
    monkeypatch.chdir(tmp_path)
    for name in ("unfinished", "yunet"):
        (tmp_path / name).mkdir()
        record = vars(trained.record) | ({"detector": "yunet"} if name == "yunet" else {})
        (tmp_path / name / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, reason in (
            (("--port", port), f"--port {port} cannot be used"),
            (("--port", "70000"), "--port 70000 cannot be used"),
            (("--host", "256.0.0.1"), "--host 256.0.0.1"),
            (("--port", "0", "--max-mb", "0"), "--max-mb must be positive"),
            (("--port", "0", "--timeout", "nan"), "--timeout must be positive"),
            (("--port", "0"), "saved_models holds no trained run"),
            (("--port", "0", "--model", "none"), "none is not a run"),
            (("--port", "0", "--model", "unfinished"), "holds no model.keras"),
            (("--port", "0", "--model", "yunet", "--yunet", "none"), "weights=none"),
            *more,
        ):
            says(arguments, reason)
    monkeypatch.setitem(sys.modules, package, None)
    says((), f"pip install -e '.[{command}]'")


@pytest.fixture
def server(trained, tmp_path, request):
    server = Server(trained.folder, tmp_path, "--queue-size", str(getattr(request, "param", 30)))
    yield server
    server.kill()


@pytest.mark.slow
def test_twenty_at_once_are_answered_and_memory_returns(server, recording, private):
    content = recording.read_bytes()
    (expected, _), resident = server.settle(content), []
    for _ in range(4):
        with ThreadPoolExecutor(20) as pool:
            answers = [pool.submit(server.post, "/predict", content) for _ in range(20)]
            assert {answer.result() for answer in answers} == {expected}
        resident.append(server.resident())
    print("resident MB after 20, 40, 60 and 80 uploads:", resident)
    assert expected[0] == 200 and json.loads(expected[1])["windows"]
    assert resident[-1] < resident[0] + 50  # the model and its threads have been there at once
    server.wait(0)
    assert server.left() == []
    assert server.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize("server", [2], indirect=True)
def test_who_is_beyond_the_line_may_try_again(server, recording):
    content = recording.read_bytes()
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: server.post("/predict", content)[0], range(20)))
    assert set(statuses) == {200, 503} and server.post("/predict", content)[0] == 200
    assert server.left() == [] and server.end() == 0


@pytest.mark.slow
def test_who_goes_away_leaves_nothing(server, data):
    video = (data / "media" / "one_face.mp4").read_bytes()
    assert server.begin("/predict", video, 2 * len(video)).close() is None  # in the upload
    worked = server.begin("/annotate", video)
    server.wait(1)
    line = [server.begin("/predict", video) for _ in range(3)]
    server.wait(4)
    for connection in (worked, *line):  # during work, and in line
        connection.close()
    server.wait(0)
    taken = server.begin("/annotate", video)
    assert taken.getresponse().read(1000)  # during the download
    taken.close()
    while server.left():
        pass
    assert server.post("/predict", video)[0] == 200
    assert server.left() == [] and server.end() == 0
    assert "Traceback" not in server.log.read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_ends_though_there_is_work(server, data):
    video = (data / "media" / "one_face.mp4").read_bytes()
    waiting = [server.begin("/annotate", video) for _ in range(20)]
    server.wait(20)
    assert server.end() == 0 and list(server.private.iterdir()) == []
    assert len(waiting) == 20


HOOKS = """
from pathlib import Path
import schemathesis
from hypothesis import strategies
film = Path("film.mp4").read_bytes()
schemathesis.openapi.media_type("video/mp4", strategies.just(film))
"""


@pytest.mark.slow
def test_the_interface_is_as_documented(server, recording, tmp_path):
    (tmp_path / "film.mp4").write_bytes(recording.read_bytes())
    (tmp_path / "hooks.py").write_text(HOOKS, encoding="utf-8")
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", url, "--seed", "1", "--no-color"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)}
    environment["PYTHONUTF8"] = "1"  # it draws lines that ASCII has not
    done = subprocess.run(
        [*command, "--max-examples", "20"], cwd=tmp_path, env=environment, capture_output=True,
        text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Tested: 4" in done.stdout
    assert server.left() == [] and server.end() == 0
    answered = "".join(server.said)
    assert all(f'"POST {path} HTTP/1.1" 200' in answered for path in ("/predict", "/annotate"))
