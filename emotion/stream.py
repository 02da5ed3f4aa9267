"""Stream: a visitor's camera and microphone, over WebRTC, in front of a Recognizer."""

import queue
import threading
from time import monotonic

import streamlit as st
from streamlit_webrtc import WebRtcMode, create_audio_sink_track, webrtc_streamer

from emotion.clip import MediaError
from emotion.live import Scene, Session
from emotion.media import mono
from emotion.overlay import draw_frame

_MEDIA = {"video": {"width": {"ideal": 640}, "frameRate": {"ideal": 25, "max": 30}}, "audio": True}


class Places:
    """How many cameras a server takes at once.

    Args:
        count: int.
    """

    def __init__(self, count):
        self._free = threading.BoundedSemaphore(count)

    def take(self):
        """Returns bool, whether there was a place."""
        return self._free.acquire(blocking=False)

    def leave(self):
        """Gives a place back."""
        self._free.release()


class Relay:
    """A source as in emotion/sources.py, of what is put into it."""

    def __init__(self):
        self._queue = queue.SimpleQueue()

    def put(self, time, value):
        """Adds a picture or a block of sound of a time (s); without a value, it ends."""
        self._queue.put((time, value))

    def read(self, start):
        """Yields (time, value) until the end, as they are put."""
        while (item := self._queue.get())[1] is not None:
            yield item


class Visitor:
    """One visitor's session.

    Args:
        recognizer: Recognizer, whose model is shared.
        places: Places.

    Attributes:
        said: str, the newest prediction in words.
    """

    def __init__(self, recognizer, places):
        self.said = ""
        self._recognizer, self._places = recognizer, places
        self._camera, self._microphone = Relay(), Relay()
        self._mono = mono(recognizer.sample_rate)
        self._session = self._scene = None
        self._first = threading.Lock()
        self._note = "getting ready"

    @property
    def begun(self):
        """bool, whether a picture came."""
        return self._first.locked()

    def picture(self, frame):
        """Takes an av.VideoFrame and returns it with what is known drawn on it."""
        if self._first.acquire(blocking=False):
            threading.Thread(target=self._work, daemon=True).start()
        image, faces, note = frame.to_ndarray(format="rgb24"), [], self._note
        if self._scene and self._session.start is not None:
            now = monotonic() - self._session.start
            self._camera.put(now, image)
            faces, note = self._scene.at(now)
        drawn = type(frame).from_ndarray(draw_frame(image, faces, note), format="rgb24")
        drawn.pts, drawn.time_base = frame.pts, frame.time_base
        return drawn

    def sound(self, frame):
        """Takes an av.AudioFrame."""
        session = self._session
        if session and session.start is not None:
            samples = self._mono(frame)
            length = len(samples) / session.sample_rate
            self._microphone.put(monotonic() - session.start - length, samples)

    def end(self):
        """Ends the session; its place is free again."""
        self._camera.put(0.0, None)
        self._microphone.put(0.0, None)

    def _work(self):
        if not self._places.take():
            self._note = "all places are taken; try again later"
            return
        try:
            own = self._recognizer.another()
            self._session = Session(own, self._camera, self._microphone)
            self._scene = Scene(self._session)
            with self._session:
                for kind, _, value in self._session.events():
                    if kind == "prediction":
                        self._scene.predicted(value)
                        self.said = "; ".join(map(_told, value))
        except (MediaError, ValueError) as error:
            self._note = str(error)
        finally:
            self._scene = None
            self._places.leave()


def _told(prediction):
    kinds = ["sound"] * prediction.heard + ["face"] * prediction.seen
    return f"{prediction.label}, {prediction.confidence:.0%}, from {' and '.join(kinds)}"


@st.fragment  # whose reruns neither break off the work on a recording nor lose an upload
def show(recognizer, places, stun=()):
    """Shows the visitor's camera with what the model sees and hears.

    Args:
        recognizer: Recognizer.
        places: Places.
        stun: sequence of str, STUN servers ("stun:host:port") that help through firewalls.
    """
    visitor = st.session_state.setdefault("visitor", Visitor(recognizer, places))
    servers = [{"urls": [url]} for url in stun]
    context = webrtc_streamer(
        "live",
        WebRtcMode.SENDRECV,
        rtc_configuration={"iceServers": servers},
        media_stream_constraints=_MEDIA,
        video_frame_callback=visitor.picture,
        sink_audio_track=create_audio_sink_track(visitor.sound, key="sound"),
        on_video_ended=visitor.end,
    )
    if context.state.playing:
        _said(visitor)
    elif visitor.begun:
        visitor.end()
        del st.session_state["visitor"]


@st.fragment(run_every=1.0)
def _said(visitor):
    st.write(visitor.said or "Listening and looking.")
