"""Cuts live sound and pictures into windows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from emotion.faces.crop import STEP
from emotion.inference.timeline import Recent

if TYPE_CHECKING:
    from emotion.inference.recognizer import Recognizer

PATIENCE = 0.3  # seconds that a window waits for the modality that is behind
HOLD = 3 * STEP  # a face missed at two looks is taken to have stayed


class Windows:
    """Ring buffers in front of a recogniser; for one thread.

    Args:
        recognizer: Recognizer.
        window, hop: float, seconds.
        kinds: iterable of what is to be waited for, "picture", "sound" or both.

    Attributes:
        places: dict of int, a face's number from 1 on, to (time, box) of its last detection; a new
            one at each change, so that another thread may read it. A face found once is not there.
    """

    def __init__(
        self, recognizer: Recognizer, window: float | None, hop: float | None, kinds: Iterable[str]
    ):
        self.boxes = {}
        self._recent, self._rate = Recent(recognizer, {}), recognizer.sample_rate
        self._window, self._hop, self._count = window, hop, 0
        self._reached = dict.fromkeys(kinds, 0.0)  # seconds
        self._known, self._numbers = set(), {}

    def take(self, kind: str, time: float, value: np.ndarray | None) -> list[tuple]:
        """Adds the next picture or sound.

        Args:
            kind: "picture" or "sound".
            time: float, seconds from the start; for sound, of its first sample.
            value: uint8 array (h, w, 3) RGB, or None for a picture in which no face is looked for;
                or float32 array (n,), samples without gaps.

        Returns:
            List of windows that are full now, each (start, end, list of (face or None, Signal)).
        """
        if kind == "sound":
            self._recent.add_sound(value)
            time += len(value) / self._rate
        elif value is not None:
            self._look(time, value)
        self._reached[kind] = time
        return self._full()

    def end(self, kind: str) -> list[tuple]:
        """Ends a kind, so that windows no longer wait for it; returns as `take`."""
        self._reached.pop(kind, None)
        return self._full() if self._reached else []

    def _look(self, time, frame):
        recent = self._recent
        recent.add_frame(time, frame)
        # A recording keeps these to its end; a camera has none.
        here = {id: detections[-1][1:] for id, detections in recent.boxes.items()}
        recent.boxes.clear()
        del recent.times[:-1000]
        boxes = {n: held for n, held in self.boxes.items() if time - held[0] <= HOLD}
        for id in here.keys() & self._known:
            boxes[self._number(id)] = time, np.array(here[id])
        self._known |= here.keys()
        self.boxes = boxes

    def _number(self, id):
        return self._numbers.setdefault(id, len(self._numbers) + 1)

    def _full(self):
        full, times = [], self._reached.values()
        ready = max(min(times), max(times) - PATIENCE) + 1e-6
        while (start := self._count * self._hop) + self._window <= ready:
            signals = self._recent.signals(start, start + self._window)
            signals = [(id if id is None else self._number(id), signal) for id, signal in signals]
            full.append((start, start + self._window, signals))
            self._count += 1
            self._recent.forget(self._count * self._hop)
        return full
