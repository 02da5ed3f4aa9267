"""Annotates recordings in processes, one recording each at a time.

Each loads the recogniser once. One that dies, as a decoder may on a broken file, costs its own
recording only; all end with the process that started them, so the next call finds none at work.
"""

import multiprocessing
import os
import signal
from collections import deque
from multiprocessing.connection import wait

from emotion import processes
from emotion.annotate.recordings import Settings, annotate
from emotion.clip import MediaError

_READY = "ready"


def work(listed, settings, count, load=Settings.load):
    """Does jobs in processes of their own.

    Args:
        listed: list of Job.
        settings: Settings.
        count: int, processes; at least 1.
        load: function of the Settings that returns the recogniser; it must pickle.

    Yields:
        (Job, str or None): as each ends, None or the reason for which it failed.

    Raises:
        ValueError: `count` is below 1, or the recogniser cannot be loaded; the message says why.
    """
    if count < 1:
        raise ValueError(f"`workers` must be at least 1. Received: {count}.")
    waiting, idle, busy = deque(listed), [], {}
    threads = max(1, (os.cpu_count() or 1) // count)
    try:
        while waiting or busy:
            while waiting and len(busy) < count:
                worker = idle.pop() if idle else _Worker(settings, load, threads)
                job = waiting.popleft()
                worker.pipe.send(job)
                busy[worker.pipe] = worker, job
            for pipe in wait(list(busy)):
                worker, job = busy[pipe]
                reason = worker.answer()
                if reason is _READY:
                    continue
                del busy[pipe]
                idle += [worker] * worker.process.is_alive()
                yield job, reason
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.process.terminate()
            worker.process.join()


class _Worker:
    """A process that does jobs, and this end of the pipe to it."""

    def __init__(self, settings, load, threads):
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.pipe, there = spawn.Pipe()
        arguments = (there, settings, load, threads)
        self.process = spawn.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        there.close()

    def answer(self):
        """_READY, or None or the reason of the job; raises ValueError without a recogniser."""
        try:
            kind, text = self.pipe.recv()
        except (EOFError, ConnectionResetError):  # the latter if it had not taken its job yet
            self.process.join()
            return f"its process died (exit code {self.process.exitcode}); look at the file"
        if kind == "refused":
            raise ValueError(text)
        return _READY if kind == "ready" else text


def _serve(pipe, settings, load, threads):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    processes.watch_parent()
    # Each at its share of the cores; TensorFlow and OpenMP read these as they load.
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
    import cv2

    cv2.setNumThreads(threads)
    try:
        recognizer = load(settings)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        pipe.send(("refused", str(error)))
        return
    pipe.send(("ready", None))
    while True:
        job = pipe.recv()
        try:
            annotate(job, recognizer, settings)
            pipe.send(("done", None))
        except Exception as error:  # a fault of ours on one recording must not stop the others
            known = isinstance(error, (MediaError, ValueError, OSError))
            pipe.send(("failed", str(error) if known else f"{type(error).__name__}: {error}"))
