"""Workers: processes that turn clips into batches; none of them loads a backend."""

import ctypes
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from emotion.augment import drop_modalities, mix

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def batch(clips, chances, targets, weights, mixing, preset, load, augmentation):
    """Makes a batch. A whole one each, since its parts would cost as much to send as to make.

    Args:
        clips: list of Clip.
        chances: list of tuple of int, the seed of each clip's augmentation.
        targets: float32 array (b, classes), one-hot.
        weights: float32 array (b,), loss weights.
        mixing: tuple of int, the seed of what is done to the batch as a whole.
        preset: Preset, computes the features.
        load: function of a Clip that returns its Signal; it must pickle.
        augmentation: Augmentation, or None.

    Returns:
        (inputs, targets, weights): dict of name to array (b, ...), and arrays as given; 4 b rows
        with modality dropout.
    """
    rows = []
    for clip, chance in zip(clips, chances, strict=True):
        vary = augmentation and partial(augmentation, generator=np.random.default_rng(chance))
        rows.append(preset.extract(load(clip), vary))
    inputs = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    made = inputs, targets, weights
    if augmentation is not None:
        chance = np.random.default_rng(mixing)
        if augmentation.mixup and "audio" in inputs:
            made = mix(*made, augmentation.mixup, chance)
        if augmentation.modality_dropout:
            made = drop_modalities(*made, chance)
    return made


class Pool(ProcessPoolExecutor):
    """`count` processes that load no backend, do not take Ctrl-C, and end with this one."""

    def __init__(self, count):
        _keep_memory()
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
    _keep_memory()
    cv2.setNumThreads(1)
    # One core each: threads of BLAS that spin beside the other workers made a clip cost four times.
    threadpool_limits(1)
    watch_parent()


def _keep_memory():
    """Lets glibc keep the memory of a batch for the next one.

    To give it back and be given it again, zeroed page by page, took a tenth of the training.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(option, 1 << 30)


def watch_parent():
    """Lets this process end with its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()  # returns when it is gone, even by SIGKILL
    os._exit(1)
