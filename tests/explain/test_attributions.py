"""Explanations: they add up, and they point at what the model went by."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from emotion import media, models
from emotion.cli.main import main
from emotion.clip import Signal
from emotion.data import labels, splits
from emotion.encoders import resnet
from emotion.explain import activations, attributions, explanations, plots
from emotion.explain.explanations import explain_clip, explain_tests
from emotion.features import FaceFrames
from emotion.files import write_text
from emotion.signals.cache import SignalCache


@pytest.fixture(scope="module")
def default(small):
    return small("cnn3d_mfcc")


def batch(inputs):
    return {name: x[None] for name, x in inputs.items()}


def test_attributions_sum_to_the_difference_from_the_baseline(default):
    model, preset, inputs = default
    call, absent = activations.function(model), attributions.baseline(model, preset)
    result = attributions.attribute(
        call, attributions.gradients(call), inputs, batch(absent), target=3
    )
    logits = model.predict_on_batch(batch(inputs))[0, 3]
    zeros = {name: row.astype(inputs[name].dtype)[None] for name, row in absent.items()}
    difference = logits - model.predict_on_batch(zeros)[0, 3]
    assert result.difference == pytest.approx(difference, rel=1e-3)
    total = sum(value.sum(dtype=float) for value in result.values.values())
    assert abs(total - difference) <= 0.0101 * abs(difference)
    assert result.error <= 0.01 and result.steps >= 16
    assert {name: value.shape for name, value in result.values.items()} == {
        name: x.shape for name, x in inputs.items()
    }
    assert np.abs(result.values["video"]).max() > 0, (
        "frames that are cast to uint8 have no gradient"
    )


def test_shares_sum_exactly(default):
    model, preset, inputs = default
    call, absent = activations.function(model), attributions.baseline(model, preset)
    pair = {name: np.stack([x, x[::-1]]) for name, x in inputs.items()}
    result = attributions.shares(call, pair, absent, np.array([3, 5]))
    logits = np.asarray(call({name: x.astype(np.float32) for name, x in pair.items()}), float)
    nothing = np.asarray(call(batch(absent)), float)[0]
    expected = logits[[0, 1], [3, 5]] - nothing[[3, 5]]
    np.testing.assert_allclose(result["audio"] + result["video"], expected, rtol=1e-4, atol=1e-5)
    only = {"audio": pair["audio"], "video": np.stack([absent["video"]] * 2)}
    assert not attributions.shares(call, only, absent, np.array([3, 5]))["video"].any()


def test_a_share_is_what_a_modality_adds_on_average():
    def call(inputs):  # 2 a + 3 v + 4 a v
        a, v = inputs["audio"], inputs["video"]
        return 2 * a + 3 * v + 4 * a * v

    inputs = {name: np.ones((1, 1), np.float32) for name in ("audio", "video")}
    absent = {name: np.zeros(1, np.float32) for name in inputs}
    result = attributions.shares(call, inputs, absent, np.array([0]))
    assert (result["audio"], result["video"]) == (4, 5)
    alone = attributions.shares(lambda x: 2 * x["audio"], {"audio": inputs["audio"]}, absent, [0])
    assert list(alone) == ["audio"] and alone["audio"] == 2


def test_the_baseline_is_the_mean_that_the_model_learned(default):
    model, preset, _ = default
    means = np.arange(40, dtype=np.float32)
    layer = model.get_layer("audio_scale")
    stored = layer.moving_mean.numpy()
    layer.moving_mean.assign(means)
    rows = attributions.baseline(model, preset)
    layer.moving_mean.assign(stored)
    assert (rows["audio"] == means[:, None, None]).all() and not rows["video"].any()


def test_expected_gradients_of_a_linear_model_are_known():
    weights = np.array([[1.0], [-2.0], [0.5]], np.float32)

    def call(inputs):
        return keras.ops.matmul(inputs["x"], weights)

    x, rows = np.float32([1, 2, 3]), np.float32([[0, 0, 0], [2, 2, 2]])
    result = attributions.attribute(call, attributions.gradients(call), {"x": x}, {"x": rows}, 0)
    np.testing.assert_allclose(result.values["x"], weights[:, 0] * (x - 1), atol=1e-6)
    assert result.steps == 16 and result.error < 1e-6


def test_shap_values_sum_to_the_difference_over_many_baselines(small):
    model, preset, inputs = small("mean_mfcc_resnet18_transformer")
    vector = activations.vector(model, preset)
    names = vector.names
    assert (len(names), names[0], names[39], names[40], names[-1]) == (
        552, "mfcc_0", "mfcc_39", "resnet18_0", "resnet18_511"
    )  # fmt: skip
    assert vector.mean.shape == (552,)
    logits = vector.call({"vector": vector.of(batch(inputs))})
    np.testing.assert_allclose(logits, model.predict_on_batch(batch(inputs)), atol=1e-4)
    rng, slopes = np.random.default_rng(1), attributions.gradients(vector.call)
    background = rng.normal(size=(8, 552)).astype(np.float32)
    for x in rng.normal(size=(3, 552)).astype(np.float32):
        logits = np.asarray(vector.call({"vector": x[None]}))[0]
        target = int(logits.argmax())
        rows = {"vector": background}
        result = attributions.attribute(vector.call, slopes, {"vector": x}, rows, target)
        expected = logits[target] - np.asarray(vector.call(rows))[:, target].mean()
        assert result.values["vector"].sum() == pytest.approx(expected, rel=0.05)
    has_audio = preset.only("audio")
    assert activations.vector(models.build_model(has_audio, 8), has_audio).names == names[:40]


def smooth(depth, name):
    """Returns a small encoder of frames, to which black is not zero."""
    frames = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255, 1.0)(frames))
    return keras.Model(frames, keras.layers.Dense(512, activation="tanh")(x), name=name)


@pytest.mark.parametrize("train", [False, True], ids=["black", "mean"])
def test_frames_that_are_not_there_are_neither_explained_nor_shown(train, tmp_path, monkeypatch):
    keras.utils.set_random_seed(0)
    monkeypatch.setattr(resnet, "build", smooth)
    preset = models.preset("mean_mfcc_resnet18_transformer").only("video")
    preset = replace(preset, video=FaceFrames(3, 32, interval=1.0))
    model, shown, rng = models.build_model(preset, 8), [], np.random.default_rng(0)

    def signal(seconds):
        times = np.arange(0, seconds, 1 / 6)
        frames = rng.integers(0, 256, (len(times), 32, 32, 3), np.uint8)
        return Signal(None, 0, frames, times, seconds)

    monkeypatch.setattr(plots, "strip", lambda frames, times, *_: shown.append((frames, times)))
    arguments = {"train": [1.0, 2.5], "load": signal} if train else {}
    result = explain_clip(
        model, preset, labels.RAVDESS, signal(1.7), "clip", tmp_path, target=0, **arguments
    )
    assert result["completeness_error"] <= attributions.TOLERANCE and result["difference"]
    assert sum(result["shares"].values()) == pytest.approx(result["difference"], rel=1e-3)
    ((frames, times),) = shown
    assert times.tolist() == [0, 1] and frames.shape == (2, 32, 32, 3)
    assert media.probe(tmp_path / "heat.mp4").duration == pytest.approx(1.7, abs=0.1)


def test_each_moment_of_a_video_shows_the_nearest_frame(tmp_path):
    frames = np.zeros((2, 32, 32, 3), np.uint8) + np.uint8([40, 200])[:, None, None, None]
    path, nothing = tmp_path / "heat.mp4", np.zeros((2, 32, 32), np.float32)
    plots.video(frames, nothing, np.array([0.0, 1.0]), 2.0, None, path)
    shown = [frame.mean() > 120 for _, frame in media.read_frames(path, [0.1, 0.4, 0.6, 1.9])]
    assert shown == [False, False, True, True]


@pytest.mark.slow
def test_heat_lies_on_the_corner_that_gives_the_class_away():
    keras.utils.set_random_seed(0)
    rng, size, count = np.random.default_rng(0), 32, 74
    preset = models.preset("cnn3d_mfcc").only("video")
    preset = replace(preset, video=FaceFrames(count=20, size=size))
    classes = np.arange(count) % 4
    frames = np.repeat(rng.integers(118, 138, (count, 1, size, size, 3), np.uint8), 20, axis=1)
    colours = np.array([(230, 40, 40), (40, 230, 40), (40, 40, 230), (220, 220, 220)], np.uint8)
    frames[:, :, :8, :8] = colours[classes][:, None, None, None]
    model = models.build_model(preset, 4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    train = {"video": frames[:64]}, classes[:64]
    model.fit(*train, batch_size=16, epochs=30, verbose=0)
    assert model.evaluate({"video": frames[64:]}, classes[64:], verbose=0)[1] == 1
    call, absent = activations.function(model), {"video": frames[:64].mean(axis=0)[None]}
    slopes, hits = attributions.gradients(call), 0
    for clip, target in zip(frames[64:], classes[64:]):
        result = attributions.attribute(call, slopes, {"video": clip}, absent, int(target))
        assert result.error <= 0.01 or abs(result.difference) < 0.1  # of logits of ten and more
        warmth = np.abs(plots.heat(result.values["video"])).sum(axis=0)
        row, column = np.unravel_index(warmth.argmax(), warmth.shape)
        hits += (
            row < 8 and column < 8 and warmth[:8, :8].sum() > warmth.sum() / 3
        )  # in a 16th of the area
    assert hits >= 9


def test_the_command_explains_a_clip(trained, recording, tmp_path, capsys):
    output = tmp_path / "why"
    arguments = ["explain", str(trained.folder), str(recording), "--output", str(output)]
    assert main([*arguments, "--label", "sad"]) == 0
    assert {path.name for path in output.iterdir()} == {
        "mfcc.png", "mfcc.svg", "frames.png", "frames.svg", "heat.mp4", "explanation.json"
    }  # fmt: skip
    record = json.loads((output / "explanation.json").read_text(encoding="utf-8"))
    assert record["label"] == "sad" and record["completeness_error"] <= 0.01
    assert sum(record["shares"].values()) == pytest.approx(record["difference"], rel=1e-4)
    text, lacking = capsys.readouterr()
    assert "not the mean of training clips: " in lacking and "where its clips are" in lacking
    assert "sad" in text and f"completeness error {record['completeness_error']:.2%}" in text
    made, provided = media.probe(output / "heat.mp4"), media.probe(recording)
    assert made.audio and made.duration == pytest.approx(provided.duration, abs=0.1)


def test_the_command_explains_the_test_clips(trained, clips, corpus, signals, tmp_path, capsys):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    record = {**vars(trained.record), "corpus": None, "left_out": {}, "data_path": str(corpus)}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    output = folder / "explained/tests"
    assert main(["explain", str(folder), "--cache", str(signals), "--data"]) == 0
    assert {path.name for path in output.iterdir()} == {
        "embedding.png", "embedding.svg", "shares.png", "shares.svg", "shares.csv",
        "explanation.json",
    }  # fmt: skip
    table = pd.read_csv(output / "shares.csv", dtype={"speaker": str})
    tested = [clip.id for clip in clips if clip.speaker in record["speakers"]["test"]]
    assert sorted(table["id"]) == sorted(tested)
    text = json.loads((output / "explanation.json").read_text(encoding="utf-8"))
    assert text["shares"]["audio"] == pytest.approx(table["audio"].mean())
    assert text["silhouette"]["speaker"] is None, "one speaker is tested"
    assert "Silhouette" in capsys.readouterr().out


def test_a_clip_is_compared_with_training_clips_where_they_are(trained, corpus, signals, recording,
                                                              tmp_path, monkeypatch):  # fmt: skip
    folder, provided = shutil.copytree(trained.folder, tmp_path / "run"), []
    record = {**vars(trained.record), "corpus": None, "left_out": {}, "data_path": str(corpus)}

    def explain_clip(model, preset, labels, signal, name, folder, target, train, load):
        provided.append((folder, {clip.speaker for clip in train}))
        text = {"title": name, "difference": 1.0, "baseline": "", "steps": 1, "shares": {}}
        return text | {"completeness_error": 0.0}

    monkeypatch.setattr(explanations, "explain_clip", explain_clip)
    arguments = ["explain", str(folder), str(recording), "--cache", str(signals)]
    for changed in ({}, {"data": "of other clips"}):
        (folder / "run.json").write_text(json.dumps(record | changed), encoding="utf-8")
        assert main(arguments) == 0
    assert main([*arguments, "--label", "sad", "--data", str(corpus)]) == 0
    place, trained_on = (
        folder / "explained/clips" / recording.stem,
        set(record["speakers"]["train"]),
    )
    labelled = place.with_name(f"{place.name}-sad")
    assert provided == [(place, trained_on), (place, set()), (labelled, trained_on)]


def test_other_test_clips_are_refused_as_evaluation_does(trained, clips, tmp_path):
    other = splits.split(clips, "speaker-kfold", 1)
    with pytest.raises(ValueError, match="must not have been trained on"):
        explain_tests(trained, other, None, tmp_path / "why")
    strange = replace(other, test=[replace(clips[0], label="bored", speaker="99")])
    with pytest.raises(ValueError, match="Received: bored"):
        explain_tests(trained, strange, None, tmp_path / "why")
    assert not (tmp_path / "why").exists()


def test_three_clips_of_new_speakers_are_explained(trained, clips, signals, tmp_path):
    few = replace(splits.split(clips, "speaker-kfold", 0), train=clips[-3:])
    few = replace(few, train=[replace(clip, speaker="99") for clip in few.train])
    load = SignalCache(trained.spec, signals).load
    text = explain_tests(trained, replace(few, test=few.test[:3]), load, tmp_path)
    assert text["clips"] == 3 and "an absent input" in text["baseline"]
    assert not list(tmp_path.glob("embedding.*")) and (tmp_path / "shares.svg").is_file()


@pytest.fixture(scope="module")
def tabular(tmp_path_factory):
    """An untrained run on values that are no pictures."""
    folder = tmp_path_factory.mktemp("tabular")
    preset = models.preset("action_unit_bilstm")
    record = {"preset": preset.to_json(), "labels": labels.RAVDESS, "detector": None, "window": 3.0}
    models.build_model(preset, 8).save(folder / "model.keras")
    write_text(folder / "run.json", json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("run", "more", "text"),
    [
        ("trained", [], "explain takes CLIP or --data"),
        ("trained", ["nowhere.mp4"], "nowhere.mp4"),
        ("trained", ["CLIP", "--label", "bored"], "--label must be one of neutral, calm"),
        ("trained", ["--data", "nowhere"], "nowhere"),
        ("nowhere", ["CLIP"], "nowhere is not a run"),
        ("tabular", ["CLIP"], "reads neither an MFCC map nor frames"),
    ],
)
def test_a_mistake_is_one_line(run, more, text, trained, tabular, recording, tmp_path, capsys):
    folder = {"trained": trained.folder, "tabular": tabular}.get(run, tmp_path / run)
    more = [str(recording) if word == "CLIP" else word for word in more]
    assert main(["explain", str(folder), *more, "--output", str(tmp_path / "why")]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1
    assert not (tmp_path / "why").exists()
