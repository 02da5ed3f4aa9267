"""Evaluation: the numbers of a run, on speakers it has never met, and their mean over folds."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emotion.cli.main import main
from emotion.data import splits
from emotion.evaluation import evaluate, plots, results
from emotion.inference.recognizer import Recognizer
from emotion.run import Run, identity, weights_digest
from emotion.signals.cache import SignalCache


@pytest.fixture(scope="module")
def load(trained, signals):
    return SignalCache(trained.preset.spec("haar"), signals).load


@pytest.fixture(scope="module")
def split(trained, clips):
    return splits.split(clips, trained.record.protocol, trained.record.fold)


@pytest.fixture(scope="module")
def tested(trained, split, load):
    return evaluate.evaluate_run(trained, split, load)


def test_metrics_are_those_of_the_predictions(tested):
    table, measured = tested.predictions, tested
    assert measured.war == pytest.approx((table["label"] == table["predicted"]).mean())
    by_class = (table["label"] == table["predicted"]).groupby(table["label"]).mean()
    assert measured.uar == pytest.approx(by_class.mean())
    assert np.sum(measured.confusion) == measured.clips == len(table)
    assert np.allclose(table[measured.labels].sum(axis=1), 1, atol=1e-5)
    assert measured.speakers == sorted(set(table["speaker"]))
    assert measured.modality == "both" and measured.adapted_to_test_speaker is False


@pytest.mark.parametrize("modality", ["audio", "video"])
def test_a_modality_is_zero(trained, split, load, tested, modality):
    changed = evaluate.evaluate_run(trained, split, load, without=modality)
    assert changed.without == modality and tested.without is None
    assert results.aggregate([changed]).without == modality
    inputs = trained.preset.extract(load(split.test[0]))
    inputs[modality] = np.zeros_like(inputs[modality])
    logits = trained.model().predict_on_batch({name: x[None] for name, x in inputs.items()})
    expected = np.exp(logits[0]) / np.exp(logits[0]).sum()
    row = changed.predictions.loc[0, list(trained.labels)].to_numpy(float)
    np.testing.assert_allclose(row, expected, atol=1e-4)


def test_a_run_is_measured_by_speaker_and_group(tested, trained):
    measured, labels = tested, trained.labels
    assert set(measured.groups) == {"speaker", "sex", "intensity", "statement", "channel"}
    assert set(measured.intervals["recall"]) == set(labels)
    sexes = measured.groups["sex"]["groups"]
    assert sum(group["clips"] for group in sexes.values()) == len(tested.predictions)
    assert 0 <= measured.ece <= 1
    assert sum(item["clips"] for item in measured.calibration) == measured.clips
    json.loads(json.dumps(measured.to_json(), allow_nan=False))


def test_what_is_no_modality_of_the_run_is_refused(trained, split, load):
    with pytest.raises(ValueError, match="audio or video.*Received: without=smell"):
        evaluate.evaluate_run(trained, split, load, without="smell")


def test_the_command_leaves_a_modality_out(trained, corpus, signals, tmp_path, capsys):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    record = {**vars(trained.record), "corpus": None, "left_out": {}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    arguments = ["evaluate", str(folder), "--cache", str(signals), "--data", str(corpus)]
    arguments += ["--workers", "0"]
    assert main([*arguments, "--without", "video"]) == 0
    assert capsys.readouterr().out.endswith(", without video\n")
    measured = results.Evaluation.read(folder / "without-video")
    assert measured.without == "video"
    assert not (folder / "metrics.json").exists()
    (folder / "run.json").write_text(
        json.dumps({**record, "data": "of other clips"}), encoding="utf-8"
    )
    stored = (folder / "without-video/metrics.json").stat().st_mtime_ns
    assert main([*arguments, "--without", "video"]) == 2
    assert "name an --output" in capsys.readouterr().err
    assert main([*arguments, "--without", "video", "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/metrics.json").is_file()
    assert (folder / "without-video/metrics.json").stat().st_mtime_ns == stored


@pytest.mark.parametrize("protocol", ["speaker-kfold", "random"])
def test_speakers_that_were_trained_on_are_refused(trained, clips, load, protocol):
    with pytest.warns() if protocol == "random" else nullcontext():
        other = splits.split(clips, protocol, 1)
    with pytest.raises(ValueError, match="must not have been trained on"):
        evaluate.evaluate_run(trained, other, load)


def test_clips_of_a_random_split_must_be_those_it_was_made_with(trained, clips):
    with pytest.warns(UserWarning, match="same speakers"):
        individual, anew = [splits.split(some, "random", 0) for some in (clips, clips[1:])]
    record = {
        "protocol": "random",
        "fold": 0,
        "speakers": individual.speakers,
        "data": identity(individual),
    }
    run = Run(trained.folder, replace(trained.record, **record))
    evaluate.check(run, individual)
    assert {clip.id for clip in anew.test} & {clip.id for clip in individual.train}
    with pytest.raises(ValueError, match="must not have been trained on"):
        evaluate.check(run, anew)


def test_labels_the_run_does_not_know_are_refused(trained, clips, split, load):
    strange = replace(clips[0], label="bored", speaker="99")
    with pytest.raises(ValueError, match="Received: bored"):
        evaluate.evaluate_run(trained, replace(split, test=[strange]), load)


def test_folds_are_averaged_and_pooled(tested):
    half = len(tested.predictions) // 2
    worse = replace(tested, uar=0.0, fold=1, predictions=tested.predictions[:half])
    joined = results.aggregate([tested, worse])
    assert joined.means["uar"] == pytest.approx(tested.uar / 2)
    table = pd.concat([tested.predictions, worse.predictions])
    right = table["label"] == table["predicted"]
    assert joined.uar == pytest.approx(right.groupby(table["label"]).mean().mean())
    assert joined.war == pytest.approx(right.mean()) and joined.stds["war"] == 0
    assert joined.text("uar") == f"{joined.means['uar']:.3f} ± {joined.stds['uar']:.3f}"
    assert tested.text("uar") == f"{tested.uar:.3f}"
    assert joined.stds["uar"] == pytest.approx(tested.uar / 2)
    assert joined.clips == len(tested.predictions) + half
    assert joined.folds == {"0": tested.uar, "1": 0.0}


def test_loss_and_accuracies_are_averaged_over_folds(tested):
    labels, (first, second) = tested.labels, ((0.5, 0.75, 0.25), (1.5, 0.25, 0.25))
    names = ("loss", *results.ACCURACIES)
    reports = [replace(tested, **dict(zip(names, values))) for values in (first, second)]
    joined = results.aggregate(reports)
    assert (joined.means["loss"], joined.stds["loss"]) == (1.0, 0.5)
    assert joined.loss == results.measure(tested.predictions, labels).loss
    assert (joined.train_accuracy, joined.stds["train_accuracy"]) == (0.5, 0.25)
    assert replace(joined, folds={"0": 0, "1": 0}).accuracies() == (
        "train accuracy 0.500 ± 0.250, validation 0.250 ± 0.000, "
        f"test {joined.war:.3f} ± 0.000; test loss 1.000 ± 0.500"
    )
    lacking = replace(reports[0], **dict.fromkeys(names))
    for other in (lacking, replace(tested, loss=None)):
        joined = results.aggregate([reports[0], other])
        assert [getattr(joined, name) for name in names] == [None] * 3
        assert not set(names) & joined.means.keys()


def test_each_fold_is_cooled_by_a_separate_temperature(tested):
    labels = tested.labels
    heated = [
        replace(tested, **results._calibrated([(tested.predictions, t, t / 10)], labels))
        for t in (0.5, 4.0)
    ]
    joined = results.aggregate(heated)
    assert joined.temperature == 2.25 and joined.stds["temperature"] == 1.75
    assert joined.threshold == pytest.approx(0.225)
    answered = [scored.answered for scored in (joined, *heated)]
    assert answered[0] == pytest.approx((answered[1] + answered[2]) / 2)
    sure = [
        sum(
            item["clips"] * item["confidence"] for item in scored.calibration_after if item["clips"]
        )
        for scored in (joined, *heated)
    ]
    assert sure[0] == pytest.approx(sure[1] + sure[2]) and sure[1] > sure[2]
    item = replace(heated[0], temperature=None)
    assert results.aggregate([*heated, item]).temperature is None


def test_only_disturbances_that_reached_every_fold_are_pooled(tested):
    def row(kind, level, right):
        return {"kind": kind, "level": level, "confusion": [[right, 4 - right], [0, 4]]}

    noise, dark = [row("noise", 10.0, n) for n in (1, 3)], row("darkness", 0.5, 2)
    without_audio = row("without", "audio", 4)
    rows = [[noise[0], dark, without_audio], [noise[1], without_audio]]
    reports = [replace(tested, robustness=individual) for individual in rows]
    for some in (reports, reports[::-1]):
        joined = results.aggregate(some).robustness
        assert [(item["kind"], item["level"]) for item in joined] == [
            ("noise", 10.0), ("without", "audio")
        ]  # fmt: skip
        assert joined[0]["confusion"] == [[4, 4], [0, 8]] and joined[0]["uar"] == 0.75


def test_files_are_written_whole(tested, tmp_path):
    tested.save(tmp_path)
    again = results.Evaluation.read(tmp_path)
    assert again.to_json() == json.loads(json.dumps(tested.to_json()))
    assert results.measure(again.predictions, tested.labels).groups == tested.groups
    table = pd.read_csv(tmp_path / "predictions.csv", dtype={"speaker": str})
    assert list(table.columns)[:4] == ["id", "speaker", "label", "predicted"]
    plots.confusion(tested, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "predictions.csv", "metrics.json", "confusion.png", "confusion.svg"
    }  # fmt: skip


def test_fused_scores_have_a_place(tested, tmp_path, monkeypatch):
    tested.save(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["fuse", "predictions.csv", "predictions.csv"]) == 0
    assert pd.read_csv("fused.csv")["id"].tolist() == tested.predictions["id"].tolist()


def test_views_are_mirrored_and_shifted():
    frames = np.arange(2 * 20 * 20 * 3, dtype=np.uint8).reshape(1, 2, 20, 20, 3)
    assert len(set(evaluate.VIEWS)) == 10 and evaluate.VIEWS[0] == (False, 0, 0)
    assert np.array_equal(evaluate._viewed(frames, *evaluate.VIEWS[0]), frames)
    assert np.array_equal(evaluate._viewed(frames, *evaluate.VIEWS[1]), frames[:, :, :, ::-1])
    moved = evaluate._viewed(frames, False, 0.05, -0.05)  # one pixel right and up
    assert np.array_equal(moved[:, :, :-1, 1:], frames[:, :, 1:, :-1])


def test_predictions_use_the_temperature_of_the_model_that_was_measured(trained, clips, tmp_path):
    for name in ("run.json", "model.keras"):
        shutil.copy(trained.folder / name, tmp_path / name)
    signal = SignalCache(trained.spec, tmp_path / "cache").load(clips[0])
    raw = Recognizer(tmp_path).predict([signal])
    for model, temperature in ((weights_digest(tmp_path), 2.0), ("another", 1.0)):
        (tmp_path / "metrics.json").write_text(
            json.dumps({"model": model, "temperature": 2.0}), encoding="utf-8"
        )
        expected = raw ** (1 / temperature)
        expected /= expected.sum()
        np.testing.assert_allclose(Recognizer(tmp_path).predict([signal]), expected, atol=1e-5)
