"""Explains a clip, or the test clips of a run, as a folder of plots and numbers.

explanation.json is the last file: where it is, the folder is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from emotion.data.corpora import images
from emotion.evaluation import evaluate
from emotion.explain import activations, attributions, plots
from emotion.files import write_csv, write_json
from emotion.training.batches import Batches

if TYPE_CHECKING:
    import keras

    from emotion.clip import Clip, Load, Signal
    from emotion.data.splits import Split
    from emotion.preset import Preset
    from emotion.run import Run

_BASELINES = 64  # training clips, evenly chosen: more of them change little
_EXPLAINED = 200  # test clips whose named values are explained


def drawable(preset: Preset) -> bool:
    """Returns bool, whether `explain_clip` can draw what a preset reads: an MFCC map or frames."""
    return bool(preset.faces or hasattr(preset.audio, "span"))


def training_clips(run: Run, split: Split) -> list[Clip]:
    """Returns the list of a split's training Clips, of speakers whom the run was trained on."""
    known = run.record.speakers["train"]
    return [clip for clip in split.train if clip.speaker in known]


def explain_clip(
    model: keras.Model,
    preset: Preset,
    labels: Sequence[str],
    signal: Signal,
    name: str,
    folder: Path,
    target: int | None = None,
    train: Sequence[Clip] = (),
    load: Load | None = None,
) -> dict:
    """Explains one clip.

    Args:
        model: keras.Model of a run.
        preset: Preset of the run, one that is `drawable`.
        labels: tuple of str.
        signal: Signal of the clip.
        name: str, what the clip is called.
        folder: Path to write into: mfcc, frames, attention and shap (PNG and SVG), heat.mp4,
            where there is such to show, and explanation.json.
        target: int, the class to explain, or None for the predicted one.
        train: list of Clip whose mean stands for an absent modality; where it is empty, what the
            model itself takes for absent does.
        load: function of one of these that returns its Signal.

    Returns:
        dict, what explanation.json holds: clip, title, label, probability, baseline, difference of
        the logit from the baseline's, completeness_error, steps, shares by modality, and shap_error
        where there is shap.
    """
    inputs = preset.extract(signal)
    batch = {name: x[None] for name, x in inputs.items()}
    probabilities = special.softmax(model.predict_on_batch(batch)[0])
    target = int(np.argmax(probabilities)) if target is None else target
    train = _even(train, _BASELINES)
    absent = _absent(model, preset, train, load)
    call, vector = activations.function(model), activations.vector(model, preset)
    if vector and preset.faces:
        absent["video"] = _with_frames_of(inputs["video"], absent["video"])
    rows = {name: row[None] for name, row in absent.items()}
    attribution = attributions.attribute(call, attributions.gradients(call), inputs, rows, target)
    shares = attributions.shares(call, batch, absent, np.array([target]))
    maps = activations.attention(model, preset, inputs)

    title = f"{name}: {labels[target]}, {probabilities[target]:.0%}"
    caption = f"{title}; completeness error {attribution.error:.2%}"
    if hasattr(preset.audio, "span") and signal.has_audio:
        images = (_upright(inputs["audio"]), _upright(attribution.values["audio"]))
        plots.mfcc(*images, preset.audio.span(signal), caption, folder / "mfcc")
    if preset.faces and signal.has_face:
        times = preset.faces.times(signal.duration)
        frames = inputs["video"][: len(times)]
        warmth = plots.heat(attribution.values["video"][: len(times)])
        plots.strip(plots.overlay(frames, warmth), times, caption, folder / "frames")
        sound = None if signal.samples is None else (signal.samples, signal.sample_rate)
        plots.video(frames, warmth, times, signal.duration, sound, folder / "heat.mp4")
    if maps:
        steps = len(maps["audio", "video"])
        extents = {"audio": _extent(preset.audio, signal, steps), "video": (0, signal.duration)}
        plots.attention(maps, extents, title, folder / "attention")
    record = {
        "clip": name,
        "title": title,
        "label": labels[target],
        "probability": float(probabilities[target]),
        "baseline": _named(train),
        "difference": attribution.difference,
        "completeness_error": attribution.error,
        "steps": attribution.steps,
        "shares": {name: float(parts[0]) for name, parts in shares.items()},
    }
    if vector:
        background = _background(vector, preset, train, load)
        shap, record["shap_error"] = _shap(vector, vector.of(batch), [target], background)
        plots.summary(shap, vector.of(batch), vector.names, title, folder / "shap")
    write_json(folder / "explanation.json", record)
    return record


