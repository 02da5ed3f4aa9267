"""Displays a live session, prints its predictions, and records it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from emotion import media
from emotion.annotate.overlay import paint
from emotion.live.session import Scene
from emotion.media.decode import place

if TYPE_CHECKING:
    from emotion.clip import Prediction
    from emotion.live.session import Session

TITLE = "emotion: q quits, r records"


class Display:
    """A window on the screen. On Linux cv2 must have been imported before av, or it hangs.

    Raises:
        ValueError: there is no screen, or OpenCV is a build without windows.
    """

    def __init__(self):
        # Where Qt finds no screen it ends the process, so another process asks.
        ask = [sys.executable, "-c", "import cv2; cv2.namedWindow('x')"]
        if subprocess.run(ask, capture_output=True, check=False).returncode:
            where = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or "none"
            raise ValueError(
                "A window needs a screen and opencv-python (not -headless); print the predictions "
                f"with `--no-display` instead. Received: display {where}."
            )
        self._open = False

    def show(self, frame: np.ndarray) -> str | None:
        """Shows uint8 (h, w, 3) RGB; returns the key pressed, "q" if the window was closed."""
        if not self._open:
            look = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
            cv2.namedWindow(TITLE, look)
            cv2.resizeWindow(TITLE, frame.shape[1], frame.shape[0])
            self._open = True
        cv2.imshow(TITLE, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        key = cv2.pollKey()
        if key == 27 or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            return "q"
        return chr(key & 0xFF) if key >= 0 else ""

    def close(self) -> None:
        """Closes the window."""
        cv2.destroyAllWindows()


class Recorder:
    """Writes pictures and sound to an mp4 in a thread of its own; the file appears when whole.

    Args:
        path: Path of the mp4.
        start: float, seconds; what was heard before is left out.
        sample_rate: int, Hz, or None where there is no sound.
        say: function of a str, told when the file is there.
    """

    WAITING = 64  # pictures that may wait for the encoder; those that come then are left out
    LATE = 0.5  # seconds; sound that is further behind the picture is recorded as silence

    def __init__(
        self,
        path: Path,
        start: float,
        sample_rate: int | None,
        say: Callable[[str], object] = print,
    ):
        self.start = start
        self._path, self._rate, self._say, self._error = Path(path), sample_rate, say, None
        self._frames, self._samples = queue.Queue(self.WAITING), queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def add_frame(self, time: float, frame: np.ndarray) -> None:
        """Adds a picture, uint8 (h, w, 3) RGB, not to be changed; raises errors of the writer."""
        if self._error is not None:
            raise self._error
        if not self._frames.full():
            self._frames.put((time - self.start, frame))
        if self._rate:  # no sound, but where it must have come by now: the encoder waits for it
            self.add_sound(time - self.LATE, np.zeros(0, np.float32))

    def add_sound(self, time: float, samples: np.ndarray) -> None:
        """Adds the next samples, float32 (n,), and the time of the first."""
        self._samples.put((time, samples))

    def end(self) -> None:
        """Ends the input; waiting data is still written."""
        self._samples.put(None)
        self._frames.put(None)

    def join(self) -> None:
        """Waits for the file, after `end`; raises errors of the writer."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self):
        try:
            self._write()
            self._say(f"recorded: {self._path}")
        except Exception as error:  # raised again by `see` and `join`, in the thread that calls
            self._error = error
            while self._frames.get() is not None:  # no one waits for a place in the queue
                pass

    def _write(self):
        sound = (self._sound(), self._rate) if self._rate else None
        with media.VideoWriter(self._path, sound=sound) as writer:
            while (item := self._frames.get()) is not None:
                time, frame = item
                writer.write(frame, time)

    def _sound(self):
        written = 0
        while (item := self._samples.get()) is not None:
            time, samples = item
            late = round((time - self.start) * self._rate) - written
            samples = place(samples[None], late, 0)[0]
            written += len(samples)
            if len(samples):
                yield samples


