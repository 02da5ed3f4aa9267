"""Process pools: workers that can die, calls whose memory ends with them, calls with a limit."""

import ctypes
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from multiprocessing.sharedctypes import RawValue
from typing import Any

import cv2
from pebble import ProcessExpired, ProcessPool
from threadpoolctl import threadpool_limits

from emotion import files

LOADING = "loading the model"


class Pool(ProcessPool):
    """Worker processes that ignore Ctrl-C and end with this process, even if it is killed.

    A worker that dies is replaced; the job that it had raises pebble.ProcessExpired, an OSError
    with an `exitcode`. Leaving the context ends the workers and drops the jobs that wait.

    Args:
        count: int, number of workers, at least 1.
        initializer: function that each worker calls first, or None; it must pickle.
        arguments: arguments of `initializer`.
    """

    def __init__(self, count: int, initializer: Callable | None = None, *arguments: Any):
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        super().__init__(count, 0, _begin, (initializer, *arguments), spawn)
        self.count = count

    def __exit__(self, *_):
        self.stop()
        self.join()


def pool(count: int) -> AbstractContextManager[Pool | None]:
    """Returns a context with a Pool for data, or None for a `count` of 0: all in this process.

    Raises:
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"`workers` must be at least 0. Received: {count}.")
    return Pool(count, _take_one_core) if count else nullcontext()


def apart(function: Callable, *arguments: Any, initializer: Callable | None = None) -> Any:
    """Calls a function in a process of its own, whose memory ends with it.

    TensorFlow never returns the memory that it has allocated.

    Args:
        function: function; it, its arguments and its result must pickle.
        arguments: its arguments.
        initializer: function without arguments that the process calls first, or None.

    Returns:
        The result. If this process is interrupted, the other one ends too.

    Raises:
        The exception of the function; OSError if the process was killed, as for lack of memory.
    """
    with Pool(1, initializer) as process:
        try:
            return process.schedule(function, arguments).result()
        except ProcessExpired as error:
            raise OSError(
                "a run's process was killed, perhaps for lack of memory; free some and call again: "
                "finished work is kept."
            ) from error


class Worker:
    """A process that is kept for calls one after the other, each of which can be ended at any time.

    A second process is loaded meanwhile. It takes the next call after one that was ended, or that
    ended its process.

    Args:
        load: function without arguments that a process calls first; what it returns is the first
            argument of each call. It must pickle.
    """

    STEP = 0.1  # seconds from one look at a call to the next
    GRACE = 2.0  # seconds to end after being asked; a new process would have to load anew

    def __init__(self, load: Callable[[], Any]):
        self._load, self._turn = load, threading.Lock()
        self._current, self._spare = _Process(load), None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self) -> None:
        """Ends the processes, whatever they do; there is no call after this."""
        for process in filter(None, (self._current, self._spare)):
            process.kill()

    def call(self, function: Callable, *arguments: Any, watch: Callable | None = None) -> Any:
        """Calls a function in the process, and ends it where `watch` raises.

        Args:
            function: function(loaded, report, *arguments), with report(stage str, done float,
                total float or None), which raises where the call is to end; it must pickle.
            arguments: its further arguments.
            watch: function(stage, done, total), called ten times a second: with (LOADING, 0, None)
                until the process has loaded, with ("", 0, None) until the first report, then with
                the newest one; or None.

        Returns:
            What the function returns.

        Raises:
            The exception of `load`, of the function or of `watch`; ProcessDied.
        """
        with self._turn:
            while not self._current.is_alive():  # killed between two calls
                self._current, self._spare = self._spare or _Process(self._load), None
            process = self._current
            while not process.state.loaded and process.is_alive():
                if watch:
                    watch(LOADING, 0.0, None)  # may raise; the process loads on for the next call
                process.join(self.STEP)
            self._spare = self._spare or _Process(self._load)
            answered = False
            try:
                process.send(function, arguments)
                while not process.poll(self.STEP):
                    if watch:
                        watch(*process.state.read())
                done, result = process.receive()
                answered = True
            except (EOFError, ConnectionError) as error:
                process.join()
                raise ProcessDied(process.exitcode) from error
            finally:
                if not (answered or process.end(self.GRACE)):
                    self._current, self._spare = self._spare, None
        if done:
            return result
        raise result


class _Process:
    """One process of a Worker, and what connects the two."""

    def __init__(self, load):
        self.state = RawValue(_State)  # without a lock, which a killed process could hold
        spawn = multiprocessing.get_context("spawn")
        self._connection, other = spawn.Pipe()
        self._process = spawn.Process(
            target=_answer_calls, args=(load, self.state, other), daemon=True
        )
        self._process.start()
        self.is_alive, self.join = self._process.is_alive, self._process.join
        self.poll, self.receive = self._connection.poll, self._connection.recv
        other.close()  # so that the connection ends with the process

    @property
    def exitcode(self):
        return self._process.exitcode

    def send(self, *call):
        self.state.clear()
        self._connection.send(call)

    def end(self, grace):
        """Asks the call to end, and kills the process that does not; returns whether it lives."""
        self.state.ended = True
        try:
            if self.poll(grace):
                self.receive()
                return True
        except (EOFError, ConnectionError):
            pass
        self.kill()
        return False

    def kill(self):
        self._process.kill()
        self._process.join()


class ProcessDied(Exception):
    """The process of a Worker ended during a call; the argument is its exit code."""


class _State(ctypes.Structure):
    """What the two processes tell each other, in shared memory."""

    _fields_ = (
        ("loaded", ctypes.c_bool),
        ("ended", ctypes.c_bool),
        ("stage", ctypes.c_char * 64),
        ("done", ctypes.c_double),
        ("total", ctypes.c_double),
    )

    def clear(self):
        self.ended, self.stage, self.done, self.total = False, b"", 0.0, 0.0

    def read(self):
        total = self.total if self.total > 0 else None
        return self.stage.decode(errors="replace"), self.done, total

    def report(self, stage, done, total):
        if self.ended:
            raise InterruptedError
        self.stage, self.done, self.total = stage.encode()[:63], done, total or 0


def _answer_calls(load, state, connection):
    """What a Worker's process does: calls what it receives, and sends what comes of it."""
    _begin(None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    loaded = None
    with suppress(Exception):  # the first call says why
        loaded = (load(),)
    state.loaded = True
    while True:
        function, arguments = connection.recv()
        try:
            loaded = loaded or (load(),)
            answer = True, function(*loaded, state.report, *arguments)
        except Exception as error:
            error.add_note(traceback.format_exc())  # which no exception takes along
            answer = False, error
        connection.send(answer)


def _begin(initializer, *arguments):
    signal.signal(signal.SIGTERM, _clean_up)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer:
        initializer(*arguments)


def _clean_up(*_):
    """Ends a worker on SIGTERM, without the files that it is writing."""
    for part in list(files.parts):
        part.unlink(missing_ok=True)
    os._exit(1)


def _end_with_parent():
    multiprocessing.parent_process().join()  # returns when it is gone, even by SIGKILL
    os._exit(1)


def _take_one_core():
    if hasattr(os, "nice"):
        os.nice(10)  # the training, whose threads wait for each other, comes first
    cv2.setNumThreads(1)
    # Without a limit, threads of BLAS that spin beside the other workers took four times as long.
    threadpool_limits(1)