def explain_tests(
    run: Run, split: Split, load: Load, folder: Path, target: int | None = None
) -> dict:
    """Explains a run's test clips together.

    Args:
        run: run.Run.
        split: splits.Split; the mean of some of its `training_clips` is the baseline, or where
            there are none, what the model itself takes for absent.
        load: function of a Clip that returns its Signal.
        folder: Path to write into: embedding, of at least activations.FEWEST clips, and shares (PNG
            and SVG), shares.csv; shap and shap.csv where the preset reads named values; and
            explanation.json.
        target: int, the class to explain, or None for the one predicted of each clip.

    Returns:
        dict, what explanation.json holds: title, clips, baseline, shares (means by modality),
        silhouette of emotion and of speaker, and shap_clips and shap_error where there is shap.

    Raises:
        ValueError: as `evaluate.check`.
    """
    evaluate.check(run, split)
    model, preset, labels, test = run.model(), run.preset, run.labels, split.test
    train = _even(training_clips(run, split), _BASELINES)
    absent = _absent(model, preset, train, load)
    call, vector = activations.function(model), activations.vector(model, preset)
    before = activations.before_logits(model)
    vectors_before, parts, targets, vectors = [], [], [], []
    batches = Batches(test, preset, labels, preset.recipe.batch_size, load)
    for index in range(len(batches)):
        inputs, _, _ = batches[index]
        best = np.argmax(model.predict_on_batch(inputs), axis=1)
        best = best if target is None else np.full(len(best), target)
        vectors_before.append(before(inputs))
        parts.append(attributions.shares(call, inputs, absent, best))
        targets.extend(best.tolist())
        if vector:
            vectors.append(vector.of(inputs))
    points = np.concatenate(vectors_before)
    shares = {name: np.concatenate([part[name] for part in parts]) for name in absent}
    kinds = {"emotion": [clip.label for clip in test]}
    if not all(clip.speaker.startswith(images.UNKNOWN) for clip in test):
        kinds["speaker"] = [clip.speaker for clip in test]
    groups = {kind: (names, activations.silhouette(points, names)) for kind, names in kinds.items()}
    title = f"{run.folder.name}, {len(test)} test clips"
    record = {
        "title": title,
        "clips": len(test),
        "baseline": _named(train),
        "shares": {name: float(part.mean()) for name, part in shares.items()},
        "silhouette": {k: None if np.isnan(value) else value for k, (_, value) in groups.items()},
    }
    explained = [labels[value] for value in targets]
    if len(points) >= activations.FEWEST:
        shown = f"{title}: the layer before the logits"
        plots.embedding(activations.project(points), groups, shown, folder / "embedding")
    plots.shares(shares, explained, labels, title, folder / "shares")
    table = pd.DataFrame({"id": [clip.id for clip in test], **kinds, "explained": explained})
    write_csv(folder / "shares.csv", table.assign(**shares))
    if vector:
        some = _even(range(len(test)), _EXPLAINED)
        vectors = np.concatenate(vectors)[some]
        background = _background(vector, preset, train, load)
        shap, error = _shap(vector, vectors, [targets[index] for index in some], background)
        record |= {"shap_clips": len(some), "shap_error": error}
        plots.summary(shap, vectors, vector.names, title, folder / "shap")
        table = pd.DataFrame(shap, columns=vector.names)
        table.insert(0, "id", [test[index].id for index in some])
        write_csv(folder / "shap.csv", table)
    write_json(folder / "explanation.json", record)
    return record


def _even(items, most):
    return list(items)[:: max(1, -(-len(items) // most))]


def _absent(model, preset, train, load):
    """Returns the input of an absent modality: dict of name to array without a batch axis."""
    return (
        attributions.mean(preset, map(load, train))
        if train
        else attributions.baseline(model, preset)
    )


def _with_frames_of(frames, baseline):
    """A baseline (t, h, w, 3) that is black where `frames` are, and nowhere else.

    The model leaves black frames out of its mean. Were one to appear or vanish on the way from the
    baseline to the clip, the logit would jump there, and gradients would not add up to it.
    """
    present = frames.any(axis=(1, 2, 3), keepdims=True)
    return np.maximum(baseline, 1e-3) * present.astype(np.float32)  # of 0 to 255


def _background(vector, preset, train, load):
    """The vectors (n, c) of training clips, or where there are none, the mean the model learned."""
    if not train:
        return vector.mean[None]
    rows = [preset.extract(load(clip)) for clip in train]
    return np.concatenate([vector.of({name: x[None] for name, x in row.items()}) for row in rows])


def _shap(vector, vectors, targets, background):
    """SHAP values (n, c) of vectors (n, c), and the largest completeness error."""
    slopes, rows = attributions.gradients(vector.call), {"vector": background}
    attributed = [
        attributions.attribute(vector.call, slopes, {"vector": x}, rows, target)
        for x, target in zip(vectors, targets)
    ]
    values = np.stack([each.values["vector"] for each in attributed])
    return values, max(each.error for each in attributed)


def _upright(values):
    """(coefficients, steps) of either kind of MFCC map."""
    return values[..., 0] if values.ndim == 3 else values.T


def _extent(feature, signal, steps):
    """Returns the span of `steps` of the branch: unpadded convolutions shorten both ends."""
    start, end = feature.span(signal)
    lost = (end - start) * (1 - steps / feature.shape[0]) / 2
    return start + lost, end - lost


def _named(train):
    if train:
        return f"the mean of {len(train)} training clips"
    return "an absent input (the mean where the model learned it, else zero)"
