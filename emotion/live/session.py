"""A live session: threads that read a camera and a microphone and predict.

One thread takes pictures, one takes sound, one looks for faces and cuts what was seen and heard
into windows, one predicts them. Whoever displays reads `Session.events` and gets each picture as it
comes, however long a prediction takes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from emotion.annotate.overlay import compose
from emotion.clip import Signal
from emotion.faces.crop import STEP
from emotion.inference.timeline import predict, spans
from emotion.inference.windows import HOLD, Windows
from emotion.media.decode import place

if TYPE_CHECKING:
    from emotion.annotate.overlay import Face
    from emotion.clip import Prediction
    from emotion.inference.recognizer import Recognizer
    from emotion.live.sources import Source

# A clock is read when a block of sound has come, so it tells the block's place to some hundredths.
SLACK = 0.1  # seconds
LOOKS = 2  # pictures that may wait for the detector; those that come meanwhile are dropped
BACKLOG = 3  # pictures that may wait to be displayed; those that come then are lost


class Session:
    """A recogniser at work on a camera and a microphone; a context manager, used once.

    Args:
        recognizer: Recognizer.
        camera, microphone: sources as in live/sources.py, or None; one of them at least. The
            session ends with the camera, or without one with the microphone.
        window, hop: float, seconds, as in `timeline.analyse`.
        clock: function giving seconds that never go back; that of the sources.

    Attributes:
        start: float, when it began, on `clock`.
        kinds: tuple of str, what is predicted from: "picture", "sound" or both.
        lost: int, pictures that came while `BACKLOG` were waiting to be displayed.
        skipped: int, windows not predicted since the model is slower than the hop.

    Raises:
        ValueError: `window` or `hop` out of range, or there is nothing of what the run uses.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        camera: Source | None,
        microphone: Source | None,
        window: float | None = None,
        hop: float | None = None,
        clock: Callable[[], float] = monotonic,
    ):
        self.window, self.hop = spans(recognizer, window, hop)
        self.camera, self.microphone, self.clock = camera, microphone, clock
        self.sample_rate = recognizer.sample_rate
        self.start, self.lost, self.skipped = None, 0, 0
        kinds = ["picture"] if camera and recognizer.detector else []
        kinds += ["sound"] if microphone and recognizer.preset.modality != "video" else []
        if not kinds and not recognizer.detector and recognizer.preset.modality == "video":
            raise ValueError(
                "This run was trained on action units alone, which no camera gives; it takes a "
                "recording, `--video_path clip.mp4`, and their table with --features."
            )
        if not kinds:
            needed = "camera" if recognizer.detector else "microphone"
            raise ValueError(
                f"This run was trained on {recognizer.preset.modality} alone and there is no "
                f"{needed}; add one with --{needed}."
            )
        self._recognizer, self.kinds = recognizer, tuple(kinds)
        self._windows = Windows(recognizer, self.window, self.hop, kinds)
        self._inbox, self._full = queue.SimpleQueue(), queue.Queue(maxsize=1)
        self._outbox = queue.SimpleQueue()
        self._asked = self._looked = self._offered = self._taken = 0
        self._stopping = threading.Event()
        work = [self._watch] * bool(camera) + [self._listen] * bool(microphone)
        work += [self._gather, self._predict]
        # A device may never answer again: its thread must not keep the program from ending.
        self._threads = [
            threading.Thread(target=self._run, args=[task], daemon=True) for task in work
        ]

    def __enter__(self) -> Session:
        self._warm()
        self.start = self.clock()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def events(self) -> Iterator[tuple]:
        """Yields what happens, as it happens, to the end of the session.

        Yields:
            ("picture", time, frame): float seconds, uint8 array (h, w, 3) RGB, not to be changed.
            ("sound", time, samples): float seconds of its start, float32 array (n,), without gaps.
            ("prediction", latency, predictions): float seconds since the end of the window, and a
            list of Prediction, one a face; empty where neither sound nor face was there.

        Raises:
            MediaError: a source broke off.
        """
        running = len(self._threads)
        while running:
            kind, time, value = self._outbox.get()
            if kind == "end":
                running -= 1
                if value is not None:
                    raise value
                continue
            self._taken += kind == "picture"
            yield kind, time, value

    def faces(self, time: float) -> list[tuple[int, np.ndarray]]:
        """Returns a list of (int, the face's number, and box), of the faces at a time (s)."""
        boxes = sorted(self._windows.boxes.items())
        return [(number, box) for number, (detected, box) in boxes if time - detected <= HOLD]

    def _run(self, work):
        broke = None
        try:
            work()
        except Exception as error:  # raised again by `events`, in the thread that reads them
            broke = error
        if work in (self._watch, self._listen):
            self._inbox.put(("picture" if work == self._watch else "sound", None, None))
            if broke or work == self._watch or not self.camera:
                self._stopping.set()
        self._outbox.put(("end", None, broke))

    def _watch(self):
        due, watched = 0.0, "picture" in self.kinds
        for time, frame in self.camera.read(self.start):
            if self._stopping.is_set():
                return
            look = watched and time + 1e-6 >= due and self._asked - self._looked < LOOKS
            if look:
                due = (time // STEP + 1) * STEP
                self._asked += 1
            if watched:
                self._inbox.put(("picture", time, frame if look else None))
            if self._offered - self._taken < BACKLOG:
                self._offered += 1
                self._outbox.put(("picture", time, frame))
            else:
                self.lost += 1

    def _listen(self):
        written = 0
        for time, block in self.microphone.read(self.start):
            if self._stopping.is_set():
                return
            late = round(time * self.sample_rate) - written
            block = place(block[None], late, SLACK * self.sample_rate if written else 0)[0]
            time, written = written / self.sample_rate, written + len(block)
            if "sound" in self.kinds:
                self._inbox.put(("sound", time, block))
            self._outbox.put(("sound", time, block))

    def _gather(self):
        waiting = set(self.kinds)
        while waiting:
            kind, time, value = self._inbox.get()
            if time is None:
                waiting.discard(kind)
                full = self._windows.end(kind)
            else:
                full = self._windows.take(kind, time, value)
                self._looked += kind == "picture" and value is not None
            for window in full:
                self._queue(window)
        self._full.put(None)

    def _queue(self, window):
        try:
            self._full.put_nowait(window)
        except queue.Full:  # the model is slower than the hop: the newest window counts
            try:
                self._full.get_nowait()
                self.skipped += 1
            except queue.Empty:
                pass
            self._full.put(window)

    def _predict(self):
        while (window := self._full.get()) is not None:
            start, end, signals = window
            signals = predict(self._recognizer, [(start, end, *signal) for signal in signals])
            self._outbox.put(("prediction", self.clock() - self.start - end, signals))

    def _warm(self):
        """Compiles the model in advance: for one face, and for several."""
        size, rate = self._recognizer.crop_size, self.sample_rate
        samples = np.zeros(round(self.window * rate), np.float32)
        signal = Signal(samples, rate, None, None, self.window)
        if self._recognizer.detector:
            frames = np.zeros((2, size, size, 3), np.uint8)
            signal = replace(signal, frames=frames, times=np.array([0.0, STEP]))
        for count in (1, 2):
            self._recognizer.predict([signal] * count)


class Scene:
    """Decides what is drawn on the pictures of a session.

    Args:
        session: Session.
    """

    def __init__(self, session: Session):
        self._session, self._latest, self._fresh = session, {}, []

    def predicted(self, predictions: list[Prediction]) -> None:
        """Adds the list of Prediction of the newest window."""
        self._fresh = list(predictions)
        tracks = {prediction.track for prediction in predictions}
        self._latest = {id: last for id, last in self._latest.items() if id in tracks}

    def at(self, time: float) -> tuple[list[Face], str | None]:
        """Returns what is drawn on the picture at a time (s).

        Returns:
            (list of Face, note str or None), as `render.scenes` does for a recording.
        """
        if self._fresh:  # one a picture: to draw a new chart takes a third of a picture's time
            prediction = self._fresh.pop(0)
            self._latest[prediction.track] = prediction
        faces, latest = self._session.faces(time), self._latest
        tracked = [(box, number, latest.get(number)) for number, box in faces]
        return compose(tracked, latest.get(None), "picture" in self._session.kinds)
