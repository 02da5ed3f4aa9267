"""The presets on action units: trained, resumed, reloaded, and used on a file that has none."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import run_inference
import train_model
from emotion import media, models
from emotion.clip import MediaError, Signal
from emotion.data import corpora, feature_tables, labels, splits
from emotion.evaluation.evaluate import evaluate_run
from emotion.inference.recognizer import Recognizer
from emotion.run import identity
from emotion.signals import cache
from emotion.signals.augment import Augmentation
from emotion.signals.cache import SignalCache
from emotion.training.train import Training, train

ROOT = Path(__file__).parents[2]


def write_table(path, speakers=6, seed=0):
    """A pickle of two clips an emotion and speaker, the emotion plain in one action unit."""
    rng = np.random.default_rng(seed)
    content = {}
    for emotion in range(1, 9):
        for take in (1, 2):
            for speaker in range(1, speakers + 1):
                row = rng.normal(0, 0.3, 294)
                row[emotion] += 3
                content[f"01-01-{emotion:02d}-01-01-{take:02d}-{speaker:02d}"] = row
    path.write_bytes(pickle.dumps(content))
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "au_mfcc.pkl")


@pytest.fixture
def start(table, corpus, signals):
    """Trains a small run of a preset; the one with sound on the synthetic corpus."""

    def start(name, folder, table=table, pool=None, resume=False, modality="both", **recipe):
        preset = models.preset(name).only(modality)
        recipe = {"epochs": 2, "batch_size": 16, "warmup_epochs": 1, "patience": 2, **recipe}
        preset = replace(preset, recipe=replace(preset.recipe, **recipe))
        joined = name == "mfcc_action_units"
        clips = corpora.clips(corpus, features=table) if joined else corpora.clips(table)
        split = splits.split(clips, "speaker-kfold", 0)
        cached = SignalCache(preset.spec(), signals)
        training = Training(preset, split, labels.RAVDESS, cached)
        return train(training, folder, pool=pool, resume=resume)

    return start


def test_a_run_is_not_resumed_with_another_table(start, tmp_path):
    start("action_unit_bilstm", tmp_path / "run", epochs=1)
    other = write_table(tmp_path / "au_mfcc.pkl", seed=1)
    with pytest.raises(ValueError, match="cannot be resumed.*data: "):
        start("action_unit_bilstm", tmp_path / "run", table=other, epochs=1, resume=True)


@pytest.mark.slow
def test_it_learns_and_a_file_without_action_units_is_predicted_from_sound(
    start, table, corpus, clips, signals, tmp_path
):
    run = start("action_unit_bilstm", tmp_path / "run", epochs=25, patience=25, learning_rate=0.01)
    values = corpora.clips(table)
    spec = run.preset.spec(None)
    split = splits.split(values, "speaker-kfold", 0)
    report = evaluate_run(run, split, lambda clip: SignalCache(spec, signals).load(clip))
    assert report.uar > 0.4  # chance is 0.125
    recognizer = Recognizer(run.folder)
    assert recognizer.detector is None
    has_audio = recognizer.predict_file(clips[0].audio)
    assert has_audio.has_audio and not has_audio.has_face
    joined = tmp_path / "one.pkl"
    joined.write_bytes(pickle.dumps({clips[0].audio.stem: np.ones(294)}))
    both = recognizer.predict_file(clips[0].audio, joined)
    assert both.has_audio and both.has_face
    assert not np.array_equal(both.probabilities, has_audio.probabilities)
    with pytest.raises(ValueError, match="one.pkl has no clip"):
        recognizer.predict_file(clips[1].audio, joined)


@pytest.fixture
def infer(recording, tmp_path, capsys):
    """Runs the command on a video; returns its exit code, stdout, stderr and predictions."""

    def infer(run, *more):
        output = {"--output": tmp_path / "out.mp4", "--predictions": tmp_path / "out.csv"}
        arguments = {"--video_path": recording, "--model": run, "--window": 1, **output}
        code = run_inference.main([*map(str, chain(*arguments.items())), *map(str, more)])
        return code, *capsys.readouterr(), None if code else pd.read_csv(output["--predictions"])

    return infer


@pytest.fixture
def frames(recording, tmp_path):
    """Path of a CSV as OpenFace writes it, a row a frame of `recording`."""
    path = tmp_path / f"{recording.stem}.csv"
    rows = [f"{i},1,{','.join(str(i % 3) for _ in feature_tables.ACTION_UNITS)}" for i in range(4)]
    path.write_text(
        "\n".join([f"frame,success,{','.join(feature_tables.ACTION_UNITS)}", *rows]),
        encoding="utf-8",
    )
    return path


@pytest.mark.slow
def test_the_command_gives_a_table_to_each_window(start, infer, recording, frames, tmp_path):
    run = start("mfcc_action_units", tmp_path / "run", epochs=1)
    _, out, err, without = infer(run.folder)
    assert "action units count as absent" in err and f"{len(without)} from sound alone" in out
    code, out, err, rows = infer(run.folder, "--features", frames)
    assert code == 0 and "absent" not in err
    assert len(rows) > 2 and f"{len(rows)} from sound and action units" in out
    assert rows["has_audio"].all() and rows["has_face"].all() and not without["has_face"].any()
    arguments = {"action_units": np.full((1, 35), 0.75, np.float32)}  # the mean of 0, 1, 2 and 0
    samples = media.read_samples(recording, 16000)
    starts = [round(16000 * start) for start in rows["start"]]
    windows = [Signal(samples[i : i + 16000], 16000, None, None, 1.0, arguments) for i in starts]
    names, recognizer = list(run.labels), Recognizer(run.folder)
    np.testing.assert_allclose(rows[names], recognizer.predict(windows), atol=0.01)
    assert np.abs(rows[names] - without[names]).max(axis=None) > 0.05


@pytest.mark.slow
def test_without_sound_action_units_are_all_there_is(start, infer, clips, frames, tmp_path):
    run = start("mfcc_action_units", tmp_path / "run", epochs=1, modality="video")
    with pytest.raises(MediaError, match="no action units .from a table. in it") as error:
        Recognizer(run.folder).predict_file(clips[0].audio)
    assert "\n" not in str(error.value)
    code, _, err, _ = infer(run.folder)
    assert code == 2 and "has no action units (from a table), all that this run was" in err
    code, out, _, rows = infer(run.folder, "--features", frames)
    assert code == 0 and f"{len(rows)} from action units alone" in out
    assert len(rows[list(run.labels)].drop_duplicates()) == 1 and rows["end"].max() > 1.5


def test_a_table_is_refused_where_it_has_no_use(trained, infer, frames, tmp_path):
    code, _, err, _ = infer(trained.folder, "--features", frames)
    assert code == 2 and err.count("\n") == 1 and "uses no action units" in err
    assert not (tmp_path / "out.mp4").exists()


def test_augmentation_leaves_values_alone_or_out(table):
    preset = models.preset("action_unit_bilstm")
    clip = corpora.clips(table)[0]
    signal = cache.decode(clip, preset.spec("none"))
    values = feature_tables.values(table, clip.id)
    has_face = set()
    for seed in range(40):
        varied = Augmentation(missing=0.5)(signal, np.random.default_rng(seed))
        has_face.add((varied.has_audio, varied.has_face))
        for name, array in varied.features.items():
            assert np.array_equal(array, values[name])
    assert has_face == {(True, True), (True, False), (False, True)}


def test_resume_knows_the_table_by_its_values(table, tmp_path):
    def of(path):
        return identity(splits.split(corpora.clips(path), "speaker-kfold", 0))

    again = write_table(tmp_path / "copy.pkl")
    assert of(again) == of(table)
    content = pickle.loads(table.read_bytes())
    next(iter(content.values()))[100] += 1e-3
    again.write_bytes(pickle.dumps(content))
    assert of(again) != of(table)


@pytest.mark.slow
def test_the_command_joins_a_table(corpus, table, tmp_path):
    done = subprocess.run(
        [sys.executable, "train_model.py", "--data", corpus, "--features", table, "--preset",
         "mfcc_action_units", "--epochs", "1", "--workers", "0", "--protocol", "speaker-kfold",
         "--run", tmp_path / "run", "--cache", tmp_path / "cache"],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "au_mfcc.pkl: values of 40 of 40 clips\n" in done.stderr
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert record["features_path"] == str(table) and record.get("detector") is None
    done = subprocess.run(
        [sys.executable, "-m", "emotion", "evaluate", tmp_path / "run", "--cache",
         tmp_path / "cache"],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))
    assert f"{measured['uar']:6.3f}" in done.stdout


@pytest.mark.parametrize("more", [[], ["--features", "none.pkl"]])
def test_a_missing_table_is_one_line(corpus, more, tmp_path, capsys):
    data = corpus if more else tmp_path / "broken.pkl"
    if not more:
        data.write_bytes(b"")
    assert train_model.main(["--data", str(data), *more]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and ".pkl" in text


@pytest.mark.slow
def test_shuffled_labels_give_chance_within_its_interval(tmp_path):
    clips = corpora.clips(write_table(tmp_path / "au_mfcc.pkl", speakers=16))
    preset = models.preset("action_unit_bilstm").only("video")
    recipe = replace(preset.recipe, epochs=8, learning_rate=0.01, warmup_epochs=1)
    preset = replace(preset, recipe=recipe)
    speakers = sorted({clip.speaker for clip in clips})
    roles = {"train": speakers[:4], "validation": speakers[4:6], "test": speakers[6:]}

    def uar(clips, name):
        parts = {role: [c for c in clips if c.speaker in some] for role, some in roles.items()}
        split = splits.Split(**parts, protocol="speaker-kfold", fold=0, speakers=roles)
        signals = SignalCache(preset.spec())
        run = train(Training(preset, split, labels.RAVDESS, signals), tmp_path / name)
        measured = evaluate_run(run, split, signals.load)
        return measured.uar, measured.intervals["uar"]

    shuffled = np.random.default_rng(0).permutation([clip.label for clip in clips]).tolist()
    _, (low, high) = uar([replace(c, label=x) for c, x in zip(clips, shuffled)], "shuffled")
    assert low <= 1 / 8 <= high
    assert uar(clips, "true")[1][0] > high, "the same training does learn"
