"""Stream: what a browser sends over the WebSocket and what comes back; the recogniser is a stub."""

import copy
import gc
import io
import json
import time

import numpy as np
import pytest
import stub
from PIL import Image
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from videos import tone

pytest.importorskip("streamlit")
from emotion.web import stream  # noqa: E402

RATE = 48000


class Recognizer(stub.Stub):
    """Stub with a detector of a white square."""

    def __init__(self):
        super().__init__(stub.white_square)

    def another(self):
        return copy.copy(self)


@pytest.fixture
def client():
    with TestClient(Starlette(routes=[WebSocketRoute("/live", stream.answer)])) as client:
        yield client


def picture(size=(320, 240), format="JPEG"):
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    image[60:140, 60:140] = 255
    data = io.BytesIO()
    Image.fromarray(image).save(data, format)
    return data.getvalue()


def message(kind, sent, data):
    return stream.HEADER.pack(kind, sent) + data


def greet(socket, access, rate=RATE):
    socket.send_text(json.dumps({"key": access.key, "rate": rate}))


def ended(socket):
    """The reason for which the server ends the conversation."""
    with pytest.raises(WebSocketDisconnect) as end:
        while True:
            socket.receive_bytes()
    return end.value.reason


def live(socket, enough, seconds=20):
    """Sends pictures and sound as they would be taken; returns (texts, pictures) of the answers."""
    begun = time.monotonic()
    texts, pictures, has_audio = [], [], 0
    sound = tone(seconds, RATE, clicks=range(seconds)).astype("<f4")
    while not enough(texts, pictures):
        now = time.monotonic() - begun
        assert now < seconds, texts
        block = sound[has_audio : (has_audio := round(now * RATE))]
        if len(block):
            socket.send_bytes(message(1, 50 + now - len(block) / RATE, block.tobytes()))
        socket.send_bytes(message(0, 50 + now, picture()))
        while (answer := socket.receive())["type"] == "websocket.send" and "text" in answer:
            texts.append(answer["text"])
        pictures.append(answer["bytes"])
    return texts, pictures


def boxed(texts, pictures):
    """Whether a prediction was told, and a box in its colour drawn on the grey picture."""
    if not pictures or "from sound and face" not in texts[-1]:
        return False
    drawn = np.asarray(Image.open(io.BytesIO(pictures[-1]))).astype(int)
    return (drawn.max(axis=2) - drawn.min(axis=2) > 60).any()


def test_pictures_come_back_with_what_is_predicted(client):
    access = stream.Access(Recognizer(), stream.Slots(1))
    with client.websocket_connect("/live") as socket:
        greet(socket, access)
        texts, pictures = live(socket, boxed)
    assert texts[-1] == "happy, 80%, from sound and face"
    assert Image.open(io.BytesIO(pictures[-1])).size == (320, 240)


def test_a_place_is_free_again(client):
    access = stream.Access(Recognizer(), stream.Slots(1))
    with client.websocket_connect("/live") as socket:
        greet(socket, access)
        socket.send_bytes(message(0, 0.0, picture()))
        assert socket.receive_text() in ("Getting ready.", "Listening and looking.")
        with client.websocket_connect("/live") as other:
            greet(other, access)
            assert ended(other) == "All cameras are in use; try again later."
    ends = time.monotonic() + 20
    while not access.slots.take():
        assert time.monotonic() < ends


@pytest.mark.parametrize(
    "sent, reason",
    [
        (message(0, 0.0, b"no picture"), "a picture must be a JPEG."),
        (message(0, 0.0, picture(format="PNG")), "a picture must be a JPEG."),
        (message(0, 0.0, picture((1600, 240))), "may have 1280 pixels a side"),
        (message(0, 0.0, picture((320, 16))), "may have 1280 pixels a side"),
        (message(0, float("nan"), picture()), "a time must be a number."),
        (message(0, 0.0, bytes(stream.SIZE)), "may have 1000000 bytes"),
        (b"\0", "may have 1000000 bytes"),
    ],
)
def test_what_is_no_picture_ends_it_with_a_reason(client, sent, reason):
    access = stream.Access(Recognizer(), stream.Slots(1))
    with client.websocket_connect("/live") as socket:
        greet(socket, access)
        socket.send_bytes(sent)
        assert reason in ended(socket)


@pytest.mark.parametrize("first", ["", "{}", "[]", "3", '{"key": "x", "rate": 48000}', "{key}"])
def test_only_a_page_is_admitted(client, first):
    access = stream.Access(Recognizer(), stream.Slots(1))
    with client.websocket_connect("/live") as socket:
        socket.send_text(first.replace("{key}", json.dumps({"key": access.key, "rate": 1})))
        assert ended(socket) == "This page is too old; load it anew."
    assert access.slots.take()


def test_the_key_goes_with_the_visitor():
    access = stream.Access(Recognizer(), stream.Slots(1))
    key = access.key
    assert stream._accesses[key] is access
    del access
    gc.collect()
    assert key not in stream._accesses


def test_sound_that_is_no_sound_is_silence(client):
    access = stream.Access(Recognizer(), stream.Slots(1))
    with client.websocket_connect("/live") as socket:
        greet(socket, access)
        bad = np.array([np.nan, np.inf, 1e30] * 100, "<f4").tobytes() + b"odd"
        for sent in (0.0, 1e300, -1e300, 7.0):
            socket.send_bytes(message(1, sent, bad))
        live(socket, lambda texts, _: texts and "from sound and face" in texts[-1])


def test_times_are_the_browsers_and_never_ahead(monkeypatch):
    visitor = stream.Visitor.__new__(stream.Visitor)
    visitor._offset, now = None, [100.0]
    visitor._scene = visitor._session = type("Session", (), {"start": 100.0})
    monkeypatch.setattr(stream, "monotonic", lambda: now[0])
    assert visitor._time(7.0) == 0.0
    now[0] = 103.0
    assert visitor._time(8.0) == pytest.approx(1.0)  # was under way for two seconds
    assert visitor._time(10.5) == pytest.approx(3.0)  # none is from the future
    assert visitor._time(9.5) == pytest.approx(2.0)
    assert visitor._time(-500.0) == pytest.approx(3.0)
