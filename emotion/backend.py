"""Starts Keras and its backend, without their start-up messages and with repeatable results."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def start() -> None:
    """Imports Keras and its backend; what their C++ parts say as they load is left out.

    TensorFlow prints notes on CUDA and oneDNN before any setting of its own can stop them. Errors
    are raised as ever. Of a GPU's memory no more is taken than is used, since `processes.apart`
    has a process on it too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # on some processors TensorFlow's is 0
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    with quiet():
        import keras

        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            try:
                tf.config.threading.set_inter_op_parallelism_threads(1)
            except RuntimeError:
                warnings.warn(
                    "TensorFlow was in use before emotion.backend.start(): two trainings may "
                    "differ in the last bits.",
                    stacklevel=2,
                )
        keras.ops.convert_to_numpy(keras.ops.zeros(1))


def make_deterministic(seed: int) -> None:
    """Seeds Python, NumPy and the backend, and forbids operations that differ between two runs.

    On TensorFlow's CPU, op determinism alone leaves 3D convolutions that differ when the machine
    is loaded; the single inter-op thread of `start` prevents that.

    Args:
        seed: int.
    """
    start()
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@contextmanager
def streams(*batches: Any) -> Iterator[list]:
    """Yields inputs of `fit` and `predict` with the content of the batches, without stalls.

    Keras wraps batches in a tf.data.Dataset that tunes itself. The thread which does that sleeps
    twice as long each time, up to a minute, and whoever ends the iteration, as each validation
    does, waits until it wakes (seen in TensorFlow 2.21).

    Args:
        batches: Batches.

    Yields:
        List, one for each.

    Raises:
        What the making of a batch raises, as it is and not as tf.data tells it.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        yield list(batches)
        return
    import tensorflow as tf

    raised = []
    try:
        yield [_stream(each, raised) for each in batches]
    except tf.errors.OpError:  # alone: what a callback raises has nothing to do with batches
        if raised:
            raise raised[0] from raised[0].__cause__  # of a worker: its own traceback
        raise


def _stream(batches, raised):
    import tensorflow as tf

    endless = batches.num_batches is None

    def generate():
        try:
            yield from (batches[i] for i in (itertools.count() if endless else range(len(batches))))
        except Exception as error:
            raised.append(error)
            raise

    features = batches.preset.features.items()
    signature = (
        {name: tf.TensorSpec((None, *feature.shape), feature.dtype) for name, feature in features},
        tf.TensorSpec((None, len(batches.labels)), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    count = tf.data.INFINITE_CARDINALITY if endless else len(batches)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return dataset.prefetch(1).with_options(options)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the messages of C and C++ libraries on stderr; a context manager."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
