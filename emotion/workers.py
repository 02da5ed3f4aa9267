"""Workers: processes that turn clips into model inputs; none of them loads a backend."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
from threadpoolctl import threadpool_limits


def inputs(clip, position, epoch, preset, load, augmentation, seed):
    """Makes the inputs of one clip.

    Args:
        clip: Clip.
        position: int, the clip's place in its list.
        epoch: int.
        preset: Preset, computes the features.
        load: function of a Clip that returns its Signal; it must pickle.
        augmentation: Augmentation, or None. Its chance is a function of (seed, epoch, position).
        seed: int.

    Returns:
        dict of input name to array, no batch axis.
    """
    signal_ = load(clip)
    if augmentation is not None:
        signal_ = augmentation(signal_, np.random.default_rng((seed, epoch, position)))
    return preset.extract(signal_)


def pool(count):
    """Returns a ProcessPoolExecutor of `count` workers, or None for 0: then all runs in this one.

    Raises:
        ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"`workers` must be at least 0. Received: {count}.")
    if count == 0:
        return None
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    return ProcessPoolExecutor(count, spawn, _begin)


def _begin():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(os, "nice"):
        os.nice(10)  # the training, whose threads wait for each other, comes first
    cv2.setNumThreads(1)
    # One core each: threads of BLAS that spin beside the other workers made a clip cost four times.
    threadpool_limits(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()  # returns when it is gone, even by SIGKILL
    os._exit(1)
