"""Processes: pools that load no backend, and single calls whose memory ends with them."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext

import cv2
from threadpoolctl import threadpool_limits


class Pool(ProcessPoolExecutor):
    """`count` processes that load no backend, do not take Ctrl-C, and end with this one."""

    def __init__(self, count):
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        super().__init__(count, spawn, _begin)
        self.count = count

    def __exit__(self, *_):
        self.shutdown(cancel_futures=True)


def pool(count):
    """Returns a context that gives a Pool, or None for a `count` of 0: all runs in this process.

    Raises:
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"`workers` must be at least 0. Received: {count}.")
    return Pool(count) if count else nullcontext()


def _begin():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(os, "nice"):
        os.nice(10)  # the training, whose threads wait for each other, comes first
    cv2.setNumThreads(1)
    # One core each: threads of BLAS that spin beside the other workers made a clip cost four times.
    threadpool_limits(1)
    watch_parent()


def watch_parent():
    """Lets this process end with its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()  # returns when it is gone, even by SIGKILL
    os._exit(1)


def apart(function, *arguments, initializer=None):
    """Calls a function in a process of its own, whose memory ends with it.

    TensorFlow keeps the most memory that it ever had.

    Args:
        function: function; it, what it is given and what it returns must pickle.
        arguments: what it is given.
        initializer: function without arguments, called first in that process; or None.

    Returns:
        What it returns. Where the caller is interrupted, the process ends too.

    Raises:
        What it raises; OSError where it was killed, as for want of memory.
    """
    spawn, others = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    with ProcessPoolExecutor(1, spawn, _begin_with, (initializer,)) as process:
        try:
            return process.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise OSError(
                "a run's process was killed, perhaps for want of memory; free some and call again: "
                "what is done stays done."
            ) from error
        except BaseException:
            for child in set(multiprocessing.active_children()).difference(others):
                child.terminate()
            raise


def _begin_with(initializer):
    watch_parent()
    if initializer:
        initializer()
