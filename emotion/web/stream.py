"""Live recognition over a WebSocket.

The page's component sends pictures (JPEG) and sound (PCM) and shows the pictures that come back
with what is predicted drawn on them. It runs over the page's own address and port, so it passes
every proxy that the page passes, and it never makes Streamlit run the page anew.
"""

from __future__ import annotations

import asyncio
import io
import json
import queue
import secrets
import struct
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image
from starlette.websockets import WebSocketDisconnect

from emotion import media
from emotion.annotate.overlay import draw_frame
from emotion.clip import MediaError
from emotion.live.session import Scene, Session
from emotion.web import camera

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from emotion.inference.recognizer import Recognizer

HEADER = struct.Struct(">Bd")  # 0 for a picture or 1 for sound, and the browser's time of it (s)
SIDES = 32, 1280  # pixels, the shortest and the longest side of a picture
SIZE = 1_000_000  # bytes of a message
LATE = 5.0  # seconds that a message may be under way
IDLE = 30.0  # seconds without a message, after which a visitor is taken to be gone
_accesses = weakref.WeakValueDictionary()


class Slots:
    """How many cameras a server takes at once.

    Args:
        count: int.
    """

    def __init__(self, count: int):
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> bool:
        """Returns bool, whether there was a place."""
        return self._free.acquire(blocking=False)

    def leave(self) -> None:
        """Frees a place."""
        self._free.release()


class Access:
    """Admits a page to `answer` by a secret key; ends with the object.

    Args:
        recognizer: Recognizer, whose model is shared.
        slots: Slots.

    Attributes:
        key: str.
    """

    def __init__(self, recognizer: Recognizer, slots: Slots):
        self.recognizer, self.slots = recognizer, slots
        self.key = secrets.token_urlsafe()
        _accesses[self.key] = self


