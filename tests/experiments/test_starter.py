"""The starter: a face run and a voice run joined, calibrated, used where no run is named."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import special

import train_model
from benchmarks import starter as benchmark
from emotion import analyze, run, shipped
from emotion.cli.main import main
from emotion.evaluation.results import Evaluation
from emotion.inference.recognizer import Recognizer
from emotion.run import load_run
from tests.data.test_images import write_arrays
from tests.data.test_log_mel_table import write_log_mel

LABELS = "neutral,happy,sad,angry,fearful,disgust,surprised"
ROUNDED = 1e-3  # of a probability, for weights of 16 bits
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a face run, a voice run and what joins them, of noise."""
    folder = tmp_path_factory.mktemp("starter")
    write_arrays(folder / "images")
    write_log_mel(folder / "log_mel.npz")
    common = ["--epochs", "1", "--workers", "0", "--cache", str(folder / "cache")]
    face = ["--data", str(folder / "images"), "--preset", "face_expression"]
    voice = ["--data", str(folder / "log_mel.npz"), "--preset", "face_voice"]
    voice += ["--modality", "audio", "--labels", LABELS, "--protocol", "speaker-kfold-3"]
    assert train_model.main([*face, "--run", str(folder / "face"), *common]) == 0
    assert train_model.main([*voice, "--run", str(folder / "voice"), *common]) == 0
    again = ["--cache", str(folder / "cache"), "--workers", "0"]
    assert main(["evaluate", str(folder / "face"), "--views", "2", *again]) == 0
    arguments = [str(folder / "face"), str(folder / "voice"), "--output", str(folder / "starter")]
    assert main(["starter", *arguments, *again]) == 0
    return folder


def probabilities(folder, views, temperature):
    """Those of a batch, of the mean of the logits of its views."""
    model = load_run(folder).model()
    logits = np.mean([model.predict_on_batch(inputs) for inputs in views], axis=0)
    return special.softmax(logits / temperature, axis=1)


def test_each_branch_predicts_as_its_run_does_with_its_temperature(trained):
    """Of a face, the image and its mirror image."""
    joined = load_run(trained / "starter")
    generator = np.random.default_rng(0)
    audio = generator.normal(0, 40, (4, 40, 44, 1)).astype(np.float32)
    video = generator.integers(0, 256, (4, 1, 48, 48, 3), np.uint8)
    cases = {
        "audio": (trained / "voice", [{"audio": audio}]),
        "video": (trained / "face", [{"video": video}, {"video": video[:, :, :, ::-1]}]),
    }
    whole = {"audio": audio, "video": np.repeat(video, 20, axis=1)}
    for name, (folder, views) in cases.items():
        expected = probabilities(folder, views, joined.record.temperatures[name])
        absent = {n: a if n == name else np.zeros_like(a) for n, a in whole.items()}
        result = probabilities(trained / "starter", [absent], 1.0)
        assert np.allclose(result, expected, atol=ROUNDED)


def test_the_card_says_who_is_in_the_data(trained):
    record = load_run(trained / "starter").record
    assert set(record.trained_on) == {"fer2013", "cremad"}
    card = (trained / "starter/model_card.md").read_text(encoding="utf-8")
    head, body = card.split("---\n", 2)[1:]
    assert "license: cc-by-nc-sa-4.0" in head
    for text in ("FER2013", "CREMA-D", "ODbL", "unknown, 40 images", "must not be used"):
        assert text in body, text
    uar = Evaluation.read(trained / "face").uar
    assert f"| face, 2 views of each image | fer2013 | 20 | {uar:.3f} (" in body


def assert_same(measured, branch, temperature):
    """Asserts that an Evaluation has the probabilities of a branch, divided by its temperature."""
    labels = LABELS.split(",")
    logits = np.log(branch.predictions[labels].to_numpy()) / temperature
    table = measured.predictions.set_index("id").loc[branch.predictions["id"], labels]
    np.testing.assert_allclose(table, special.softmax(logits, axis=1), atol=ROUNDED)


