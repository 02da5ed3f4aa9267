"""Resume: a training goes on as what its folder says it is, or is refused; never as a mixture."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import train_model
from callbacks import RunState
from emotion import models, run
from emotion.cli import train as train_command
from emotion.cli.main import main
from emotion.evaluation import results
from emotion.experiments import resume, train
from emotion.files import locked
from emotion.run import load_run
from tests.models.test_action_units import write_table
from tests.training.test_train import contents

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "au_mfcc.pkl")


@pytest.fixture
def command(table, tmp_path):
    """The arguments that train a small run on the table; more of them change it."""

    def command(name, *more, epochs=2):
        arguments = ["--data", table, "--preset", "mfcc_action_units", "--modality", "video",
                 "--protocol", "speaker-kfold-3", "--epochs", epochs, "--batch-size", "32",
                 "--workers", "0", "--cache", tmp_path / "cache", "--run", tmp_path / name,
                 *more]  # fmt: skip
        return list(map(str, arguments))

    return command


@pytest.fixture
def stop_at(monkeypatch):
    """Interrupts trainings as soon as the state of one of these epochs is saved."""
    save = RunState._save

    def stop_at(*epochs):
        def save_then_stop(self):
            save(self)
            if self.epoch in epochs:
                raise KeyboardInterrupt

        monkeypatch.setattr(RunState, "_save", save_then_stop)

    yield stop_at


def states(folder):
    return sorted(path.name for path in (folder / "state").iterdir())


def epochs(folder):
    return len(pd.read_csv(folder / "history.csv"))


def test_a_state_without_its_run_is_refused(command, tmp_path, capsys):
    folder = tmp_path / "run"
    assert train_model.main(command("run", epochs=1)) == 0
    (folder / "run.json").unlink()
    assert train_model.main(command("run", "--fold", "1")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"{folder} holds the state of a training whose run.json is gone" in error
    assert states(folder) == ["epoch-00001.npz"]


def test_the_state_of_another_run_is_refused(command, tmp_path, capsys):
    for name, fold in (("run", "0"), ("other", "1")):
        assert train_model.main(command(name, "--fold", fold, epochs=1)) == 0
    shutil.rmtree(tmp_path / "run/state")
    shutil.copytree(tmp_path / "other/state", tmp_path / "run/state")
    capsys.readouterr()
    assert train_model.main(command("run", "--resume")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "epoch-00001.npz is the state of another training" in error


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows halts no process")
def test_a_second_training_in_a_folder_is_refused(command, tmp_path, capsys):
    assert train_model.main(command("whole", epochs=3)) == 0
    program = [sys.executable, "train_model.py", *command("run", epochs=3)]
    with subprocess.Popen(
        program, cwd=ROOT, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    ) as first:
        next(line for line in first.stderr if line.startswith("epoch"))
        first.send_signal(signal.SIGSTOP)  # it is alive and does nothing
        capsys.readouterr()
        try:
            for more in ([], ["--resume"]):
                assert train_model.main(command("run", *more, epochs=3)) == 2
                error = capsys.readouterr().err.splitlines()[-1]
                text = f"{tmp_path / 'run'} is being trained by another process; wait for it or"
                assert text in error
        finally:
            first.kill()
    assert train_model.main(command("run", "--resume", epochs=3)) == 0
    item, other = (load_run(tmp_path / name) for name in ("run", "whole"))
    assert contents(item) == contents(other)


def test_metrics_of_an_earlier_model_are_none_of_the_run(command, tmp_path, stop_at, monkeypatch):
    folder = tmp_path / "run"
    assert train_model.main(command("run", epochs=1)) == 0
    earlier = (folder / "metrics.json").read_bytes()
    assert results.complete(folder)
    stop_at(2)
    assert train_model.main(command("run", "--resume", epochs=2)) == 130
    assert (folder / "metrics.json").read_bytes() == earlier and not results.complete(folder)
    monkeypatch.undo()
    assert train_model.main(command("run", "--resume", epochs=2)) == 0
    assert results.complete(folder)
    (folder / "metrics.json").write_bytes(earlier)  # as if it had been stopped a moment before
    assert not results.complete(folder) and not results.scored(folder)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut short", "changed", "emptied"])
def test_a_damaged_state_is_replaced_by_the_one_before(command, tmp_path, damage):
    assert train_model.main(command("whole", epochs=3)) == 0
    assert train_model.main(command("run", epochs=2)) == 0
    assert states(tmp_path / "run") == ["epoch-00001.npz", "epoch-00002.npz"]
    last = tmp_path / "run/state/epoch-00002.npz"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    cut = {"cut short": content[: len(content) // 2], "changed": content, "emptied": b""}
    last.write_bytes(cut[damage])
    with pytest.warns(UserWarning, match="epoch-00002.npz is damaged"):
        assert train_model.main(command("run", "--resume", epochs=3)) == 0
    item, other = (load_run(tmp_path / name) for name in ("run", "whole"))
    assert contents(item) == contents(other)
    assert states(tmp_path / "run") == ["epoch-00002.npz", "epoch-00003.npz"]


@pytest.mark.slow
def test_resume_alone_continues_the_newest_unfinished_run(
    command, tmp_path, stop_at, monkeypatch, capsys
):
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path))
    assert train_model.main(command("whole", epochs=4)) == 0
    stop_at(2)
    for name in ("earlier", "run"):
        assert train_model.main(command(name, epochs=4)) == 130
    os.utime(tmp_path / "earlier/history.csv", (1, 1))
    os.utime(tmp_path / "earlier/run.json", (1, 1))
    hint = capsys.readouterr().err.splitlines()[-1]
    assert shlex.split(hint)[-3:] == ["--run", str(tmp_path / "run"), "--resume"]

    best = load_run(tmp_path / "run").model().get_weights()  # of a run that was stopped
    with np.load(tmp_path / "run/state/epoch-00002.npz") as arrays:
        saved = [arrays[name] for name in sorted(arrays) if name.startswith("best")]
    assert all(map(np.array_equal, best, saved))
    assert main(["evaluate", str(tmp_path / "run"), "--workers", "0"]) == 0
    assert "its training has not ended" in capsys.readouterr().out
    assert json.loads((tmp_path / "run/metrics.json").read_text(encoding="utf-8"))["epochs"] is None
    assert not results.complete(tmp_path / "run") and results.scored(tmp_path / "run")

    monkeypatch.undo()
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # from any working directory
    assert train_model.main(["--resume", "--workers", "0"]) == 0
    assert f"{tmp_path / 'run'}: the newest unfinished" in capsys.readouterr().err
    item, other = (load_run(tmp_path / name) for name in ("run", "whole"))
    assert contents(item) == contents(other) and item.record.ended["epochs"] == 4
    for name in ("metrics.json", "predictions.csv"):
        assert (item.folder / name).read_bytes() == (other.folder / name).read_bytes()
    assert not results.complete(tmp_path / "earlier")

    # The hint of the first interruption works as it was printed, in a shell.
    hint = shlex.split(hint)
    hint[hint.index(str(tmp_path / "run"))] = str(tmp_path / "earlier")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    subprocess.run(shlex.join(hint), shell=True, check=True, cwd=ROOT)
    assert contents(load_run(tmp_path / "earlier")) == contents(other)

    capsys.readouterr()
    assert train_model.main(["--resume"]) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert "holds no unfinished run" in first
    lines = [line for line in rest if line.startswith("  ")]
    assert [line.split(":")[0] for line in lines] == [
        f"  {name}, 4 epochs" for name in ("earlier", "run", "whole")
    ]
    printed = shlex.split(lines[1].partition(": ")[2])
    assert printed[0] == "python" and Path(printed[1]).samefile(ROOT / "train_model.py")
    assert train_model.main(printed[2:]) == 0
    assert epochs(tmp_path / "run") == 8


@pytest.mark.slow
def test_resume_alone_continues_all_folds(command, tmp_path, stop_at, monkeypatch, capsys):
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path))
    assert train_model.main(command("whole", "--fold", "all", epochs=1)) == 0
    assert train_model.main(command("cut", "--fold", "all", epochs=1)) == 0
    shutil.rmtree(tmp_path / "cut/fold-2")
    for name in ("metrics.json", "predictions.csv"):
        (tmp_path / "cut" / name).unlink()
    (tmp_path / "cut/fold-1/metrics.json").unlink()  # as a kill in the scoring of fold 1 leaves it
    assert resume.unfinished(tmp_path) == tmp_path / "cut"
    assert train_model.main(["--resume", "--workers", "0"]) == 0
    for name in ("metrics.json", "predictions.csv", "fold-2/predictions.csv"):
        item, other = (tmp_path / folder / name for folder in ("cut", "whole"))
        assert item.read_bytes() == other.read_bytes()
    assert resume.unfinished(tmp_path) is None
    (_, (folder, done, hint)) = resume.extendable(tmp_path)
    assert (folder, done) == (tmp_path / "whole", 1) and str(folder / "fold-0") not in hint

    capsys.readouterr()
    assert train_model.main(["--run", str(folder), "--resume", "--fold", "1"]) == 2
    assert "was trained with --fold all; leave --fold out" in capsys.readouterr().err
    assert train_model.main(["--run", str(folder / "fold-1"), "--resume", "--fold", "all"]) == 2
    assert "was trained with --fold 1; leave --fold out" in capsys.readouterr().err
    assert train_model.main(command("whole", "--fold", "all", epochs=1)) == 2
    hint = shlex.split(capsys.readouterr().err.split("`")[1])
    assert hint[-2:] == [str(folder), "--resume"]
    stop_at(2)
    assert train_model.main([*hint[2:], "--epochs", "2"]) == 130
    assert resume.unfinished(tmp_path) == folder  # whose joined metrics are of the folds before


def test_a_run_goes_on_as_it_was_and_no_shorter(command, tmp_path, capsys):
    assert train_model.main(command("run", epochs=2)) == 0
    before = (tmp_path / "run/run.json").read_bytes()

    def error(*more):
        capsys.readouterr()
        assert train_model.main(["--run", str(tmp_path / "run"), "--resume", *more]) == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert "preset.recipe.learning_rate: 0.001 then, 0.5 now" in error("--learning-rate", "0.5")
    assert "seed: 0 then, 3 now" in error("--seed", "3")
    assert "preset.name: mfcc_action_units then" in error("--preset", "action_unit_bilstm")
    assert "has trained 2 epochs" in error("--epochs", "1")
    assert (tmp_path / "run/run.json").read_bytes() == before
    assert train_model.main(command("run", epochs=2)) == 2
    hint = shlex.split(capsys.readouterr().err.split("`")[1])
    assert train_model.main([*hint[2:], "--epochs", "3"]) == 0
    assert epochs(tmp_path / "run") == 3
    assert load_run(tmp_path / "run").preset.recipe.batch_size == 32


def test_nothing_to_resume(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path))
    (tmp_path / "export").mkdir()
    (tmp_path / "export/run.json").write_text('{"exported": {}, "preset": {}}', encoding="utf-8")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/run.json").write_text("", encoding="utf-8")
    assert train_model.main(["--resume"]) == 2
    assert capsys.readouterr().err.splitlines() == [f"{tmp_path} holds no unfinished run."]
    assert train_model.main(["--resume", "--run", str(tmp_path / "none")]) == 2
    assert "none holds no run to resume" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_interruption_before_the_training_names_the_same_command(tmp_path, monkeypatch, capsys):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "_run", interrupt)
    arguments = ["--data", "my clips", "--run", str(tmp_path / "run")]
    assert train_model.main(arguments) == 130
    assert shlex.split(capsys.readouterr().err.splitlines()[-1])[2:] == arguments


def test_what_was_asked_means_the_same_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "audio", "video", "weights.h5"):
        (tmp_path / name).touch()
    options = train_command.parse(
        ["--data", "data", "--init-audio", "audio", "--init-video", "video", "--freeze-encoders",
         "--cache", "cache", "--corpus", "ravdess", "--tensorboard",
         "--encoder-weights", "resnet18=weights.h5", "--encoder-weights", "some/hub"]
    )  # fmt: skip
    train_command._settle(options, {**train_command.TRAINING, **train_command.OTHERS})
    record = {**train._origin(options), "initial": {"frozen": True}, "folds": [0, 1]}
    record |= {"protocol": "random", "fold": 1, "seed": 7, "detector": "haar"}
    record |= {"corpus": "ravdess", "corpus_guessed": True}
    whole = models.preset("cnn3d_mfcc").only("audio")
    (tmp_path / "run").mkdir()
    text = json.dumps({**record, "preset": whole.to_json()})
    (tmp_path / "run/run.json").write_text(text, encoding="utf-8")
    preset, result = resume.settings(tmp_path / "run")
    assert preset == whole
    assert result == {
        "preset": "cnn3d_mfcc", "modality": "audio", "data": tmp_path / "data", "features": None,
        "corpus": "ravdess", "corpus_guessed": True, "protocol": "random",
        "fold": "1", "folds": [0, 1], "seed": 7,
        "face_detector": "haar", "cache": tmp_path / "cache", "tensorboard": True,
        "encoder_weights": [f"resnet18={tmp_path / 'weights.h5'}", "some/hub"],
        "labels": None, "extra_data": [], "init": None,
        "init_audio": tmp_path / "audio", "init_video": tmp_path / "video",
        "freeze_encoders": True,
    }  # fmt: skip


def test_a_lock_is_one_thread_s_and_leaves_nothing(tmp_path):
    refused = []

    def other():
        try:
            with locked(tmp_path / "run"):
                pass
        except BlockingIOError as error:
            refused.append(str(error))

    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert (tmp_path / "run/run.lock").is_file()
    assert refused == [
        f"{tmp_path / 'run'} is being trained by another process; wait for it or choose another "
        "--run."
    ]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.lock").touch()  # left behind by a kill
    other()
    assert len(refused) == 1 and (tmp_path / "run").is_dir()


def test_metrics_of_a_version_that_named_no_model(tmp_path):
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    (tmp_path / "metrics.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.keras").touch()
    for age, expected in ((-10, True), (10, False)):
        now = (tmp_path / "metrics.json").stat().st_mtime
        os.utime(tmp_path / "model.keras", (now + age, now + age))
        assert results.complete(tmp_path) is expected


def test_the_folder_of_runs(monkeypatch, tmp_path):
    monkeypatch.delenv("EMOTION_RUNS", raising=False)
    for place in (ROOT, tmp_path):
        monkeypatch.chdir(place)
        assert run.runs_folder().resolve() == ROOT / "saved_models"
    monkeypatch.setattr(run, "_CHECKOUT", tmp_path / "site-packages")
    assert run.runs_folder() == Path("saved_models")
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path / "mine"))
    assert run.runs_folder() == tmp_path / "mine"
