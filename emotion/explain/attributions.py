"""Attributions: integrated gradients with a stated error, and exact modality shares.

What they divide is the difference of a logit from what it is at a baseline: among the values of the
inputs (`attribute`), or between sound and picture (`shares`). They say what the model went by, not
what a face or a voice means.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

if TYPE_CHECKING:
    from emotion.clip import Arrays, Signal
    from emotion.preset import Preset

TOLERANCE = 0.01
_FEWEST, _MOST = 16, 1024  # steps; with fewer the sum can be right while its parts are wrong
_VALUES = 2**22  # of inputs that are differentiated at once, 16 MiB; layers take tens of times that


@dataclass(frozen=True, eq=False)
class Attribution:
    """The attribution of each value of the inputs.

    Attributes:
        values: dict of input name to float32 array, shaped as the input; together they sum to
            `difference`, but for `error`.
        difference: float, the logit less its mean over the baselines.
        error: float, the completeness error: |sum of values - difference| / |difference|.
        steps: int, parts of the path that was integrated over.
    """

    values: dict
    difference: float
    error: float
    steps: int


def baseline(model: keras.Model, preset: Preset) -> Arrays:
    """Returns the baseline of a model, without training clips.

    Where the model standardises an input (a batch normalization MODALITY_scale) it knows the mean
    over the training clips. Elsewhere it is zero: black, or silence, as for a clip without the
    modality.

    Args:
        model: keras.Model of `preset`.
        preset: Preset.

    Returns:
        dict of input name to float32 array, without a batch axis.
    """
    rows = {}
    scales = {layer.name: layer for layer in model.layers}
    for name, feature in preset.features.items():
        rows[name] = np.zeros(feature.shape, np.float32)
        scale = scales.get(f"{name}_scale")
        if isinstance(scale, keras.layers.BatchNormalization):
            shape = [1] * (1 + len(feature.shape))
            shape[scale.axis] = -1
            rows[name] += np.asarray(scale.moving_mean).reshape(shape)[0]
    return rows


def mean(preset: Preset, signals: list[Signal]) -> Arrays:
    """The mean input over signals, such as those of training clips.

    Args:
        preset: Preset.
        signals: iterable of Signal, at least one.

    Returns:
        dict of input name to float32 array, without a batch axis.
    """
    sums, count = {name: 0.0 for name in preset.features}, 0
    for signal in signals:
        count += 1
        for name, x in preset.extract(signal).items():
            sums[name] = sums[name] + x.astype(np.float64)
    return {name: (total / count).astype(np.float32) for name, total in sums.items()}


def gradients(call: Callable) -> Callable:
    """Returns the function (points, target) to the gradients of a logit, for `attribute`.

    Args:
        call: function of `activations.function`.

    Raises:
        ValueError: the backend is another one than TensorFlow; keras.ops has no gradient.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "explain takes gradients from TensorFlow alone; set KERAS_BACKEND=tensorflow. "
            f"Received: {keras.backend.backend()}."
        )
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def slopes(points, target):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            logit = tf.gather(call(points), target, axis=1)
        return tape.gradient(logit, points)

    return slopes


def attribute(
    call: Callable,
    slopes: Callable,
    inputs: Arrays,
    background: Arrays,
    target: int,
    tolerance: float = TOLERANCE,
) -> Attribution:
    """Divides a logit's difference from its baseline among the values of the inputs.

    With one baseline these are integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365):
    the gradients along the straight line from the baseline, integrated, times the way. With several
    they are the mean over them, expected gradients (Erion et al. 2021, arXiv:1906.10670), which is
    what SHAP's GradientExplainer estimates; where that draws points at random, here every line is
    integrated, by the trapezoid rule, in steps that are halved until the sum is right.

    Args:
        call: function of `activations.function`.
        slopes: function of `gradients`, of the same.
        inputs: dict of name to array, without a batch axis.
        background: dict of name to array (n, ...), n baselines.
        target: int, the class.
        tolerance: float, the largest completeness error; it may stay above where the difference is
            nearly zero.

    Returns:
        Attribution.
    """
    inputs = {name: x.astype(np.float32) for name, x in inputs.items()}
    background = {name: rows.astype(np.float32) for name, rows in background.items()}
    count = len(next(iter(background.values())))
    size = max(1, min(_VALUES // sum(x.size for x in inputs.values()), 1024))
    ways = {name: x - background[name] for name, x in inputs.items()}

    def along(parts):
        sums = {name: np.zeros(x.shape) for name, x in inputs.items()}
        pairs = np.array(list(itertools.product(range(count), parts)))
        for some in np.split(pairs, range(size, len(pairs), size)):
            rows, part = some[:, 0].astype(int), some[:, 1].astype(np.float32)
            points = {
                name: background[name][rows] + part.reshape(-1, *[1] * (way.ndim - 1)) * way[rows]
                for name, way in ways.items()
            }
            for name, slope in slopes(points, np.int32(target)).items():
                sums[name] += (slope.numpy() * ways[name][rows]).sum(axis=0, dtype=np.float64)
        return sums

    ends = [_logits(call, points)[:, target].mean() for points in (_batch(inputs), background)]
    difference, steps = float(ends[0] - ends[1]), 1
    sums = {name: total / 2 for name, total in along((0.0, 1.0)).items()}
    while True:
        values = {name: total / (count * steps) for name, total in sums.items()}
        error = abs(sum(value.sum() for value in values.values()) - difference)
        if steps == _MOST or (steps >= _FEWEST and error <= tolerance * abs(difference)):
            break
        middles = along((np.arange(steps) + 0.5) / steps)
        sums = {name: total + middles[name] for name, total in sums.items()}
        steps *= 2
    values = {name: value.astype(np.float32) for name, value in values.items()}
    return Attribution(values, difference, float(error / max(abs(difference), 1e-12)), steps)


def shares(call: Callable, inputs: Arrays, absent: Arrays, targets: np.ndarray) -> Arrays:
    """Divides a logit's difference from its baseline between the modalities, exactly.

    Shapley values of two players: what one adds to the baseline, and what it adds to the other,
    averaged.

    Args:
        call: function of `activations.function`.
        inputs: dict of "audio", "video" or both to array (b, ...).
        absent: dict of the same to array without a batch axis, of `baseline` or `mean`.
        targets: int array (b,), classes.

    Returns:
        dict of modality to float64 array (b,); they sum to the logit less that of `absent`.
    """

    def worth(*present):
        mixed = {
            name: x.astype(np.float32)
            if name in present
            else np.broadcast_to(absent[name], x.shape)
            for name, x in inputs.items()
        }
        return _logits(call, mixed)[np.arange(len(targets)), targets]

    none, both = worth(), worth(*inputs)
    if len(inputs) == 1:
        return {name: both - none for name in inputs}
    alone = {name: worth(name) for name in inputs}
    first, second = inputs
    return {
        first: (alone[first] - none + both - alone[second]) / 2,
        second: (alone[second] - none + both - alone[first]) / 2,
    }


def _batch(inputs):
    return {name: x[None] for name, x in inputs.items()}


def _logits(call, inputs):
    return np.asarray(call(inputs), np.float64)
