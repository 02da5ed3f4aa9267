"""Training: a resumed run equals one never stopped, to the bit; another one is refused."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import train_model
from callbacks import RunState
from emotion import encoders, models, processes
from emotion.data import labels, splits
from emotion.encoders import resnet, wav2vec2
from emotion.evaluation.evaluate import evaluate_run
from emotion.signals.cache import SignalCache
from emotion.training.train import Training, load_run, train
from tests.encoders.test_wav2vec2 import SMALL, STABLE, publish

ROOT = Path(__file__).parents[2]
AUDIO = models.preset("cnn3d_mfcc").only("audio")
RECIPE = {"epochs": 5, "batch_size": 8, "patience": 2, "plateau_patience": 1, "warmup_epochs": 1}


@pytest.fixture
def start(clips, signals):
    """Trains a small run with sound alone; keyword arguments change it."""

    def start(
        folder, seed=0, resume=False, pool=None, protocol="speaker-kfold", preset=AUDIO,
        encoder_weights=(), cache_folder=signals, **recipe,
    ):  # fmt: skip
        preset = replace(preset, recipe=replace(preset.recipe, **{**RECIPE, **recipe}))
        cached = SignalCache(preset.spec("haar"), cache_folder)
        split = splits.split(clips, protocol, 0)
        training = Training(preset, split, labels.RAVDESS, cached, seed, encoder_weights)
        return train(training, folder, pool=pool, resume=resume)

    return start


def contents(run):
    """Everything that must be equal: last state, best weights, history."""
    state = max((run.folder / "state").glob("epoch-*.npz"))
    with np.load(state) as arrays:
        last = {name: arrays[name].tobytes() for name in arrays}
    best = [weight.tobytes() for weight in run.model().get_weights()]
    return last, best, (run.folder / "history.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_broken_off_again_and_again_ends_as_one_never_stopped(start, tmp_path, monkeypatch):
    whole = start(tmp_path / "whole")
    pools = [None, processes.pool(1), processes.pool(3)]
    save, saved = RunState._save, []

    def full_disk(self):
        if len(saved) % 2 == 0:  # every epoch fails once, is resumed, and then succeeds
            saved.append("failed")
            raise OSError(28, "No space left on device")
        saved.append(self.epoch)
        save(self)

    monkeypatch.setattr(RunState, "_save", full_disk)
    run = None
    for attempt in range(20):
        try:
            run = start(tmp_path / "broken", resume=attempt > 0, pool=pools[attempt % 3])
            break
        except OSError:
            continue
    assert saved.count("failed") >= 3
    assert contents(run) == contents(whole)


@pytest.mark.slow
def test_sigkill_then_resume_through_the_command(corpus, tmp_path):
    def command(run, *more):
        return subprocess.Popen(
            [sys.executable, "train_model.py", "--data", corpus, "--modality", "audio", "--epochs",
             "4", "--batch-size", "8", "--protocol", "speaker-kfold", "--run", run,
             "--cache", tmp_path / "cache", *more],
            cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip

    whole = command(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    for stop in (signal.SIGKILL, signal.SIGTERM):
        process = command(tmp_path / "cut", *(["--resume"] if stop == signal.SIGTERM else []))
        for line in process.stderr:
            if line.startswith("epoch"):
                process.send_signal(stop)
                break
        rest = process.stderr.read()
        assert process.wait() == (-9 if stop == signal.SIGKILL else 130)
    assert "--resume" in rest and "Traceback" not in rest
    last = command(tmp_path / "cut", "--resume")
    assert last.wait() == 0, last.stderr.read()
    item, other = (load_run(tmp_path / name) for name in ("whole", "cut"))
    assert contents(item) == contents(other)
    for name in ("metrics.json", "predictions.csv"):
        assert (item.folder / name).read_bytes() == (other.folder / name).read_bytes()
    present = {path.name for path in item.folder.iterdir()}
    assert present == {"run.json", "state", "history.csv", "timing.json", "model.keras",
                       "metrics.json", "predictions.csv", "curves.png",
                       "curves.svg", "confusion.png", "confusion.svg",
                       "recall.png", "recall.svg"}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*speakers:UserWarning")
def test_another_training_is_not_resumed(start, tmp_path):
    start(tmp_path / "run", epochs=1)
    with pytest.raises(FileExistsError, match="--resume"):
        start(tmp_path / "run", epochs=1)
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        start(tmp_path / "none", resume=True)
    for change, named in (
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"learning_rate": 1.0}, "preset.recipe.learning_rate: 0.001 then, 1.0 now"),
        ({"protocol": "random"}, "protocol: speaker-kfold then, random now"),
    ):
        with pytest.raises(ValueError, match=named):
            start(tmp_path / "run", epochs=1, resume=True, **change)


def test_a_finished_run_goes_on_with_more_epochs(start, tmp_path):
    whole = start(tmp_path / "whole", epochs=3)
    start(tmp_path / "longer", epochs=1)
    again = start(tmp_path / "longer", epochs=1, resume=True)  # nothing left to do
    assert len(pd.read_csv(again.folder / "history.csv")) == 1
    assert contents(start(tmp_path / "longer", epochs=3, resume=True)) == contents(whole)


@pytest.mark.slow
def test_milestones_and_sgd_go_on_as_they_were(start, tmp_path):
    recipe = {"optimizer": "sgd", "weight_decay": 1e-3, "milestones": (2, 3), "warmup_epochs": 0}
    whole = start(tmp_path / "whole", epochs=3, **recipe)
    start(tmp_path / "longer", epochs=2, **recipe)
    again = start(tmp_path / "longer", epochs=3, resume=True, **recipe)
    assert contents(again) == contents(whole)
    rates = pd.read_csv(again.folder / "history.csv")["learning_rate"]
    assert rates.tolist() == pytest.approx([1e-3, 1e-4, 1e-5])
    with pytest.raises(ValueError, match="adam, sgd. Received: adagrad"):
        start(tmp_path / "other", optimizer="adagrad")


@pytest.mark.slow
def test_a_run_knows_what_its_encoder_began_with(start, tmp_path):
    preset = models.preset("mean_mfcc_resnet18_transformer").only("video")
    preset = replace(preset, video=replace(preset.video, count=2, size=32))
    for name in ("one", "other"):
        resnet.build(18, name).save_weights(tmp_path / f"{name}.weights.h5")
    sources = {name: f"resnet18={tmp_path}/{name}.weights.h5" for name in ("one", "other")}
    run = start(tmp_path / "run", preset=preset, epochs=1, encoder_weights=[sources["one"]])
    digest = run.record.encoder_weights["resnet18"]
    assert digest == encoders.identify(tmp_path / "one.weights.h5")
    for source, text in (
        (sources["other"], f"encoder_weights.resnet18: {digest} then, [0-9a-f]{{32}} now"),
        ("imagenet", f"encoder_weights.resnet18: {digest} then, imagenet now"),
        ("none", f"encoder_weights: .*{digest}.* then, None now"),
    ):
        with pytest.raises(ValueError, match=text) as error:
            start(tmp_path / "run", resume=True, preset=preset, encoder_weights=[source])
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_run_on_embeddings_goes_on_as_it_was(start, clips, tmp_path, monkeypatch):
    preset = models.preset("mean_mfcc_resnet18_transformer")
    preset = replace(preset, video=replace(preset.video, count=2, size=32))
    ran, run = [], keras.Model.predict_on_batch
    monkeypatch.setattr(
        keras.Model, "predict_on_batch", lambda self, x: ran.append(self.name) or run(self, x)
    )
    recipe = {"preset": preset, "encoder_weights": ["none"], "epochs": 3}
    whole = start(tmp_path / "whole", cache_folder=tmp_path / "one", **recipe)
    split = splits.split(clips, "speaker-kfold", 0)
    assert ran == ["video_body"] * (1 + len(split.train) + len(split.validation))
    start(tmp_path / "longer", cache_folder=tmp_path / "two", **{**recipe, "epochs": 1})
    ran.clear()
    again = start(tmp_path / "longer", cache_folder=tmp_path / "two", resume=True, **recipe)
    assert ran == ["video_body"]  # the zeros
    assert contents(again) == contents(whole)
    load = SignalCache(preset.spec("haar"), tmp_path / "one").load
    stored = replace(whole, record=replace(whole.record, speakers={"train": (), "validation": ()}))
    report = evaluate_run(
        stored, replace(split, test=split.validation), load
    )  # from the frames themselves
    assert report.uar == pytest.approx(pd.read_csv(
        whole.folder / "history.csv")["val_uar"].max(), abs=1e-6)  # fmt: skip


@pytest.fixture
def two_phases(start, tmp_path, monkeypatch):
    """Trains a tiny wav2vec2_resnet50 with sound alone; keyword arguments change it."""
    config = wav2vec2.Config(
        conv_dim=(8, 8), conv_kernel=(10, 3), conv_stride=(5, 2), hidden_size=16,
        num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    monkeypatch.setattr(wav2vec2, "build", partial(wav2vec2.build, config))
    monkeypatch.setattr(wav2vec2, "load_weights", lambda encoder, source: None)  # as they are
    (tmp_path / "weights").write_bytes(b"")
    preset = models.preset("wav2vec2_resnet50").only("audio")
    preset = replace(preset, audio=replace(preset.audio, seconds=0.25))
    two = {"head_epochs": 2, "patience": 4, "learning_rate": 1e-3, "encoder_learning_rate": 1e-4}

    def train(folder, epochs, weights=tmp_path / "weights", **changes):
        more = {**two, "epochs": epochs, "plateau_patience": 9, "warmup_epochs": 0, **changes}
        return start(tmp_path / folder, preset=preset, encoder_weights=[weights], **more)

    return train


def variables(run):
    """The encoder's weights after the last epoch, by path, and the rates of the epochs."""
    state = max((run.folder / "state").glob("epoch-*.npz"))
    with np.load(state) as arrays:
        values = [arrays[name] for name in sorted(arrays) if name.startswith("variable")]
    paths = [variable.path for variable in run.model().variables]
    rates = pd.read_csv(run.folder / "history.csv")["learning_rate"].tolist()
    return dict(zip(paths, values)), rates


