"""`evaluate RUN`: numbers, temperature, robustness and pictures in one command."""

import html
import json
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from emotion import plotting
from emotion.cli import printing
from emotion.cli.main import main
from emotion.data import splits
from emotion.evaluation import evaluate, plots, results
from emotion.experiments import completion
from emotion.metrics import calibration
from emotion.run import Run
from emotion.signals.cache import SignalCache

PICTURES = ("confusion", "recall", "reliability", "groups", "robustness")


@pytest.fixture(scope="module")
def split(trained, clips):
    record = trained.record
    return splits.split(clips, record.protocol, record.fold, record.seed)


@pytest.fixture(scope="module")
def load(trained, signals):
    return SignalCache(trained.preset.spec("haar"), signals).load


@pytest.fixture(scope="module")
def folder(trained, corpus, signals, tmp_path_factory):
    """The folder that `evaluate RUN` has left all in, and what it said."""
    folder = shutil.copytree(trained.folder, tmp_path_factory.mktemp("full") / "run")
    record = {**vars(trained.record), "corpus": None, "left_out": {}, "data_path": str(corpus)}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def measured(folder, signals):
    assert main(["evaluate", str(folder), "--cache", str(signals), "--workers", "0"]) == 0
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_metrics_are_those_of_the_files_beside_them(folder, measured):
    tables = [
        pd.read_csv(folder / f"{name}.csv", dtype={"speaker": str})
        for name in ("predictions", "validation")
    ]
    again = {
        name: value
        for name, value in results.measure(tables[0], measured["labels"]).to_json().items()
        if value is not None
    }
    again |= results.calibrate(*tables, measured["labels"])
    again["validation_accuracy"] = (tables[1]["label"] == tables[1]["predicted"]).mean()
    assert set(tables[1]["speaker"]) == set(measured["validation_speakers"])
    assert again.keys() | {"robustness", "train_accuracy"} < measured.keys()

    def same(item, two):
        if isinstance(item, dict):
            return item.keys() == two.keys() and all(same(item[k], two[k]) for k in item)
        if isinstance(item, list):
            return len(item) == len(two) and all(map(same, item, two))
        return item == two or item == pytest.approx(two, abs=1e-5)

    assert [name for name in again if not same(again[name], measured[name])] == []


@pytest.mark.slow
def test_robustness_has_every_kind_and_a_missing_modality_is_its_zeros(
    trained, split, load, measured
):
    rows = {(item["kind"], item["level"]): item for item in measured["robustness"]}
    assert [level for kind, level in rows if kind == "noise"] == [30, 20, 10, 5, 0]
    assert [level for kind, level in rows if kind == "darkness"] == [0.75, 0.5, 0.25, 0.1]
    assert [level for kind, level in rows if kind == "blur"] == [1, 2, 4]
    assert len(rows) == 14
    for modality in ("audio", "video"):
        zeros = evaluate.evaluate_run(trained, split, load, without=modality)
        row = rows["without", modality]
        assert (row["uar"], row["war"]) == (zeros.uar, zeros.war)


@pytest.mark.slow
def test_all_is_drawn_in_both_formats(folder, measured):
    for name in PICTURES:
        assert np.ptp(imread(folder / f"{name}.png")) > 0.5
        assert (folder / f"{name}.svg").read_text(encoding="utf-8").count("<path") > 20


@pytest.mark.slow
def test_the_screen_says_it(folder, measured):
    said = printing.report("RUN", results.Evaluation.read(folder))
    assert f"UAR {measured['uar']:.3f}" in said and f"ECE {measured['ece']:.3f}" in said
    assert "10: " in said and "without" in said and "come from a table" not in said


def test_temperature_is_fitted_on_validation_speakers_alone(trained, split, load, monkeypatch,
                                                            tmp_path):  # fmt: skip
    asked, fitted, predict = [], [], evaluate.predict

    def predicted(run, clips, *rest, **named):
        asked.append({clip.speaker for clip in clips})
        return predict(run, clips, *rest, **named)

    def fit(targets, logits):
        fitted.append((targets, logits))
        return 2.0

    monkeypatch.setattr(evaluate, "predict", predicted)
    monkeypatch.setattr(calibration, "temperature", fit)
    monkeypatch.setattr(completion.robustness, "curves", lambda *_: [])
    monkeypatch.setattr(completion.plots, "draw", lambda *_: None)
    scored = completion.full(trained, split, load, tmp_path)
    roles = trained.record.speakers
    assert asked == [set(roles[part]) for part in ("test", "validation", "train")]
    ((targets, logits),) = fitted
    table = pd.read_csv(tmp_path / "validation.csv")
    assert table["id"].tolist() == [clip.id for clip in split.validation]
    assert targets.tolist() == table["label"].map(trained.labels.index).tolist()
    np.testing.assert_allclose(np.exp(logits), table[list(trained.labels)], atol=1e-6)
    saved = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert saved.pop("version") and saved["temperature"] == 2.0
    assert saved == json.loads(json.dumps(scored.to_json()))
    cooled = np.sqrt(scored.predictions[list(trained.labels)].to_numpy(float))
    confidence = (cooled / cooled.sum(axis=1, keepdims=True)).max(axis=1)
    bins = [item for item in saved["calibration_after"] if item["clips"]]
    assert sum(item["clips"] * item["confidence"] for item in bins) == pytest.approx(
        confidence.sum()
    )


