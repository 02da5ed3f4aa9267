"""Exports a run to ONNX, LiteRT or SavedModel, and compares the two.

Keras writes a SavedModel; ONNX and LiteRT are made of that. A run without Keras is `runtime`'s.
"""

from __future__ import annotations

import gc
import re
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from emotion import backend, metrics
from emotion.clip import Signal
from emotion.data.feature_tables import ACTION_UNITS
from emotion.faces.crop import STEP
from emotion.inference.recognizer import Recognizer
from emotion.inference.runtime import FILES, OUTPUT
from emotion.record import Record
from emotion.run import weights_digest

FORMATS = tuple(FILES)
WEIGHTS = ("float32", "float16", "int8")
TOLERANCE = {"float32": 1e-4, "float16": 1e-3, "int8": 1.0}  # of a probability
WINDOWS = 50
# What of run.json predicts or tells where the model is from; the rest names places and people.
RECORD = ("preset", "labels", "detector", "window", "protocol", "fold", "seed", "versions")
_SNIPPETS = {
    "onnx": """import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(["probabilities"], {{{feed}}})""",
    "litert": """from ai_edge_litert.interpreter import Interpreter
run = Interpreter("model.tflite").get_signature_runner()
probabilities = run({arguments})["probabilities"]""",
    "saved_model": """import tensorflow as tf
run = tf.saved_model.load("model").signatures["serving_default"]
probabilities = run({tensors})["probabilities"]""",
}


@dataclass(frozen=True)
class Check:
    """How an export compares with its run, on the same windows.

    Attributes:
        windows: int, their number.
        source: str, what they are.
        difference: float, the largest of a probability.
        uar: tuple of float, of the run and of the export; None where labels are not known.
    """

    windows: int
    source: str
    difference: float
    uar: tuple | None


def export_run(
    recognizer: Recognizer,
    form: str,
    folder: Path,
    windows: list[Signal],
    source: str,
    targets: np.ndarray | None = None,
    weights: str = "float32",
) -> Check:
    """Writes a folder with a model, its run.json and a README.md, and checks it.

    The folder appears under its name when all is written and the check is passed.

    Args:
        recognizer: Recognizer of a run, with `use_export` False.
        form: str, one of FORMATS.
        folder: Path that is not there yet.
        windows: iterable of Signal, to compare run and export on.
        source: str, what they are, for the record.
        targets: int array (n,), the true classes of the windows, or None.
        weights: str, one of WEIGHTS, what is stored. Of float16, float32 is made again as the
            model is loaded; int8 is computed with, and no difference is too large then.

    Returns:
        Check.

    Raises:
        FileExistsError: the folder is there.
        ValueError: the format cannot hold the model, a probability differs by more than
            TOLERANCE, a SavedModel is to have other weights, or the recogniser's is an export.
        ModuleNotFoundError: what converts is not installed.
    """
    if recognizer.run.record.exported:
        raise ValueError(
            f"{recognizer.run.folder} is an export already; name the run it was made of."
        )
    if recognizer.exported:
        raise ValueError(
            f"{recognizer.run.folder} predicts through its export, with which an export is not "
            "compared; give a Recognizer with use_export=False."
        )
    if weights != "float32" and form == "saved_model":
        raise ValueError(
            f"a SavedModel has no {weights}; leave --{weights} out, or export onnx or litert."
        )
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; remove it or name another --output.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as part:
        part = Path(part, folder.name)
        part.mkdir()
        _convert(recognizer, form, part / FILES[form], weights)
        known = {name: getattr(recognizer.run.record, name) for name in RECORD}
        known["thresholds"] = recognizer.run.thresholds
        exported = {
            "format": form,
            "weights": weights,
            "run_weights": weights_digest(recognizer.run.folder),
            "temperature": recognizer.temperature,
        }
        Record(**known, exported=exported).write(part / "run.json")
        check = compare(recognizer, Recognizer(part), windows, source, targets)
        if check.difference > TOLERANCE[weights]:
            raise ValueError(
                f"{form} gives other probabilities than {recognizer.run.folder}: they differ by up "
                f"to {check.difference:.1e}, and may by {TOLERANCE[weights]:.0e}; use another "
                "format."
            )
        exported |= vars(check)
        Record(**known, exported=exported).write(part / "run.json")
        (part / "README.md").write_text(readme(recognizer, exported), encoding="utf-8")
        part.rename(folder)
    return check


def compare(
    recognizer: Recognizer,
    exported: Recognizer,
    windows: list[Signal],
    source: str,
    targets: np.ndarray | None = None,
) -> Check:
    """Compares a run and its export.

    Args:
        recognizer, exported: Recognizer of either.
        windows, source, targets: as for `export_run`.

    Returns:
        Check.
    """
    windows, rows = iter(windows), []
    while batch := list(islice(windows, 16)):
        rows.append((recognizer.predict(batch), exported.predict(batch)))
    wanted, obtained = map(np.concatenate, zip(*rows))
    uar = targets is not None and tuple(
        metrics.uar(metrics.confusion(targets, p.argmax(axis=1), len(recognizer.labels)))
        for p in (wanted, obtained)
    )
    return Check(len(wanted), source, float(np.abs(wanted - obtained).max()), uar or None)


def noise(recognizer: Recognizer, count: int = WINDOWS) -> list[Signal]:
    """Returns seeded Signals of noise, for a check without recordings."""
    generator, size = np.random.default_rng(0), recognizer.spec.size or 1
    duration, rate = recognizer.window, recognizer.sample_rate
    times = np.arange(0, duration, STEP)
    return [
        Signal(
            samples=0.1 * generator.standard_normal(round(duration * rate), np.float32),
            sample_rate=rate,
            frames=generator.integers(0, 256, (len(times), size, size, 3), np.uint8),
            times=times,
            duration=duration,
            features={"action_units": generator.uniform(0, 2, (1, len(ACTION_UNITS)))},
        )
        for _ in range(count)
    ]