class Relay:
    """A source as in emotion/live/sources.py, of what is put into it."""

    def __init__(self):
        self._queue = queue.SimpleQueue()

    def put(self, time: float, value: np.ndarray | None) -> None:
        """Adds a picture or a block of sound of a time (s); without a value, it ends."""
        self._queue.put((time, value))

    def read(self, start: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yields (time, value) until the end, as they are put."""
        while (item := self._queue.get())[1] is not None:
            yield item


class Visitor:
    """One visitor's session; it takes a place that is free and gives it back at its end.

    Args:
        recognizer: Recognizer, whose model is shared.
        slots: Slots, of which one is taken already.
        rate: int, Hz, of the sound that comes.

    Attributes:
        said: str, the newest prediction in words, or why there is none.
    """

    def __init__(self, recognizer: Recognizer, slots: Slots, rate: int):
        self.said = "Getting ready."
        self._recognizer, self._slots = recognizer, slots
        self._camera, self._microphone = Relay(), Relay()
        self._resampled = media.resampled(rate, recognizer.sample_rate)
        self._session = self._scene = self._offset = None
        threading.Thread(target=self._work, daemon=True).start()

    def picture(self, sent: float, data: bytes) -> bytes:
        """Receives a picture and returns it with the newest predictions drawn on it.

        Args:
            sent: float, seconds on the browser's clock.
            data: bytes of a JPEG.

        Returns:
            bytes of a JPEG.

        Raises:
            ValueError: it is none, or too large or small.
        """
        image, faces, note = _decoded(data), [], None
        if (time := self._time(sent)) is not None:
            self._camera.put(time, image)
            faces, note = self._scene.at(time)
        answer = io.BytesIO()
        Image.fromarray(draw_frame(image, faces, note)).save(answer, "JPEG", quality=80)
        return answer.getvalue()

    def sound(self, sent: float, data: bytes) -> None:
        """Receives sound: its start in seconds, as in `picture`, and bytes of float32 samples."""
        samples = self._resampled(np.frombuffer(data[: len(data) // 4 * 4], "<f4"))
        if (time := self._time(sent)) is not None:
            self._microphone.put(time, np.nan_to_num(samples).clip(-1, 1))

    def end(self) -> None:
        """Ends the session; its place is free again."""
        self._camera.put(0.0, None)
        self._microphone.put(0.0, None)

    def _time(self, sent):
        """Returns seconds of the session; None while there is none.

        Two clocks differ by what the fastest message says: none comes before it was sent.
        """
        now, scene = monotonic(), self._scene
        if self._offset is None or not now - LATE < sent + self._offset <= now:
            self._offset = now - sent
        start = scene and self._session.start
        return None if start is None else sent + self._offset - start

    def _work(self):
        try:
            self._session = Session(self._recognizer.another(), self._camera, self._microphone)
            with self._session:
                self._scene = Scene(self._session)
                self.said = "Listening and looking."
                for kind, _, value in self._session.events():
                    if kind == "prediction":
                        self._scene.predicted(value)
                        self.said = "; ".join(map(_describe, value)) or "Neither a face nor sound."
        except (MediaError, ValueError) as error:
            self.said = str(error)
        finally:
            self._scene = None
            self._slots.leave()


def _decoded(data):
    """Returns a picture, uint8 (h, w, 3) RGB; raises ValueError where it is none or too large."""
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        if not SIDES[0] <= min(image.size) <= max(image.size) <= SIDES[1]:
            raise ValueError(f"a picture may have {SIDES[1]} pixels a side: {image.size}.")
        return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise ValueError("a picture must be a JPEG.") from error


def _describe(prediction):
    kinds = ["sound"] * prediction.has_audio + ["face"] * prediction.has_face
    return f"{prediction.label}, {prediction.confidence:.0%}, from {' and '.join(kinds)}"


async def answer(socket: WebSocket) -> None:
    """Serves a visitor's WebSocket until either side ends it; the reason says why it did.

    First comes a text, {"key": that of an Access, "rate": Hz of the sound}; then binary messages,
    HEADER and a JPEG or float32 samples. Each picture is answered by a JPEG, and what is newly
    predicted is told in a text.

    Args:
        socket: starlette WebSocket.
    """
    await socket.accept()
    reason = ""
    with suppress(WebSocketDisconnect, asyncio.TimeoutError):
        access, rate = _admitted(await _received(socket, "text"))
        if access is None:
            reason = "This page is too old; load it anew."
        elif not access.slots.take():
            reason = "All cameras are in use; try again later."
        else:
            visitor = Visitor(access.recognizer, access.slots, rate)
            try:
                await _converse(socket, visitor)
            except ValueError as error:
                reason = str(error)
            finally:
                visitor.end()
    with suppress(WebSocketDisconnect, RuntimeError):  # where the browser closed it
        await socket.close(reason=reason)


async def _received(socket, kind):
    """Returns the "text" or "bytes" of a message; None where it is something else, or the end."""
    return (await asyncio.wait_for(socket.receive(), IDLE)).get(kind)


def _admitted(text):
    """Returns (Access, rate) of a first message, or (None, None)."""
    with suppress(ValueError, TypeError, KeyError):
        request = json.loads(text)
        access, rate = _accesses.get(request["key"]), int(request["rate"])
        if access and 8000 <= rate <= 384000:
            return access, rate
    return None, None


async def _converse(socket, visitor):
    said = None
    while message := await _received(socket, "bytes"):
        if not HEADER.size + 4 <= len(message) <= SIZE:
            raise ValueError(f"a message may have {SIZE} bytes. Received: {len(message)}.")
        (kind, sent), data = HEADER.unpack_from(message), message[HEADER.size :]
        if not isfinite(sent):
            raise ValueError("a time must be a number.")
        if kind == 1:
            visitor.sound(sent, data)
            continue
        drawn = await asyncio.to_thread(visitor.picture, sent, data)
        if visitor.said != said:
            await socket.send_text(said := visitor.said)
        await socket.send_bytes(drawn)


def show(recognizer: Recognizer, slots: Slots) -> None:
    """Shows the visitor's camera with what the model sees and hears.

    Args:
        recognizer: Recognizer.
        slots: Slots.
    """
    if "access" not in st.session_state:
        st.session_state["access"] = Access(recognizer, slots)
    camera.show(st.session_state["access"].key)