@pytest.fixture(scope="module")
def completed(trained, split, load, tmp_path_factory):
    """The run as training leaves it, and its Evaluation."""
    folder = shutil.copytree(trained.folder, tmp_path_factory.mktemp("completed") / "run")
    run = Run(folder, trained.record)
    return run, completion.complete(run, split, load)


def test_training_ends_with_accuracies_loss_and_pictures(completed, split, load):
    run, scored = completed
    saved = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8"))
    assert saved.pop("version") and saved == json.loads(json.dumps(scored.to_json()))
    tables = {role: evaluate.predict(run, getattr(split, role), load)
              for role in ("train", "validation", "test")}  # fmt: skip
    shares = {role: (item["label"] == item["predicted"]).mean() for role, item in tables.items()}
    for role, name in (("train", "train_accuracy"), ("validation", "validation_accuracy"),
                       ("test", "war")):  # fmt: skip
        assert saved[name] == pytest.approx(shares[role]), role
    true = [row[row["label"]] for _, row in tables["test"].iterrows()]
    assert saved["loss"] == pytest.approx(-np.mean(np.log(true)), rel=1e-5)
    for name in ("curves", "confusion", "recall"):
        assert np.ptp(imread(run.folder / f"{name}.png")) > 0.5, name
    said = printing.report("RUN", scored).splitlines()
    assert (
        f"train accuracy {shares['train']:.3f}, validation {shares['validation']:.3f}, "
        f"test {shares['test']:.3f}; test loss {saved['loss']:.3f}"
    ) in said


def test_other_clips_than_the_run_s_have_no_accuracy_of_training(completed, split, load, tmp_path,
                                                                 monkeypatch):  # fmt: skip
    run, scored = completed
    monkeypatch.setattr(completion.robustness, "curves", lambda *_: [])
    monkeypatch.setattr(completion.plots, "draw", lambda *_: None)
    other = replace(split, train=split.train[:-1])
    measured = completion.full(run, other, load, tmp_path)
    assert [getattr(measured, name) for name in results.ACCURACIES] == [None, None]
    assert measured.loss == scored.loss
    assert f"test accuracy {measured.war:.3f}; test loss" in printing.report("RUN", measured)