@pytest.mark.slow
def test_encoders_follow_the_head(two_phases):
    first, rates = variables(two_phases("first", 1))
    last, _ = variables(two_phases("head", 2))
    whole, all_rates = variables(two_phases("whole", 4))
    assert rates == pytest.approx([1e-3])
    assert all_rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    encoder = {p for p in first if p.startswith(("encoder-", "feature_")) and "seed" not in p}
    assert len(encoder) > 20 and all(np.array_equal(first[p], last[p]) for p in encoder)
    assert not np.array_equal(first["logits/kernel"], last["logits/kernel"])
    changed = {path for path in encoder if not np.array_equal(last[path], whole[path])}
    frozen = {path for path in encoder if path.startswith("feature_extractor-")}
    assert len(frozen) == 4 and not changed & frozen
    assert {p.rpartition("/")[2] for p in encoder - frozen - changed} <= {"bias"}  # of the keys

    _, rates = variables(two_phases("random", 3, weights="none"))
    assert rates == pytest.approx([1e-3] * 3)


@pytest.mark.slow
def test_an_encoder_has_the_size_of_its_weights(start, tmp_path, monkeypatch):
    build = wav2vec2.build
    monkeypatch.setattr(wav2vec2, "build", lambda config=SMALL: build(config))  # BASE takes seconds
    folder = publish(tmp_path / "large", STABLE)
    preset = models.preset("wav2vec2_resnet50").only("audio")
    preset = replace(preset, audio=replace(preset.audio, seconds=0.25))
    recipe = {"head_epochs": 1, "preset": preset, "encoder_weights": [f"wav2vec2={folder}"]}
    whole = start(tmp_path / "whole", epochs=2, **recipe)
    run = start(tmp_path / "run", epochs=1, **recipe)
    published = wav2vec2.build(STABLE)
    wav2vec2.load_weights(published, folder)
    for saved, array in zip(
        run.model().get_layer("wav2vec2").get_weights(), published.get_weights()
    ):
        np.testing.assert_array_equal(saved, array)  # in the first epoch the head trains alone
    assert run.record.encoder_configs["wav2vec2"]["do_stable_layer_norm"]
    again = start(tmp_path / "run", epochs=2, resume=True, **recipe)
    assert contents(again) == contents(whole)
    publish(folder, replace(STABLE, layer_norm_eps=1e-3))
    with pytest.raises(ValueError, match="wav2vec2.layer_norm_eps: 1e-05 then, 0.001 now"):
        start(tmp_path / "run", epochs=2, resume=True, **recipe)


