"""Runs an exported model: from the model's inputs to probabilities.

ONNX Runtime and LiteRT load no Keras and no TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from emotion import backend
from emotion.inference import saved_model

if TYPE_CHECKING:
    import numpy as np

    from emotion.clip import Arrays
    from emotion.run import Run

# What an export's folder calls its model.
FILES = {"onnx": "model.onnx", "litert": "model.tflite", "saved_model": "model"}
OUTPUT = "probabilities"


def find(path: Path | str) -> Path | None:
    """Finds an exported model, which is one where the run.json beside it says so.

    Args:
        path: str or Path of the model itself, or of the folder that `export` wrote.

    Returns:
        Path of the model, or None where the path names neither.

    Raises:
        FileNotFoundError: run.json says that it is an export, and its model is not there.
        ValueError: there is a model without such a run.json, or that is damaged.
    """
    from emotion.run import load_run  # not above: `export --help` takes FILES from here

    path = Path(path)
    named = path.name in FILES.values()
    folder = path.parent if named else path
    known = load_run(folder).record.exported if (folder / "run.json").is_file() else None
    if known is None:
        if named and path.exists():
            raise ValueError(
                f"{path} is no export: a run.json beside it must say so; name a folder that "
                "`emotion export` wrote."
            )
        return None
    model = folder / FILES.get(known.get("format"), "")
    if named and path != model or not model.exists() or model == folder:
        raise FileNotFoundError(
            f"{path if named else folder} is not the model that run.json describes as "
            f"{known.get('format')}; export it anew."
        )
    return model


def export_of(run: Run) -> Path | None:
    """Finds the ONNX model in a run's folder that was made of its present weights.

    Args:
        run: Run, no export.

    Returns:
        Path of the model, or None: there is none, or it is of other weights, of another
        temperature or has 8-bit weights.

    Raises:
        ValueError: its run.json is damaged.
    """
    from emotion.run import load_run, weights_digest

    model = run.folder / "onnx" / FILES["onnx"]
    if not (model.is_file() and model.with_name("run.json").is_file()):
        return None
    known = load_run(model.parent).record.exported or {}
    made_of = weights_digest(run.folder), run.temperature
    same = (known.get("run_weights"), known.get("temperature")) == made_of
    return model if same and known.get("weights") in ("float32", "float16") else None


def load(path: Path) -> Callable[[Arrays], np.ndarray]:
    """Loads an exported model.

    Args:
        path: Path that `find` returned.

    Returns:
        Function of a dict of arrays (b, ...), the inputs by name, that returns float32
        array (b, classes), probabilities. One serves one thread.

    Raises:
        ValueError: it is damaged.
        ModuleNotFoundError: what runs it is not installed.
    """
    try:
        return _LOADERS[path.suffix](path)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} needs {error.name}, which is not installed: `pip install {error.name}`."
        ) from None


def _onnx(path):
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf

    options = onnxruntime.SessionOptions()
    threads = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0  # 0: one a core
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    except (Fail, InvalidGraph, InvalidProtobuf) as error:
        raise _damaged(path, error) from None
    return lambda inputs: session.run([OUTPUT], inputs)[0]


def _litert(path):
    from ai_edge_litert.interpreter import Interpreter

    with backend.quiet():
        try:
            interpreter = Interpreter(str(path))
            interpreter.allocate_tensors()  # now, and not aloud at the first prediction
        except ValueError as error:
            raise _damaged(path, error) from None
    run = interpreter.get_signature_runner()
    return lambda inputs: run(**inputs)[OUTPUT]


def _saved_model(path):
    backend.start()
    import tensorflow as tf

    saved_model.check(path)
    try:
        model = tf.saved_model.load(path)
    except (ValueError, OSError) as error:
        raise _damaged(path, error) from None
    run = model.signatures["serving_default"]
    saved_model.check_computing(path, run.graph.as_graph_def().node)
    return lambda inputs: run(**{k: tf.constant(v) for k, v in inputs.items()})[OUTPUT].numpy()


def _damaged(path, error):
    reason = " ".join(str(error).split())[:200]
    return ValueError(f"{path} is no exported model that can be read ({reason}); export it anew.")


_LOADERS = {".onnx": _onnx, ".tflite": _litert, "": _saved_model}