def made(labels=("neutral", "calm"), **more):
    """Metrics of a coin toss: 8 clips of 2 speakers."""
    table = pd.DataFrame(
        {
            "id": range(8),
            "speaker": ["01", "02"] * 4,
            "label": [labels[i // 2 % 2] for i in range(8)],
            "predicted": [labels[i // 4] for i in range(8)],
            "sex": ["male", "female"] * 4,
        }
    )
    for label in labels:
        table[label] = np.where(table["predicted"] == label, 0.9, 0.1 / max(1, len(labels) - 1))
    measured = results.measure(table, labels)
    return replace(measured, **{"protocol": "speaker-kfold", "fold": 0, **more})


def said_of(*arguments, **more):
    return printing.report("RUN", made(*arguments, **more))


def test_too_sure_is_cooled():
    labels = ("happy", "sad")
    sure = pd.DataFrame({"label": ["happy"] * 7 + ["sad"] * 3, "happy": 0.99, "sad": 0.01})
    result = results.calibrate(sure, sure, labels)
    assert result["temperature"] > 2 and result["ece_calibrated"] < 0.01
    assert results.calibrate(sure, sure[:0], labels)["temperature"] is None
    worse = sure.assign(happy=0.01, sad=0.99)  # than to say nothing: no temperature is enough
    assert results.calibrate(sure, worse, labels)["ece_calibrated"] is None
    said = said_of(**result)
    assert f"temperature {result['temperature']:.3f}" in said
    assert f"ECE {result['ece_calibrated']:.3f}" in said


def test_a_table_has_nothing_to_disturb_and_the_screen_says_so():
    said = said_of(modality="both", robustness=[], temperature=None)
    assert "audio: nothing to disturb" in said and "video: nothing to disturb" in said
    assert "temperature: none" in said
    item = [{"kind": "noise", "level": 10.0, "uar": 0.25, "war": 0.5}]
    said = said_of(modality="audio", robustness=item)
    assert "10: 0.250" in said and "nothing to disturb" not in said
    assert "disturb" not in said_of() and "temperature" not in said_of()


def test_the_report_of_classes_is_that_of_the_counts():
    rows = {line.split()[0]: line.split()[1:] for line in said_of().splitlines()}
    assert rows["neutral"][:2] == ["0.500", "0.500"] and rows["neutral"][-2:] == ["0.500", "4"]
    said = said_of(("neutral", "calm", "surprised"))
    assert "calm" in said and "surprised" not in said  # neither true nor predicted


def test_a_bar_of_recall_has_the_colour_of_its_class(tmp_path):
    names = ("neutral", "calm", "surprised")
    measured = made(names)
    plots.recall(measured, tmp_path)
    drawn = (tmp_path / "recall.svg").read_text(encoding="utf-8").upper()
    shown = [clips > 0 for clips in np.sum(measured.confusion, axis=1)]
    assert [plotting.LOOKS[name][0] in drawn for name in names] == shown and True in shown


def test_pictures_of_a_class_without_clips_and_of_long_names_are_not_cut(tmp_path, monkeypatch):
    save, cut = plots.save, []

    def checked(figure, path):
        figure.draw_without_rendering()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        if min(box.x0, box.y0, width - box.x1, height - box.y1) < -0.01:
            cut.append(path.name)
        save(figure, path)

    monkeypatch.setattr(plots, "save", checked)
    rows = [{"kind": "noise", "level": 10.0, "uar": 0.25, "war": 0.5}]
    labels = ("pleasantly surprised", "contemptuous", "disgust")
    plots.draw(made(labels, robustness=rows), tmp_path)
    assert cut == []
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in PICTURES for kind in ("png", "svg")
    }


def test_a_run_whose_data_is_gone_is_one_line(trained, tmp_path, capsys):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    arguments = ["evaluate", str(folder), "--workers", "0"]
    assert main(arguments) == 2
    assert "name them with --data" in capsys.readouterr().err
    record = {**vars(trained.record), "data_path": str(tmp_path / "gone")}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(tmp_path / "gone") in error
    assert not (folder / "metrics.json").exists()


def test_the_numbers_of_a_run_stay_its_separate(trained, corpus, tmp_path, capsys):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    record = {**vars(trained.record), "corpus": None, "left_out": {}, "data": "of other clips"}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")

    def held():
        return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    there = held()
    provided = [str(folder), "--data", str(corpus)]
    for arguments in (["evaluate", *provided], ["report", *provided], ["explain", *provided]):
        assert main(arguments) == 2
        assert "name an --output" in capsys.readouterr().err
        assert held() == there
    assert main(["evaluate", str(folder), str(folder), "--output", str(tmp_path)]) == 2
    assert "--output is for one RUN" in capsys.readouterr().err


@pytest.fixture
def of_folds(trained, clips, corpus, signals, tmp_path):
    """A folder of two folds, which are one run under the names of two."""
    record = {**vars(trained.record), "corpus": None, "left_out": {}, "data_path": str(corpus)}
    for fold in (0, 1):
        folder = shutil.copytree(trained.folder, tmp_path / f"run/fold-{fold}")
        (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return tmp_path / "run"


@pytest.mark.slow
def test_folds_are_evaluated_together(of_folds, signals, capsys):
    arguments = ["evaluate", str(of_folds), "--cache", str(signals), "--workers", "0"]
    assert main(arguments) == 0
    whole, item = (
        json.loads((of_folds / part / "metrics.json").read_text(encoding="utf-8"))
        for part in ("", "fold-1")
    )
    assert whole["clips"] == 2 * item["clips"] and whole["uar_mean"] == pytest.approx(item["uar"])
    assert [row["uar"] for row in whole["robustness"]] == pytest.approx(
        [row["uar"] for row in item["robustness"]]
    )
    assert np.sum(whole["robustness"][0]["confusion"]) == whole["clips"]
    assert whole["temperature"] == item["temperature"] is None  # of a run that tells nothing
    assert all((of_folds / f"{name}.svg").is_file() for name in PICTURES)
    assert "temperature: none" in capsys.readouterr().out
    assert main([*arguments, "--fold", "1"]) == 2


@pytest.fixture
def scored(of_folds, trained, split, load):
    """`of_folds`, each scored by itself, in full as far as a page can tell."""
    scored = evaluate.evaluate_run(trained, split, load)
    row = {"kind": "noise", "level": 10.0, "uar": 0.125, "war": 0.125}
    cooled = results.calibrate(scored.predictions, scored.predictions, trained.labels)
    rows = [{**row, "confusion": scored.confusion}]
    for fold in (0, 1):
        replace(scored, robustness=rows, fold=fold, **cooled).save(of_folds / f"fold-{fold}")
    return of_folds


@pytest.mark.parametrize("count", [1, 2])
def test_a_page_of_folds_joins_what_was_scored_fold_by_fold(scored, corpus, monkeypatch, count):
    def never(*_):
        raise AssertionError("it was scored already")

    monkeypatch.setattr(completion, "full", never)
    monkeypatch.setattr(completion, "explain", lambda *_: None)
    monkeypatch.setattr(plots, "draw", lambda *_: None)
    for fold in range(count, 2):
        shutil.rmtree(scored / f"fold-{fold}")
    folder = scored.rename(scored.with_name("my run"))
    arguments = ["report", str(folder), "--data", str(corpus)]
    assert main([*arguments, "--workers", "0"]) == 0
    joined, page = (
        (folder / "metrics.json").read_text(encoding="utf-8"),
        (folder / "report.html").read_text(encoding="utf-8"),
    )
    assert [*json.loads(joined)["folds"]] == ["0", "1"][:count]
    assert "SNR 10 dB" in page and "With the temperature" in page
    assert shlex.join(["python", "-m", "emotion", *arguments]) in html.unescape(page)
    poor = {name: item for name, item in json.loads(joined).items() if name != "robustness"}
    (folder / "metrics.json").write_text(
        json.dumps(poor), encoding="utf-8"
    )  # as training leaves it
    assert main([*arguments, "--workers", "0"]) == 0
    assert (folder / "metrics.json").read_text(encoding="utf-8") == joined


def test_a_folder_of_one_fold_is_evaluated_there(of_folds, signals, monkeypatch):
    shutil.rmtree(of_folds / "fold-1")
    monkeypatch.setattr(completion.robustness, "curves", lambda *_: [])
    monkeypatch.setattr(plots, "draw", lambda *_: None)
    arguments = ["evaluate", str(of_folds), "--cache", str(signals), "--workers", "0"]
    assert main(arguments) == 0
    item, whole = (
        json.loads((of_folds / part / "metrics.json").read_text(encoding="utf-8"))
        for part in ("fold-0", "")
    )
    assert whole["folds"] == {"0": item["uar"]}


def test_predictions_of_other_clips_are_passed_over(trained, split, load, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    run = Run(shutil.copytree(trained.folder, folder), trained.record)
    scored, explained = evaluate.evaluate_run(trained, split, load), []
    scored.save(folder)
    monkeypatch.setattr(completion, "explain_tests", lambda *_: None)
    monkeypatch.setattr(
        completion,
        "explain_clip",
        lambda *arguments: explained.append((arguments[4], arguments[5].name)),
    )
    completion.explain(run, split, load)
    (wrong,) = [id for id, part in explained if part == "wrong"]
    explained.clear()
    rest = [clip for clip in split.test if clip.id != wrong]
    completion.explain(run, replace(split, test=rest), load)
    assert wrong not in [id for id, _ in explained] and len(explained) == 2


def test_a_manifest_of_test_clips_is_enough(trained, clips, signals, tmp_path, capsys,
                                            monkeypatch):  # fmt: skip
    monkeypatch.setattr(completion.robustness, "curves", lambda *_: [])
    manifest = tmp_path / "mine.csv"
    rows = [f"{i},{c.label},me,{c.audio},{c.video},test" for i, c in enumerate(clips[:3])]
    manifest.write_text("\n".join(["id,label,speaker,audio,video,split", *rows]), encoding="utf-8")
    arguments = ["evaluate", str(trained.folder), "--cache", str(signals), "--workers", "0"]
    arguments += ["--data", str(manifest), "--protocol", "manifest"]
    assert main(arguments) == 2
    assert "name an --output" in capsys.readouterr().err
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))
    assert (measured["clips"], measured["speakers"]) == (3, ["me"])
    assert measured["temperature"] is None


def test_a_run_is_tested_under_another_protocol(trained, corpus, signals, tmp_path, capsys,
                                                monkeypatch):  # fmt: skip
    monkeypatch.setattr(completion.robustness, "curves", lambda *_: [])
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    arguments = ["evaluate", str(folder), "--cache", str(signals), "--workers", "0"]
    arguments += ["--data", str(corpus), "--protocol", "speaker-kfold-3"]
    assert main(arguments) == 2
    assert "name an --output" in capsys.readouterr().err
    arguments += ["--output", str(tmp_path / "out")]
    assert main([*arguments, "--fold", "1"]) == 2  # its test speakers were trained on
    assert "trained on" in capsys.readouterr().err
    record = {**vars(trained.record), "speakers": {"train": [], "validation": [], "test": []}}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert main([*arguments, "--fold", "1"]) == 0
    measured = json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))
    assert (measured["protocol"], measured["fold"]) == ("speaker-kfold-3", 1)
    assert measured["temperature"] is None and not (folder / "metrics.json").exists()