def test_it_is_tested_on_people_it_has_not_met(trained, tmp_path, capsys):
    common = ["--cache", str(trained / "cache"), "--workers", "0"]
    arguments = ["evaluate", str(trained / "starter"), "--output", str(tmp_path / "out"), *common]
    assert main([*arguments, "--data", str(trained / "images")]) == 0
    measured = Evaluation.read(tmp_path / "out")
    assert (measured.protocol, measured.clips) == ("fer2013", 20)
    temperatures = load_run(trained / "starter").record.temperatures
    assert_same(measured, Evaluation.read(trained / "face"), temperatures["video"])
    voices = [*arguments, "--data", str(trained / "log_mel.npz")]
    assert main(voices) == 0
    voice = Evaluation.read(trained / "voice")
    assert_same(Evaluation.read(tmp_path / "out"), voice, temperatures["audio"])
    capsys.readouterr()
    assert main([*voices, "--protocol", "speaker-kfold-3", "--fold", "1"]) == 2
    assert "must not have been trained on" in capsys.readouterr().err


def test_a_new_corpus_is_tested_as_a_whole_with_its_labels_mapped(trained, tmp_path, capsys):
    others = write_log_mel(tmp_path / "log_mel.npz", actors=range(1010, 1012))
    record = json.loads((trained / "face/run.json").read_text(encoding="utf-8"))
    assert record["corpus"] == "fer2013"
    arguments = ["--output", str(tmp_path / "out"), "--cache", str(trained / "cache")]
    voice = json.loads((trained / "voice/run.json").read_text(encoding="utf-8"))
    copy = tmp_path / "voice"
    copy.mkdir()
    (copy / "model.keras").write_bytes((trained / "voice/model.keras").read_bytes())
    voice |= {"corpus": "ravdess", "trained_on": {"ravdess": ["01"]}}
    (copy / "run.json").write_text(json.dumps(voice), encoding="utf-8")
    command = ["evaluate", str(copy), "--data", str(others), *arguments, "--workers", "0"]
    assert main(command) == 0
    measured = Evaluation.read(tmp_path / "out")
    assert (measured.protocol, measured.clips, len(measured.speakers)) == ("all", 24, 2)