def readme(recognizer: Recognizer, exported: dict) -> str:
    """Returns the README.md of an export: how its inputs are computed, from the preset.

    Args:
        recognizer: Recognizer of the run.
        exported: dict, what run.json says of the export.
    """
    preset, form = recognizer.preset, exported["format"]
    names = list(preset.features)
    snippet = _SNIPPETS[form].format(
        feed=", ".join(f'"{name}": {name}' for name in names),
        arguments=", ".join(f"{name}={name}" for name in names),
        tensors=", ".join(f"{name}=tf.constant({name})" for name in names),
    )
    inputs = "".join(
        f"\n`{name}`: {feature.dtype}, (batch, {', '.join(map(str, feature.shape))})\n\n"
        + "".join(f"{i}. {step}\n" for i, step in enumerate(feature.describe(), start=1))
        for name, feature in preset.features.items()
    )
    classes, uar = recognizer.labels, exported["uar"]
    cost = "" if uar is None else f" UAR there: {uar[0]:.4f} of the run, {uar[1]:.4f} of this."
    return f"""# {preset.name}, {preset.modality}: {form}, {exported["weights"]}

```python
{snippet}
```

`python run_inference.py --video_path clip.mp4 --model {FILES[form]}` does all that follows.

## Inputs

Any number of windows at once, each of about {recognizer.window:g} s, the median of what it was
trained on.
{inputs}
## Output

`{OUTPUT}`: float32, (batch, {len(classes)}), each row sums to 1: {", ".join(classes)}.

## Checked

On {exported["windows"]} windows ({exported["source"]}). The largest difference in a probability
from the Keras model's: {exported["difference"]:.1e}.{cost}

`run.json` holds preset, labels, face detector and this check.
"""


def _convert(recognizer, form, path, weights):
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "export needs Keras on TensorFlow; unset KERAS_BACKEND. "
            f"Received: {keras.backend.backend()}."
        )
    features = recognizer.preset.features.items()
    inputs = {name: keras.Input(f.shape, dtype=f.dtype, name=name) for name, f in features}
    logits = recognizer.model(inputs)
    if recognizer.temperature != 1.0:
        logits = keras.layers.Rescaling(1 / recognizer.temperature, name="temperature")(logits)
    probabilities = keras.layers.Softmax(name=OUTPUT)(logits)
    model = keras.Model(inputs, {OUTPUT: probabilities})
    with tempfile.TemporaryDirectory() as saved, backend.quiet():
        model.export(saved, format="tf_saved_model", verbose=False)
        _CONVERTERS[form](saved, path, weights)


def _saved_model(saved, path, weights):
    shutil.copytree(saved, path)


def _litert(saved, path, weights):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    converter.optimizations = [] if weights == "float32" else [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16] if weights == "float16" else []
    try:
        path.write_bytes(converter.convert())
    except Exception as error:  # its own class is private
        lacking = re.search("TF Select ops: (.+)", str(error))
        if lacking is None:
            raise
        raise ValueError(
            f"LiteRT has no {lacking[1]}, which this model uses; export another format."
        ) from None


def _onnx(saved, path, weights):
    try:
        from onnxruntime import quantization
        from tf2onnx import convert, tf_loader
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"ONNX needs {error.name}, which is not installed: "
            "`pip install onnx onnxruntime tf2onnx`."
        ) from None

    with _collecting():
        graph, inputs, outputs, names = tf_loader.from_saved_model(
            saved, None, None, ["serve"], ["serving_default"], return_tensors_to_rename=True
        )
        model, _ = convert.from_graph_def(
            graph,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=names,
            custom_op_handlers={"Erfc": (_erfc, [])},
        )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if weights == "float16":
        _store_halves(model.graph)
    path.write_bytes(model.SerializeToString())
    if weights == "int8":
        quantization.quantize_dynamic(path, path)


def _store_halves(graph):
    """Stores large weights as float16, from which ONNX Runtime makes float32 once, as it loads."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= 1024:
            half = f"{tensor.name}_float16"
            casts.append(helper.make_node("Cast", [half], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
    for index, cast in enumerate(casts):
        graph.node.insert(index, cast)


@contextmanager
def _collecting():
    """Collects garbage whenever it has grown by a quarter.

    tf2onnx copies the graph with its weights for each optimizer, in cycles. Left to Python's
    thresholds, these copies take Wav2Vec2 from 12 to 22 GB, and half as long again.
    """
    thresholds = gc.get_threshold()
    gc.freeze()  # what is there already neither counts nor is looked at,
    gc.collect()  # from here on
    gc.set_threshold(*thresholds[:2], 1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        gc.collect()


def _erfc(graph, node, name, args):
    """Replaces erfc(x), which tf2onnx does not support, by 1 - erf(x) in GELU."""
    (x,), (y,) = node.input, node.output
    shape, kind = graph.get_shape(y), graph.get_dtype(y)
    graph.remove_node(name)
    unit = graph.make_const(f"{name}_one", np.float32(1)).output[0]
    erf = graph.make_node("Erf", [x], shapes=[shape], dtypes=[kind]).output[0]
    graph.make_node("Sub", [unit, erf], outputs=[y], shapes=[shape], dtypes=[kind], name=name)


_CONVERTERS = {"onnx": _onnx, "litert": _litert, "saved_model": _saved_model}
