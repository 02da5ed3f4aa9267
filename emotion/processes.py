"""Process pools: workers that can die, and single calls whose memory ends with them."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import cv2
from pebble import ProcessExpired, ProcessPool
from threadpoolctl import threadpool_limits


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


def _begin(initializer, *arguments):
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer:
        initializer(*arguments)


def _end_with_parent():
    multiprocessing.parent_process().join()  # returns when it is gone, even by SIGKILL
    os._exit(1)


def _take_one_core():
    if hasattr(os, "nice"):
        os.nice(10)  # the training, whose threads wait for each other, comes first
    cv2.setNumThreads(1)
    # Without a limit, threads of BLAS that spin beside the other workers took four times as long.
    threadpool_limits(1)