def test_make_starter_trains_it_from_the_corpora(corpus, tmp_path):
    write_arrays(tmp_path / "images")
    write_log_mel(tmp_path / "log_mel.npz", actors=(1001, 1019, 1037))
    new = {"01": "01", "02": "02", "03": "03", "04": "05", "05": "11"}  # two are held out
    for path in corpus.rglob("03-*.wav"):
        name = f"{path.stem[:-2]}{new[path.stem[-2:]]}"
        link = tmp_path / "ravdess" / f"Actor_{name[-2:]}" / f"{name}.wav"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    variables = {
        "BIN": Path(sys.executable).parent,
        "EPOCHS": 2,
        "STARTER": tmp_path / "parts",
        "MODEL": tmp_path / "starter",
        "FER2013": tmp_path / "images",
        "RAVDESS": tmp_path / "ravdess",
        "CREMAD": tmp_path / "log_mel.npz",
    }
    words = [f"{name}={value}" for name, value in variables.items()]
    make = ["make", "starter", "--old-file", ".venv/installed", *words]
    done = subprocess.run(
        make,
        cwd=Path(shipped.__file__).parents[1],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    record = load_run(tmp_path / "starter").record
    assert set(record.trained_on) == {"fer2013", "ravdess", "cremad"}
    assert "05" not in record.trained_on["ravdess"]


def test_its_report_is_on_the_data_that_is_named(trained, tmp_path, capsys):
    page, before = tmp_path / "page.html", sorted((trained / "starter").iterdir())
    report = ["report", str(trained / "starter"), "--output", str(page), "--workers", "0"]
    assert main(report) == 2 and "name them with --data" in capsys.readouterr().err
    data = ["--data", str(trained / "log_mel.npz"), "--cache", str(trained / "cache")]
    assert main([*report, *data]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Trained on fer2013" in text and "face_voice, sound and picture" in text
    assert sorted((trained / "starter").iterdir()) == before


def test_runs_that_do_not_fit_are_refused(trained, tmp_path, capsys):
    pair = [str(trained / "voice"), str(trained / "face")]
    assert main(["starter", *pair, "--output", str(tmp_path / "out")]) == 2
    assert "the starter needs a run of face_expression" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_it_is_used_where_no_run_was_trained(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "starter", lambda: trained / "starter")
    assert run.newest(tmp_path) == trained / "starter"
    later = tmp_path / "mine"
    later.mkdir()
    for name in ("run.json", "model.keras"):
        (later / name).write_bytes((trained / "face" / name).read_bytes())
    assert run.newest(tmp_path) == later
    assert Recognizer(trained / "starter").labels == tuple(LABELS.split(","))


def test_more_data_is_trained_on_and_nothing_else(trained, tmp_path, capsys):
    other = write_log_mel(tmp_path / "more.npz", actors=range(1010, 1013))
    common = ["--epochs", "1", "--workers", "0", "--cache", str(trained / "cache")]
    arguments = ["--data", str(other), "--preset", "face_voice", "--modality", "audio"]
    arguments += ["--protocol", "speaker-kfold-3", "--run", str(tmp_path / "run")]
    more = ["--extra-data", str(trained / "log_mel.npz")]
    assert train_model.main([*arguments, *more, *common]) == 2
    assert "must be another corpus than --data" in capsys.readouterr().err
    again = ["--init", str(trained / "voice")]
    assert train_model.main([*arguments, *again, *common]) == 0
    record = load_run(tmp_path / "run").record
    assert {"1001", "1010"} & set(record.trained_on["cremad"])
    assert len(record.labels) == 6 and record.initial


def test_the_shipped_starter_sees_that_she_laughs(starter, data):
    assert sum(path.stat().st_size for path in starter.rglob("*.*")) < 10e6
    result = analyze(data / "media/one_face.mp4", Recognizer(starter))
    table = result.to_pandas()
    laughing = table[(table["start"] >= 9.7) & (table["end"] <= 18)]
    assert len(laughing) and set(laughing["label"]) == {"happy"}
    assert "unknown" in (starter / "model_card.md").read_text(encoding="utf-8")


def test_the_shipped_starter_predicts_without_keras_what_keras_predicts(starter, data, tmp_path):
    """The command loads neither TensorFlow nor librosa."""
    recording = data / "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4"
    code = (
        "import sys, run_inference\n"
        "assert run_inference.main(sys.argv[1:]) == 0\n"
        "print({'keras', 'tensorflow', 'librosa', 'pandas'} & set(sys.modules))"
    )
    arguments = ["--video_path", recording, "--model", starter, "--output", tmp_path / "out.mp4"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(shipped.__file__).parents[1],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0 and done.stdout.endswith("\nset()\n"), done.stderr[-2000:]
    exported, keras_model = Recognizer(starter), Recognizer(starter, use_export=False)
    signal = exported.read(recording)
    signals = [signal, signal.without("audio"), signal.without("video")]
    result = exported.predict(signals)
    np.testing.assert_allclose(result, keras_model.predict(signals), atol=ROUNDED)
    assert np.ptp(result, axis=0).max() > 0.1


@pytest.fixture
def shipped_model(starter):
    return Recognizer(starter)


@pytest.mark.parametrize(
    "samples", [benchmark.silence(), benchmark.music()], ids=["silence", "music"]
)
def test_the_shipped_starter_predicts_nothing_where_nobody_speaks(shipped_model, tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", samples, benchmark.RATE)
    result = analyze(tmp_path / "a.wav", shipped_model)
    assert not len(result.to_pandas()) and "neither speech nor face" in str(result)


def test_the_shipped_starter_predicts_nothing_of_a_face_without_features(shipped_model, data):
    for source in (benchmark.blank(), data / "media/no_face.mp4"):
        assert not len(analyze(source, shipped_model).to_pandas())


def test_the_shipped_starter_predicts_each_of_three_faces(shipped_model, data):
    alone = analyze(data / "media/single_face.jpg", shipped_model).to_pandas()
    three = analyze(benchmark.three(data), shipped_model).to_pandas()
    assert list(alone["label"]) == ["happy"]
    assert sorted(three["track"]) == [1, 2, 3] and set(three["label"]) == {"happy"}
