"""Annotates recordings in processes, one recording each at a time.

Each process loads the recogniser once. One that dies, as a decoder may on a damaged file, costs its
own recording only.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from functools import cache

import cv2
from pebble import ProcessExpired

from emotion import processes
from emotion.annotate.recordings import Job, Settings, annotate
from emotion.clip import MediaError


class _NoRecognizer(ValueError):
    """The recogniser cannot be loaded, so no recording can be annotated."""


def work(
    jobs: list[Job], settings: Settings, count: int, load: Callable = Settings.load
) -> Iterator[tuple[Job, str | None]]:
    """Annotates recordings in worker processes.

    Args:
        jobs: list of Job.
        settings: Settings.
        count: int, processes; at least 1.
        load: function of the Settings that returns the recogniser; it must pickle.

    Yields:
        (Job, str or None): as each ends, None or the reason why it failed.

    Raises:
        ValueError: `count` is below 1, or the recogniser cannot be loaded; the message says why.
    """
    if count < 1:
        raise ValueError(f"`workers` must be at least 1. Received: {count}.")
    threads = max(1, (os.cpu_count() or 1) // count)
    with processes.Pool(count, _limit_threads, threads) as pool:
        futures: dict[Future, Job] = {
            pool.schedule(_annotate, (job, settings, load)): job for job in jobs
        }
        for future in as_completed(futures):
            try:
                reason = future.result()
            except ProcessExpired as error:
                reason = f"its process died (exit code {error.exitcode}); look at the file"
            yield futures[future], reason


def _limit_threads(count):
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):  # read when they are loaded
        os.environ[name] = str(count)
    cv2.setNumThreads(count)


def _annotate(job, settings, load):
    """Annotates a recording; returns None, or the reason why that failed."""
    recognizer = _recognizer(settings, load)
    try:
        annotate(job, recognizer, settings)
    except (MediaError, ValueError, OSError) as error:
        return str(error)
    except Exception as error:  # a fault of ours on one recording must not stop the others
        return f"{type(error).__name__}: {error}"
    return None


@cache
def _recognizer(settings, load):
    try:
        return load(settings)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        raise _NoRecognizer(str(error)) from error
