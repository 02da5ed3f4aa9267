"""Whoever means harm: the server goes on, and nothing of it stays."""

import contextlib
import json
import os
import re
import select
import signal
import socket
from fractions import Fraction

import av
import numpy as np
import pytest
from server import Server, resident
from videos import write_video

pytestmark = pytest.mark.slow
LIMITS = ("--timeout", "6", "--max-mb", "20", "--max-seconds", "60", "--max-total-mb", "30")


@pytest.fixture(scope="module")
def server(trained, tmp_path_factory):
    server = Server(trained.folder, tmp_path_factory.mktemp("server"), *LIMITS)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def usual(server, recording):
    """The answer to an ordinary request, and the memory after it (MB)."""
    return server.settle(recording.read_bytes())


@pytest.fixture(autouse=True)
def unharmed(server, usual, recording):
    """After each attack the server answers as before, and has nothing left of it."""
    yield
    (status, answer), resident = usual
    assert server.post("/predict", recording.read_bytes()) == (status, answer)
    assert status == 200 and server.waiting() == 0
    assert list(server.private.iterdir()) == []
    assert server.resident() < resident + 100


def refusal(server, content, path="/predict"):
    status, answer = server.post(path, content)
    assert "Traceback" not in server.log.read_text(encoding="utf-8")
    return status, json.loads(answer)["detail"]


@pytest.mark.parametrize("seconds", [48_316, 4_127_197, 3.2e10])
def test_a_clock_far_ahead(server, tmp_path, seconds):
    times = np.arange(50) / 25
    times[40:] += seconds
    write_video(
        tmp_path / "a.mkv", times, codec="mjpeg", base=Fraction(1, 1000), pix_fmt="yuvj420p"
    )
    status, answer = server.post("/predict", (tmp_path / "a.mkv").read_bytes())
    assert status in (200, 413, 422) and json.loads(answer)
    if status == 200:
        assert json.loads(answer)["duration"] < 5


def test_pictures_too_large_to_decode(server, tmp_path):
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8000, 8000, "rgba"
        frame = av.VideoFrame.from_ndarray(np.zeros((8000, 8000, 4), np.uint8), "rgba")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    status, sentence = refusal(server, (tmp_path / "a.mov").read_bytes())
    assert status in (413, 422) and ("megapixels" in sentence or "decoded" in sentence)


def test_pictures_that_grow(server, tmp_path):
    content = b""
    for size in ((64, 64), (7000, 7000)):
        path = tmp_path / f"{size[0]}.mjpeg"
        write_video(path, np.arange(10) / 25, size, codec="mjpeg", pix_fmt="yuvj420p")
        content += path.read_bytes()
    status, answer = server.post("/predict", content)
    assert status in (200, 422) and json.loads(answer)


def test_work_that_hangs_is_killed(server, data):
    """A process that is stopped stands for a decoder that never returns."""
    video = (data / "media/one_face.mp4").read_bytes()
    worked = server.begin("/annotate", video)
    server.wait(1)
    stopped = server.processes()[1:]
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    answer = worked.getresponse()
    assert answer.status == 413 and "may take 6 seconds" in json.loads(answer.read())["detail"]
    for process in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def test_connections_that_say_nothing(server):
    with contextlib.ExitStack() as stack:
        for _ in range(600):
            silent = socket.create_connection(("127.0.0.1", server.port))
            stack.enter_context(silent).send(b"GET / HTTP/1.1\r\nHost: ")
        status, answer = server.get("/health")
        assert status == 200 and json.loads(answer) == {"status": "ok", "waiting": 0}


def test_bodies_that_never_end(server, recording):
    content = recording.read_bytes()
    begun = [server.begin("/predict", content, 10_000_000) for _ in range(12)]
    assert server.waiting() == 0 and server.post("/predict", content)[0] == 200
    statuses = [connection.getresponse().status for connection in begun]
    assert statuses == [408] * 12


def test_bodies_too_large_in_sum(server):
    begun = [server.begin("/predict", bytes(9_000_000), 10_000_000) for _ in range(4)]
    statuses = [connection.getresponse().status for connection in begun]
    assert statuses.count(503) == 1 and statuses.count(408) == 3


def test_work_that_ends_its_process(server, data):
    worked = server.begin("/annotate", (data / "media/one_face_short.mp4").read_bytes())
    while not list(server.private.rglob("*annotated*")):  # then it works, and is the largest
        assert not select.select([worked.sock], [], [], 0)[0], worked.getresponse().read()
    os.kill(max(server.processes()[1:], key=resident), signal.SIGKILL)  # as for lack of memory
    answer = worked.getresponse()
    assert answer.status == 422 and "(exit code " in json.loads(answer.read())["detail"]


def test_other_sites(server):
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert server.get("/model", **headers)[0] == 403
    assert server.get("/model")[0] == 200


def test_it_ends_though_work_hangs(trained, data, tmp_path):
    server = Server(trained.folder, tmp_path)
    try:
        server.begin("/annotate", (data / "media/one_face.mp4").read_bytes())
        server.wait(1)
        hanging = server.processes()[1:]
        for process in hanging:
            os.kill(process, signal.SIGSTOP)
        assert server.end() == 0 and list(server.private.iterdir()) == []
        for process in hanging:
            with pytest.raises(ProcessLookupError):
                os.kill(process, 0)
    finally:
        server.kill()


def test_others_reach_it_with_its_token_alone(trained, tmp_path):
    server = Server(trained.folder, tmp_path, "--host", "0.0.0.0")
    try:
        assert "unencrypted" in server.log.read_text(encoding="utf-8")
        token = re.search(r"token=(\S+)", server.address)[1]
        assert server.get("/model")[0] == 401
        assert server.get("/model", Authorization=f"Bearer {token}")[0] == 200
        assert server.get(f"/model?token={token}", Host="emotion.example")[0] == 200
    finally:
        server.kill()
