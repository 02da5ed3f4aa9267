"""Comparison: the same clips, folds and seeds for all; broken off anywhere, the same table."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from callbacks import RunState
from emotion import encoders, models
from emotion.cli.main import main
from emotion.data import corpora, splits
from emotion.evaluation import plots
from emotion.evaluation.results import Evaluation
from emotion.experiments import comparison, completion, summary
from emotion.training.train import load_run
from tests.encoders.test_wav2vec2 import STABLE, publish
from tests.models.test_action_units import write_table
from tests.models.test_models import small
from tests.training.test_train import contents

PRESETS = "action_unit_bilstm,cnn3d_mfcc"
SCORES = [f"{name}{end}" for name in summary.SCORES for end in ("", "_std")]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "au_mfcc.pkl")


@pytest.fixture
def run(corpus, table, signals, tmp_path):
    """Runs the command on the synthetic corpus and the table; returns its exit code."""

    def run(out, *more, data=corpus, presets=PRESETS, modalities="audio", workers=0):
        arguments = ["compare", "--data", data, "--presets", presets, "--modalities", modalities,
                     "--protocol", "speaker-kfold", "--output", tmp_path / out, "--cache", signals,
                     "--workers", workers, "--face-detector", "haar", *more]  # fmt: skip
        return main(list(map(str, arguments)))

    return run


def names(entries):
    return [entry.name for entry in entries]


def test_each_preset_has_the_modalities_that_it_has():
    both = models.preset("cnn3d_mfcc")
    result = comparison.entries([both, both.only("audio")], detector="haar", epochs=3)
    assert names(result) == [f"cnn3d_mfcc-{m}" for m in ("audio", "video", "both", "audio")]
    assert [entry.signals.spec.detector for entry in result] == ["none", "haar", "haar", "none"]
    assert {entry.preset.recipe.epochs for entry in result} == {3}
    with pytest.raises(ValueError, match="no preset has one of the modalities video"):
        comparison.entries([both.only("audio")], ["video"])


def test_all_use_the_clips_that_each_can_use(clips, table, signals):
    presets = [models.preset(name) for name in ("mfcc_action_units", "cnn3d_mfcc")]
    entries = comparison.entries(presets, ["audio", "both"], detector="haar", cache_folder=signals)
    stored = [replace(clip, table=table) for clip in clips]
    stored[:3] = clips[0], replace(clips[1], audio=None), replace(clips[2], video=None)
    fit, used, unfit, left_out = comparison.usable(entries, stored)
    assert names(fit) == names(entries) and unfit == {}
    assert used == stored[3:] and left_out.keys() == {clip.id for clip in clips[:3]}
    fit, used, unfit, _ = comparison.usable(entries, clips[:2])  # no table
    assert names(fit) == ["mfcc_action_units-audio", "cnn3d_mfcc-audio", "cnn3d_mfcc-both"]
    assert list(unfit) == ["mfcc_action_units-both"] and used == clips[:2]
    assert "no action units (from a table)" in unfit["mfcc_action_units-both"]
    stored = [clips[0], *(replace(clip, video=None) for clip in clips[1:5])]
    fit, used, unfit, _ = comparison.usable(entries, stored)
    assert names(fit) == ["mfcc_action_units-audio", "cnn3d_mfcc-audio"] and used == stored
    assert unfit["cnn3d_mfcc-both"].startswith("it can use 1 of 5 clips: ")


def test_weights_that_cannot_be_fetched_leave_a_preset_out(clips, signals, monkeypatch):
    def unreachable(encoder, source):
        assert source == "imagenet"
        raise ConnectionError("the weights cannot be fetched")

    monkeypatch.setattr(encoders.resnet, "load_weights", unreachable)
    entries = comparison.entries(
        [small("mean_mfcc_resnet18_transformer")], detector="haar", cache_folder=signals
    )
    stored = [replace(clips[0], video=None), clips[1]]
    fit, used, unfit, _ = comparison.usable(entries, stored)
    assert names(fit) == ["mean_mfcc_resnet18_transformer-audio"] and used == stored
    assert set(unfit.values()) == {"the weights cannot be fetched"} and len(unfit) == 2
    for weights in (["none"], ["resnet18=none"]):
        assert comparison.usable(entries, stored, encoder_weights=weights)[0] == entries
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match="no ResNet-18 weights at absent"):
        comparison.usable(entries, stored, encoder_weights=["resnet18=absent"])


def test_weights_of_another_size_can_be_compared(clips, signals, tmp_path):
    folder = publish(tmp_path / "large", STABLE)
    entries = comparison.entries(
        [models.preset("wav2vec2_resnet50")], ["audio"], cache_folder=signals
    )
    weights = [f"wav2vec2={folder}"]
    assert comparison.usable(entries, clips[:2], encoder_weights=weights)[0] == entries


def test_mistakes_are_one_line_and_leave_nothing(run, tmp_path, capsys):
    for more, text in (
        ({"presets": "cnn3d"}, "must be one of cnn3d_mfcc"),
        ({"modalities": "sound"}, "Received: sound"),
        ({"more": ["--epochs", "0"]}, "must be positive"),
        ({"more": ["--seeds", "1,x"]}, "--seeds must be numbers"),
        ({"more": ["--fold", "last"]}, "--fold must be numbers"),
        ({"data": tmp_path / "none"}, "none"),
    ):
        assert run("out", *more.pop("more", []), **more) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and text in error
    assert list(tmp_path.iterdir()) == []


def finished(folder, values):
    """Folders of runs as `compare` leaves them, one a value; no model is trained."""
    preset = models.preset("cnn3d_mfcc").only("audio")
    for seed, value in enumerate(values):
        run = folder / "cnn3d_mfcc-audio" / f"seed-{seed}-fold-0"
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"preset": preset.to_json()}), encoding="utf-8")
        scores = {"uar": value, "war": value / 2, "top_1": value / 2, "loss": 1 + value}
        Evaluation(pd.DataFrame([dict(id="a", label="sad", predicted="sad")]), **scores).save(run)
        (run / "timing.json").write_text(
            json.dumps({"clips": 10, "seconds": {"1": 5, "2": 2}}), encoding="utf-8"
        )
        yield run
    (run.parent / "cost.json").write_text(
        '{"trainable_parameters": 1234567, "window_ms": 8.25}', encoding="utf-8"
    )


def test_a_row_is_the_mean_of_its_runs(tmp_path):
    table = summary.summarize(list(finished(tmp_path, (0.25, 0.75))))
    (row,) = table.to_dict("records")
    assert row["uar"] == 0.5 and row["uar_std"] == 0.25 and row["war"] == 0.25
    assert np.isnan(row["top_5"]) and row["runs"] == 2
    assert row["loss"] == 1.5 and row["loss_std"] == 0.25
    assert row["training_clips_per_second"] == 3.5  # the median of 2 and 5, twice
    line = summary.markdown(table).splitlines()[2]
    assert line == ("| cnn3d_mfcc | audio | 0.500 ± 0.250 | 0.250 ± 0.125 | 0.250 ± 0.125 | n/a | "
                    "1.500 ± 0.250 | 1 234 567 | 3.5 | 8.2 | 2 |")  # fmt: skip
    plots.comparison(table, 0.125, "title", tmp_path)
    assert (tmp_path / "comparison.png").stat().st_size > 5000
    (row,) = table.assign(runs=1).itertuples()
    assert summary.spread(row, "uar") == "0.500"  # of one run, no deviation
    path = tmp_path / "cnn3d_mfcc-audio/seed-0-fold-0/metrics.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace("1.25", "null"), encoding="utf-8"
    )  # scores without probabilities
    again = summary.summarize(sorted(path.parents[1].glob("seed-*")))
    assert np.isnan(again["loss"][0])


@pytest.mark.slow
def test_broken_off_and_started_again_it_is_the_same_table(
    run, table, tmp_path, monkeypatch, capsys
):
    more = ["--features", table, "--epochs", "2", "--fold", "0", "--seeds", "1,2"]
    assert run("whole", *more, workers=1) == 0  # each run in a process of its own
    assert "run 4 of 4, about 0:0" in capsys.readouterr().err
    save, complete, calls = RunState._save, completion.complete, []

    def save_then_stop(self):
        save(self)
        calls.append(self.epoch)
        if calls == [1, 2, "scored", 1]:  # the first epoch of the second run
            raise KeyboardInterrupt

    def stop_before_scores(*arguments):
        calls.append("scored")
        if calls.count("scored") == 2:
            raise OSError(28, "No space left on device")
        return complete(*arguments)

    monkeypatch.setattr(RunState, "_save", save_then_stop)
    monkeypatch.setattr(completion, "complete", stop_before_scores)
    assert run("cut", *more) == 130
    partial = pd.read_csv(tmp_path / "cut/comparison.csv")
    assert partial["runs"].tolist() == [1] and partial["preset"].tolist() == ["action_unit_bilstm"]
    assert run("cut", *more) == 2 and "No space" in capsys.readouterr().err
    assert run("cut", *more) == 0
    assert calls.count(1) == calls.count(2) == 4  # no epoch twice

    whole, cut = (pd.read_csv(tmp_path / name / "comparison.csv") for name in ("whole", "cut"))
    same = ["preset", "modality", *SCORES, "trainable_parameters", "runs"]
    pd.testing.assert_frame_equal(whole[same], cut[same])
    assert whole["runs"].tolist() == [2, 2]
    assert (whole[["training_clips_per_second", "window_ms"]] > 0).all(axis=None)
    folders = sorted((tmp_path / "whole").glob("*/seed-*"))
    assert len(folders) == 4
    for folder in folders:
        other = tmp_path / "cut" / folder.relative_to(tmp_path / "whole")
        assert contents(load_run(folder)) == contents(load_run(other))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut").rglob("*/*") if p.is_file()}
    assert sum(path.name == "model.keras" for path in before) == 4
    tables = [tmp_path / "cut" / f"comparison.{kind}" for kind in ("csv", "md")]
    texts = [path.read_bytes() for path in tables]
    capsys.readouterr()
    assert run("cut", *more) == 0
    assert capsys.readouterr().err.count("run ") == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [path.read_bytes() for path in tables] == texts

    assert run("cut", *more[:2], "--epochs", "3", *more[4:]) == 2
    assert "preset.recipe.epochs: 2 then, 3 now" in capsys.readouterr().err
    assert run("cut", *more[:-1], "1,2,3", modalities="audio", presets="action_unit_bilstm") == 0
    assert pd.read_csv(tmp_path / "cut/comparison.csv")["runs"].tolist() == [3]


@pytest.mark.slow
def test_a_preset_that_cannot_run_is_left_out_with_the_reason(run, table, tmp_path, capsys):
    arguments = {"data": table, "presets": "all", "modalities": "both"}
    assert run("out", "--epochs", "1", "--fold", "0", **arguments) == 0
    text = capsys.readouterr()
    lines = [item.partition(", since ")[0] for item in text.err.splitlines() if "Left out" in item]
    left_out = {name for name in models.PRESETS if any(f"{name}-both" in item for item in lines)}
    assert left_out == set(models.PRESETS) - {"action_unit_bilstm", "face_expression"}
    assert len(lines) < len(left_out)  # those of one reason share a line
    assert "Left out: cnn3d_mfcc-both, " in (tmp_path / "out/comparison.md").read_text(
        encoding="utf-8"
    )
    assert "| action_unit_bilstm | both |" in text.out
    assert len(splits.split(corpora.clips(table), "speaker-kfold", 0).test) > 0
    record = load_run(tmp_path / "out/action_unit_bilstm-both/seed-0-fold-0").record
    assert record.corpus == "table" and record.corpus_guessed
    assert run("out", presets="cnn3d_mfcc", data=table) == 2
    assert "no preset can run on this data" in capsys.readouterr().err
