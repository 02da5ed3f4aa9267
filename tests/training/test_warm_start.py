"""Trainings that begin with the weights of other runs: their branches, or all that fits."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import train_model
from emotion import models
from emotion.data import corpora, labels, splits
from emotion.signals.cache import SignalCache
from emotion.training.train import Training, load_run, train
from emotion.training.warm_start import Initial, Pretrained
from tests.models.test_action_units import write_table
from tests.training.test_train import contents

BRANCHES = {f"{name}_{part}" for name in ("audio", "video") for part in ("scale", "lstm0", "lstm1")}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "au_mfcc.pkl")


@pytest.fixture(scope="module")
def start(table):
    """Trains a small run on the table; keyword arguments change it."""

    def start(folder, modality="both", initial=None, resume=False, fold=0, epochs=1):
        preset = models.preset("action_unit_bilstm").only(modality)
        preset = replace(preset, recipe=replace(preset.recipe, epochs=epochs, warmup_epochs=0))
        split = splits.split(corpora.clips(table), "speaker-kfold", fold)
        signals = SignalCache(preset.spec())
        training = Training(preset, split, labels.RAVDESS, signals, initial=initial)
        return train(training, folder, resume=resume)

    return start


@pytest.fixture(scope="module")
def single(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    return {name: start(folder / name, name).folder for name in ("audio", "video")}


def weights(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def equal(item, other):
    return len(item) == len(other) and all(map(np.array_equal, item, other))


@pytest.mark.parametrize("freeze", [False, True])
def test_branches_are_copied_and_may_be_frozen(start, single, tmp_path, freeze):
    initial = Initial(single["audio"], single["video"], freeze)
    preset = models.preset("action_unit_bilstm")
    model = models.build_model(preset, 8)
    before = weights(model)
    split = {role: () for role in splits.ROLES}
    initial.load(model, preset, labels.RAVDESS, split, "speaker-kfold")
    arguments = {**weights(load_run(single["audio"]).model()),
             **weights(load_run(single["video"]).model())}  # fmt: skip
    after = weights(model)
    assert {name for name in after if equal(after[name], arguments[name])} == BRANCHES
    assert equal(after["logits"], before["logits"])

    run = start(tmp_path / "run", initial=initial)
    trained = weights(run.model())
    stored = {name for name in BRANCHES if equal(trained[name], after[name])}
    assert stored == (BRANCHES if freeze else set())
    assert not equal(trained["logits"], before["logits"])
    assert run.record.initial == initial.record and initial.record["frozen"] is freeze


def test_a_resume_is_exact_and_needs_the_same_runs(start, single, tmp_path):
    initial = Initial(single["audio"], single["video"], True)
    whole = start(tmp_path / "whole", initial=initial, epochs=3)
    start(tmp_path / "cut", initial=initial, epochs=1)
    thawed = Initial(single["audio"], single["video"], False)
    with pytest.raises(ValueError, match="initial.frozen: True then, False now"):
        start(tmp_path / "cut", initial=thawed, epochs=3, resume=True)
    with pytest.raises(ValueError, match="cannot be resumed .*initial: "):
        start(tmp_path / "cut", epochs=3, resume=True)
    cut = start(tmp_path / "cut", initial=initial, epochs=3, resume=True)
    assert contents(cut) == contents(whole)


def test_runs_that_do_not_fit_are_refused_and_leave_none(start, single, tmp_path):
    with pytest.raises(FileNotFoundError, match="not a run"):
        Initial(tmp_path, single["video"])
    with pytest.raises(ValueError, match="with audio alone. Received: .* with video"):
        start(tmp_path / "run", initial=Initial(single["video"], single["audio"]))
    with pytest.raises(ValueError, match="for a training with sound and picture"):
        start(tmp_path / "run", "audio", Initial(single["audio"], single["video"]))
    with pytest.raises(ValueError, match="speakers who test or validate here"):
        start(tmp_path / "run", initial=Initial(single["audio"], single["video"]), fold=2)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda record: record["preset"].update(name="cnn3d_mfcc"), "must be a run of action_unit"),
        (lambda record: record["labels"].reverse(), "must have the labels neutral"),
    ],
)
def test_other_presets_and_labels_are_refused(start, single, tmp_path, change, text):
    other = shutil.copytree(single["audio"], tmp_path / "other")
    record = json.loads((other / "run.json").read_text(encoding="utf-8"))
    change(record)
    (other / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match=text):
        start(tmp_path / "run", initial=Initial(other, single["video"]))


def test_other_shapes_are_refused(single):
    preset = models.preset("action_unit_bilstm")
    preset = replace(preset, audio=replace(preset.audio, hop_length=1024))
    initial, speakers = Initial(single["audio"], single["video"]), dict.fromkeys(splits.ROLES, ())
    with pytest.raises(ValueError, match=r"audio_scale must have .*130.* Received: .*259"):
        initial.load(models.build_model(preset, 8), preset, labels.RAVDESS, speakers, "random")


def test_frozen_branches_must_leave_something_to_train(tmp_path):
    preset = models.preset("mfcc_action_units")  # the sum of two opinions
    for modality in ("audio", "video"):
        individual = preset.only(modality)
        (tmp_path / modality).mkdir()
        models.build_model(individual, 2).save(tmp_path / modality / "model.keras")
        record = {"preset": individual.to_json(), "labels": ["calm", "sad"]}
        (tmp_path / modality / "run.json").write_text(json.dumps(record), encoding="utf-8")
    model = models.build_model(preset, 2)
    for freeze in (False, True):
        initial = Initial(tmp_path / "audio", tmp_path / "video", freeze)
        arguments = (model, preset, ("calm", "sad"), {}, "random")
        if freeze:
            with pytest.raises(ValueError, match="nothing is left to train"):
                initial.load(*arguments)
        else:
            initial.load(*arguments)
            assert model.trainable_weights


def test_the_command_says_it_in_one_line(table, single, tmp_path, capsys):
    common = ["--data", str(table), "--preset", "action_unit_bilstm", "--epochs", "1", "--workers",
              "0", "--protocol", "speaker-kfold", "--run", str(tmp_path / "run"),
              "--cache", str(tmp_path)]  # fmt: skip
    for arguments, text in (
        (["--init-audio", tmp_path / "none"], "belong together"),
        (["--freeze-encoders"], "belong together"),
        (["--init-audio", tmp_path / "none", "--init-video", single["video"]], "is not a run"),
    ):
        assert train_model.main([*common, *map(str, arguments)]) == 2
        last_line = capsys.readouterr().err.splitlines()[-1]
        assert last_line.startswith("train_model.py: error: ") and text in last_line
    runs = ["--init-audio", str(single["audio"]), "--init-video", str(single["video"])]
    assert train_model.main([*common, *runs, "--freeze-encoders"]) == 0
    record = load_run(tmp_path / "run").record
    assert record.initial["frozen"] and record.initial_paths == runs[1::2]
    again = ["--run", str(tmp_path / "run"), "--resume", "--epochs", "2", "--workers", "0"]
    assert train_model.main(again) == 0  # run.json names the branches
    assert load_run(tmp_path / "run").record.initial == record.initial


def as_trained_on(folder, corpus, copy):
    """A copy of a run that says which corpus it was trained on."""
    shutil.copytree(folder, copy)
    record = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    (copy / "run.json").write_text(json.dumps({**record, "corpus": corpus}), encoding="utf-8")
    return copy


def test_any_run_begins_another_one_and_shared_classes_are_copied(single, tmp_path):
    folder = as_trained_on(single["audio"], "cremad", tmp_path / "before")
    pretrained = Pretrained(folder, "ravdess")
    preset = models.preset("action_unit_bilstm").only("audio")
    names = ("happy", "bored", "neutral")
    model = models.build_model(preset, len(names))
    fresh = model.get_layer("logits").get_weights()
    pretrained.load(model, preset, names, {role: ("01",) for role in splits.ROLES}, "manifest")
    before = weights(load_run(folder).model())
    after = weights(model)
    assert all(equal(after[name], before[name]) for name in after if name != "logits")
    for new, old, start_values in zip(after["logits"], before["logits"], fresh):
        for index, name in enumerate(names):
            if name in labels.RAVDESS:
                assert np.array_equal(new[..., index], old[..., labels.RAVDESS.index(name)])
            else:
                assert np.array_equal(new[..., index], start_values[..., index])


@pytest.mark.parametrize("corpus, leak", [("ravdess-all", True), ("cremad", False)])
def test_a_run_that_has_met_the_test_speakers_is_refused(single, tmp_path, corpus, leak):
    folder = as_trained_on(single["audio"], "table", tmp_path / "before")  # of RAVDESS's names
    preset = models.preset("action_unit_bilstm").only("audio")
    model = models.build_model(preset, 8)
    met = load_run(folder).record.speakers["train"][0]
    split = {"train": ("x",), "validation": ("y",), "test": (met,)}
    arguments = model, preset, labels.RAVDESS, split, "speaker-kfold"
    if leak:
        with pytest.raises(ValueError, match=f"has met speakers who test or validate.*{met}"):
            Pretrained(folder, corpus).load(*arguments)
    else:
        Pretrained(folder, corpus).load(*arguments)


def test_a_run_without_a_common_layer_is_refused(single):
    preset = models.preset("cnn3d_mfcc").only("audio")
    with pytest.raises(ValueError, match="shares no layer with cnn3d_mfcc"):
        nobody = dict.fromkeys(splits.ROLES, ())
        model = models.build_model(preset, 8)
        Pretrained(single["audio"], "cremad").load(model, preset, labels.RAVDESS, nobody, "images")