@pytest.mark.slow
def test_a_run_goes_on_across_the_phases(two_phases):
    changes = {"warmup_epochs": 1, "plateau_patience": 1, "plateau_factor": 0.3}
    whole = contents(two_phases("whole", 5, **changes))
    for epochs in range(1, 5):
        run = two_phases("cut", epochs, resume=epochs > 1, **changes)
        resting = {e.name for e in run.model().get_layer("wav2vec2").layers if not e.trainable}
        assert all(name.startswith("feature_extractor-") for name in resting)
    assert contents(two_phases("cut", 5, resume=True, **changes)) == whole
    assert contents(run) == whole


def test_a_run_recorded_before_a_setting_was_there_goes_on(start, tmp_path):
    run = start(tmp_path / "run", epochs=1)
    record = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    for name in ("head_epochs", "encoder_learning_rate"):
        del record["preset"]["recipe"][name]
    (run.folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert load_run(run.folder).preset == run.preset
    start(tmp_path / "run", epochs=1, resume=True)


def test_encoder_weights_that_cannot_be_used_leave_no_run(start, tmp_path):
    weights = tmp_path / "weights.pth.tar"
    weights.write_bytes(b"")
    with pytest.raises(ValueError, match="cnn3d_mfcc with these inputs has none"):
        start(tmp_path / "run", encoder_weights=[weights])
    fused = models.preset("efficientface_late_transformer").only("video")
    fused = replace(fused, video=replace(fused.video, count=2, size=32))
    with pytest.raises(FileNotFoundError, match="no EfficientFace weights at"):
        start(tmp_path / "run", preset=fused, encoder_weights=[tmp_path / "absent"])
    assert not (tmp_path / "run").exists()


def test_best_epoch_is_the_one_that_is_stored(trained):
    history = pd.read_csv(trained.folder / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    state = max((trained.folder / "state").glob("epoch-*.npz"))
    with np.load(state) as arrays:
        best = [arrays[name] for name in sorted(arrays) if name.startswith("best")]
        record = json.loads(arrays["record"].tobytes())
    assert record["counters"]["EarlyStopping"]["best"] == history["val_uar"].max()
    for saved, weight in zip(best, trained.model().get_weights(), strict=True):
        assert np.array_equal(saved, weight)


def test_record_says_what_was_trained_on_what(trained):
    record = json.loads((trained.folder / "run.json").read_text(encoding="utf-8"))
    speakers = record["speakers"]
    assert not set(speakers["train"]) & set(speakers["test"])
    assert record["detector"] == "haar" and record["protocol"] == "speaker-kfold"
    assert record["labels"] == list(labels.RAVDESS)
    assert record["preset"]["audio"]["n_mfcc"] == 40
    assert 1.5 < record["window"] < 3
    assert "keras" in record["versions"]


def test_a_state_that_cannot_be_written_keeps_the_one_before(start, tmp_path, monkeypatch):
    savez = np.savez

    def full(file, **arrays):
        if b'"epoch": 2, "stopped"' in arrays["record"].tobytes():
            file.write(b"half a state")
            raise OSError(28, "No space left on device")
        savez(file, **arrays)

    monkeypatch.setattr("callbacks.run_state.np.savez", full)
    with pytest.raises(OSError, match="No space"):
        start(tmp_path / "run", epochs=2)
    assert [path.name for path in (tmp_path / "run" / "state").iterdir()] == ["epoch-00001.npz"]


def test_an_unfinished_run_says_how_to_finish_it(tmp_path):
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"--resume"):
        load_run(tmp_path).model()
    with pytest.raises(FileNotFoundError, match="not a run"):
        load_run(tmp_path / "nothing")
    (tmp_path / "all/fold-1").mkdir(parents=True)
    (tmp_path / "all/fold-1/run.json").touch()
    with pytest.raises(FileNotFoundError, match="one of its folds, such as .*fold-1"):
        load_run(tmp_path / "all")


def test_a_model_for_both_is_not_trained_on_one(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train_model.main(["--data", str(corpus / "audios"), "--workers", "0"]) == 2
    text = capsys.readouterr().err
    assert "40 of 40 clips have no file for the face" in text and "--modality audio" in text
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_reported_before_anything_is_decoded(corpus, tmp_path, capsys):
    for more, text in (
        (["--protocol", "ravdess-6fld"], "Received: 'ravdess-6fld'"),
        (["--fold", "9"], "Received: fold=9"),
        (["--fold", "last"], "--fold must be a number or all"),
        (["--data", str(tmp_path / "clipz.csv")], "clipz.csv does not exist"),
        (["--data", str(tmp_path / "datset")], "datset is not a folder"),
    ):
        arguments = ["--data", str(corpus), "--workers", "0", "--cache", str(tmp_path / "cache")]
        assert train_model.main([*arguments, *more]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and text in error
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_holds_code_is_not_loaded(trained, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")
    (tmp_path / "run.json").write_text(
        (trained.folder / "run.json").read_text(encoding="utf-8"), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="Lambda"):
        load_run(tmp_path).model()


def test_nothing_to_train_on_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "train_model.py", "--data", tmp_path],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.returncode == 2
    assert "make demo" in done.stderr and "download ravdess" in done.stderr
    assert "Traceback" not in done.stderr