class Player:
    """Draws, shows, prints and records what happens in a session.

    Args:
        session: Session.
        display: Display, or None: each prediction is said in a line instead.
        record: path of an .mp4 to record to from the first picture on, or None.
        say: function of a str.

    Attributes:
        pictures, late: int; late is a picture that was displayed more than the time of one after
            it was there, or never.
        latencies: deque of float, seconds from the end of a window to its prediction.
    """

    def __init__(
        self,
        session: Session,
        display: Display | None = None,
        record: Path | None = None,
        say: Callable[[str], object] = print,
    ):
        self.pictures = self.late = 0
        self.latencies = deque(maxlen=10_000)
        self._session, self._display, self._record, self._say = session, display, record, say
        self._recorder, self._ended = None, []
        self._scene, self._cards, self._positions = Scene(session), {}, {}
        self._status, self._shown_at = "", 0.0
        self._shown = deque(maxlen=60)  # when the last pictures were

    def run(self) -> None:
        """Runs the session until it ends, the viewer quits, or Ctrl-C.

        Raises:
            MediaError: a source broke off, or the recording cannot be written. What was recorded
                before a source broke off is kept.
        """
        try:
            with self._session as session:
                for kind, time, value in session.events():
                    if kind == "sound" and self._recorder:
                        self._recorder.add_sound(time, value)
                    if kind == "prediction":
                        self._predicted(time, value)
                    if kind == "picture" and self._picture(time, value) == "q":
                        break
        except KeyboardInterrupt:
            pass
        finally:
            self.pictures += self._session.lost
            self.late += self._session.lost
            if self._display:
                self._display.close()
            self._stop()
            for recorder in self._ended:
                recorder.join()

    def _predicted(self, latency, predictions):
        self.latencies.append(latency)
        self._scene.predicted(predictions)
        if self._display is None:
            for line in lines(predictions, latency):
                self._say(line)

    def _picture(self, time, frame):
        if self._record and self._recorder is None:
            rate = self._session.microphone and self._session.sample_rate
            self._recorder = Recorder(self._record, time, rate, self._say)
        if self._display or self._recorder:
            frame = frame.copy()
            paint((frame,), *self._scene.at(time), self._cards, self._positions)
        if self._recorder:
            self._recorder.add_frame(time, frame)
        key = self._show(time, frame) if self._display else ""
        now = self._session.clock() - self._session.start
        self.pictures += 1
        self.late += now - time > 1 / self._session.camera.rate
        self._shown.append(now)
        if key == "r":
            self._toggle()
        return key

    def _show(self, time, frame):
        if time >= self._shown_at + 0.5:
            self._status, self._shown_at = self._describe(time), time
        if self._recorder:
            frame = frame.copy()  # the status is not recorded
        paint((frame,), [], None, self._cards, self._positions, self._status)
        return self._display.show(frame)

    def _describe(self, time):
        shown = self._shown
        rate = (len(shown) - 1) / (shown[-1] - shown[0]) if len(shown) > 1 else 0
        parts = [f"{rate:.0f} frames/s"]
        if self.latencies:
            parts.append(f"{1000 * self.latencies[-1]:.0f} ms")
        if self._recorder:
            minutes, seconds = divmod(int(time - self._recorder.start), 60)
            parts.append(f"recording {minutes}:{seconds:02d}")
        return " · ".join(parts)

    def _toggle(self):
        if self._recorder is None:
            self._record = datetime.now().strftime("live-%Y%m%d-%H%M%S.mp4")
        else:
            self._stop()

    def _stop(self):
        if self._recorder:
            self._recorder.end()
            self._ended.append(self._recorder)
        self._record = self._recorder = None


def lines(predictions: list[Prediction], latency: float) -> Iterator[str]:
    """Formats the predictions of a window as lines of text.

    Args:
        predictions: list of Prediction.
        latency: float, seconds since the end of the window.

    Yields:
        str, one for each face.
    """
    if not predictions:
        yield "neither speech nor face"
    for p in predictions:
        face = "no face" if p.track is None else f"face {p.track}"
        source = (
            "sound and face" if p.has_audio and p.has_face else "sound" if p.has_audio else "face"
        )
        yield (
            f"{p.start:.1f} to {p.end:.1f} s: {face}, {p.label} {100 * p.confidence:.0f} %, "
            f"from {source}, {1000 * latency:.0f} ms after its end"
        )
