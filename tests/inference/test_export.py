"""Export: other runtimes say of real windows what Keras says, and are told how to be fed."""

import copy
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial

import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import run_inference
from emotion import models
from emotion.cli.main import main
from emotion.clip import Clip, Signal
from emotion.data import corpora, feature_tables, labels
from emotion.encoders import efficientface, resnet, wav2vec2
from emotion.features import FEATURES
from emotion.inference import export, runtime, timeline
from emotion.inference.recognizer import Recognizer
from emotion.run import weights_digest
from emotion.signals import cache
from emotion.signals.cache import SignalCache
from tests.encoders.test_wav2vec2 import SMALL
from tests.models.test_contract import narrow
from tests.models.test_models import small


def windows(recognizer, data, count=50):
    """Real Signals: voices with their faces, or takes of RAVDESS with their action units."""
    if not recognizer.preset.faces:
        clips = corpora.clips(data / "ravdess", None, data / "ravdess/action_units.csv")
        return [cache.decode(clip, recognizer.spec) for clip in clips[::24][:count]]
    result, recorder = [], copy.copy(recognizer)
    recorder.predict = lambda signals: result.extend(signals) or np.zeros((len(signals), 8))
    for name in ("grid_mpeg1_mp2.mpg", "grid_mpeg1_mp2_b.mpg"):
        timeline.analyse(data / "media" / name, recorder, window=2.0, hop=0.03)
    return result[:count]


def start(preset, folder, data):
    """A run of an untrained preset that tells windows apart, its Recognizer, and the windows.

    Batch normalization learns the windows' statistics, and logits are standardised over them.
    """
    keras.utils.set_random_seed(0)
    model = models.build_model(preset, 8)
    detector = "haar" if preset.faces else None
    record = {"preset": preset.to_json(), "labels": labels.RAVDESS, "detector": detector}
    (folder / "run.json").write_text(json.dumps({**record, "window": 2.0}), encoding="utf-8")
    model.save(folder / "model.keras")
    recognizer = Recognizer(folder)
    signals = windows(recognizer, data)
    inputs = recognizer.inputs(signals)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)
    logits = model.predict_on_batch(inputs)
    scale = 1.3 / logits.std(axis=0)
    standard = keras.layers.Rescaling(scale.tolist(), (-scale * logits.mean(axis=0)).tolist())
    x = {name: keras.Input(x.shape[1:], dtype=x.dtype, name=name) for name, x in inputs.items()}
    keras.Model(x, standard(model(x))).save(folder / "model.keras")
    return Recognizer(folder), signals


@pytest.mark.slow
@pytest.mark.parametrize("name", models.PRESETS)
def test_each_preset_gives_its_probabilities_on_50_real_windows(name, data, tmp_path, monkeypatch):
    """Encoders are narrow, since converting takes long; benchmarks/export.py has them in full."""
    monkeypatch.setattr(wav2vec2, "build", partial(wav2vec2.build, SMALL))
    monkeypatch.setattr(efficientface, "build", lambda _: narrow("efficientface", 1024, 1))
    widths = resnet.EMBEDDING
    monkeypatch.setattr(resnet, "build", lambda depth, name: narrow(name, widths[depth], 1 / 255))
    recognizer, signals = start(small(name), tmp_path, data)
    wanted = recognizer.predict(signals)
    assert len(signals) == 50 and np.ptp(wanted, axis=0).min() > 0.2
    for form in ("onnx", "litert"):
        check = export.export_run(recognizer, form, tmp_path / form, signals, "windows")
        result = Recognizer(tmp_path / form).predict(signals)
        np.testing.assert_allclose(result, wanted, atol=1e-4)
        alone = Recognizer(tmp_path / form).predict(signals[:1])
        np.testing.assert_allclose(alone, wanted[:1], atol=1e-4)
        assert check.windows == 50 and check.difference == pytest.approx(
            np.abs(result - wanted).max(), abs=1e-6
        )


@pytest.fixture(scope="module")
def exports(trained, clips, signals, tmp_path_factory):
    """The run `trained`, its test clips as signals, and its export in each format."""
    recognizer, folder = Recognizer(trained.folder), tmp_path_factory.mktemp("exports")
    result = [SignalCache(recognizer.spec, signals).load(clip) for clip in clips[:8]]
    for form in export.FORMATS:
        export.export_run(recognizer, form, folder / form, result, "test clips")
    return recognizer, result, folder


@pytest.mark.parametrize("form", export.FORMATS)
def test_an_export_predicts_as_its_run_by_its_folder_or_its_file(exports, form):
    recognizer, signals, folder = exports
    wanted = recognizer.predict(signals)
    for path in (folder / form, folder / form / runtime.FILES[form]):
        exported = Recognizer(path)
        np.testing.assert_allclose(exported.predict(signals), wanted, atol=1e-4)
        assert exported.model is None and exported.labels == recognizer.labels
        assert (exported.window, exported.spec) == (recognizer.window, recognizer.spec)
        assert exported.predict([]).shape == (0, 8)


def test_a_thread_has_an_export_separate(exports, monkeypatch):
    recognizer, signals, folder = exports
    loaded, right = [], runtime.load
    monkeypatch.setattr(runtime, "load", lambda path: loaded.append(path) or right(path))
    item = Recognizer(folder / "litert")
    other = item.another()
    assert len(loaded) == 2 and other.model is None
    np.testing.assert_array_equal(other.predict(signals), item.predict(signals))
    assert recognizer.another().model is recognizer.model and len(loaded) == 2


def test_an_export_is_not_exported(exports, tmp_path, capsys):
    arguments = ["--format", "litert", "--output", str(tmp_path / "again")]
    assert main(["export", str(exports[2] / "onnx"), *arguments]) == 2
    error = capsys.readouterr().err
    assert "is an export already; name the run" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_takes_an_export(exports, monkeypatch):
    started = []
    monkeypatch.setattr("streamlit.App.run", lambda app, config: started.append(sys.argv))
    monkeypatch.setattr(sys, "argv", sys.argv)  # as it was, afterwards
    for path in (exports[2] / "onnx", exports[2] / "onnx/model.onnx"):
        assert main(["web", "--port", "0", "--model", str(path)]) == 0
        assert f"--model={path}" in started.pop()


def test_names_and_the_batch_are_free_for_other_programs(exports):
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    session = onnxruntime.InferenceSession(exports[2] / "onnx/model.onnx")
    shapes = {x.name: x.shape for x in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {"audio": ["batch", 40, 44, 1], "video": ["batch", 20, 112, 112, 3],
                      "probabilities": ["batch", 8]}  # fmt: skip
    (names,) = Interpreter(str(exports[2] / "litert/model.tflite")).get_signature_list().values()
    assert names == {"inputs": ["audio", "video"], "outputs": ["probabilities"]}


@pytest.mark.slow
def test_an_export_needs_no_keras_to_predict(exports, recording):
    code = (
        "import sys\nfrom emotion.inference.recognizer import Recognizer\n"
        "print(Recognizer(sys.argv[1]).predict_file(sys.argv[2]).label)\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    wanted = exports[0].predict_file(recording).label
    for form in ("onnx", "litert"):
        arguments = [sys.executable, "-c", code, exports[2] / form, recording]
        done = subprocess.run(
            arguments, capture_output=True, text=True, check=True, encoding="utf-8"
        )
        assert (done.stdout, done.stderr) == (f"{wanted}\n", "")


def test_what_it_is_and_where_it_was_checked_is_reported_and_no_path_is(exports):
    recognizer, _, folder = exports
    for form in export.FORMATS:
        message = json.loads((folder / form / "run.json").read_text(encoding="utf-8"))
        assert message["labels"] == list(recognizer.labels)
        assert message["preset"] == recognizer.run.record.preset
        assert message["exported"]["format"] == form and message["exported"]["windows"] == 8
        assert message["exported"]["difference"] <= 1e-4
        readme = (folder / form / "README.md").read_text(encoding="utf-8")
        assert "`audio`: float32, (batch, 40, 44, 1)" in readme and "8 windows" in readme
        assert ", ".join(recognizer.labels) in readme
        for text in (json.dumps(message), readme):
            assert str(folder.parent) not in text and "data_path" not in text


@pytest.mark.parametrize("form", export.FORMATS)
def test_the_program_in_the_readme_runs(exports, form, monkeypatch):
    recognizer, signals, folder = exports
    monkeypatch.chdir(folder / form)
    code = re.search(
        "```python\n(.*?)```", (folder / form / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    names = recognizer.inputs(signals)
    exec(code[1], names)
    np.testing.assert_allclose(names["probabilities"], recognizer.predict(signals), atol=1e-4)


@pytest.mark.parametrize("name", sorted(set(FEATURES) - {"face_frames"}))
def test_the_steps_of_the_readme_give_the_feature(name, data):
    feature = FEATURES[name]()
    if name == "action_units":
        feature = replace(feature, steps=20)
        units = feature_tables.values(data / "media/openface_output.csv", "openface_output")
        signal = Signal(None, 0, None, None, 1.0, units)
        names = {"x": units["action_units"].T}
    else:
        path = data / "ravdess/audios/Actor_03/03-01-05-02-01-01-03.flac"
        spec = cache.Spec(feature.sample_rate, None)
        signal = cache.decode(Clip("a", "", "", audio=path), spec)
        names = {"y": signal.samples}
    names |= {"librosa": librosa, "np": np}
    for code in re.findall("`(.+?)`", "\n".join(feature.describe())):
        exec(code, names)
    wanted = feature(feature.prepare(signal) if hasattr(feature, "prepare") else signal)
    assert np.ptp(wanted) > 1
    np.testing.assert_allclose(names["x"], wanted, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", FEATURES.values(), ids=FEATURES)
def test_a_feature_tells_all_its_settings(kind):
    text = " ".join(kind().describe())
    arguments = {"duration": "", "offset": "", "seconds": "", "margin": "1.4", "interval": ""}
    # Durations are told as samples, and an interval only where there is one.
    for name, value in vars(kind()).items():
        assert arguments.get(name, str(value)) in text, name


def test_another_result_is_refused_and_nothing_is_left(exports, tmp_path, monkeypatch):
    recognizer, signals, _ = exports
    other, convert = copy.copy(recognizer), export._convert
    other.model = keras.models.clone_model(recognizer.model)
    monkeypatch.setattr(export, "_convert", lambda _, *rest: convert(other, *rest))
    with pytest.raises(ValueError, match="onnx gives other probabilities .* 1e-04"):
        export.export_run(recognizer, "onnx", tmp_path / "x", signals, "test clips")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_checks_on_recordings_and_writes_beside_the_run(
    trained, recording, tmp_path, capsys
):
    (tmp_path / "run").mkdir()
    for name in ("run.json", "model.keras"):
        (tmp_path / "run" / name).write_bytes((trained.folder / name).read_bytes())
    arguments = ["export", str(tmp_path / "run"), str(recording), "--format", "onnx"]
    assert main(arguments) == 0
    assert "Checked on 1 windows (recordings)" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "run/onnx").iterdir()} == {
        "model.onnx", "run.json", "README.md"
    }  # fmt: skip
    assert main(arguments) == 2
    assert "is there already" in capsys.readouterr().err
    model = str(tmp_path / "run/onnx/model.onnx")
    table = str(tmp_path / "out.csv")
    output = str(tmp_path / "out.mp4")
    assert run_inference.main(["--video_path", str(recording), "--model", model,
                               "--output", output, "--predictions", table]) == 0  # fmt: skip
    assert main(["explain", str(tmp_path / "run/onnx"), str(recording), "--output", output]) == 2
    assert "is an export" in capsys.readouterr().err


def test_an_export_of_the_present_weights_predicts_for_its_run(exports, tmp_path, monkeypatch):
    recognizer, signals, folder = exports
    for name in ("run.json", "model.keras"):
        shutil.copy(recognizer.run.folder / name, tmp_path / name)
    shutil.copytree(folder / "onnx", tmp_path / "onnx")
    loaded, right = [], runtime.load
    monkeypatch.setattr(runtime, "load", lambda path: loaded.append(path) or right(path))
    item = Recognizer(tmp_path)
    assert loaded == [tmp_path / "onnx/model.onnx"] and item.run.folder == tmp_path
    np.testing.assert_allclose(item.predict(signals), recognizer.predict(signals), atol=1e-4)
    assert item.model.count_params() == recognizer.model.count_params()  # for explain
    assert Recognizer(tmp_path, use_export=False).predict(signals).shape == (8, 8)
    measured = {"model": weights_digest(tmp_path), "temperature": 2.0}
    (tmp_path / "metrics.json").write_text(json.dumps(measured), encoding="utf-8")
    cooler = Recognizer(tmp_path).predict(signals)
    assert len(loaded) == 1 and cooler.max() < item.predict(signals).max()
    (tmp_path / "metrics.json").unlink()
    record = json.loads((tmp_path / "onnx/run.json").read_text(encoding="utf-8"))
    for name, value in (("run_weights", "another"), ("weights", "int8"), ("weights", None)):
        other = {**record, "exported": {**record["exported"], name: value}}
        (tmp_path / "onnx/run.json").write_text(json.dumps(other), encoding="utf-8")
        np.testing.assert_array_equal(
            Recognizer(tmp_path).predict(signals), recognizer.predict(signals)
        )
    assert len(loaded) == 1


@pytest.mark.parametrize("form", ["onnx", "litert"])
def test_float16_is_half_the_size_and_predicts_the_same(exports, form, tmp_path):
    recognizer, signals, folder = exports
    export.export_run(recognizer, form, tmp_path / form, signals, "clips", weights="float16")
    small, large = (place / form / runtime.FILES[form] for place in (tmp_path, folder))
    assert small.stat().st_size < 0.6 * large.stat().st_size
    result = Recognizer(small).predict(signals)
    np.testing.assert_allclose(result, recognizer.predict(signals), atol=1e-3)


@pytest.mark.slow
def test_int8_is_small_and_its_cost_is_measured_on_the_test_clips(
    trained, corpus, signals, tmp_path, capsys
):
    common = ["export", str(trained.folder), "--data", str(corpus), "--cache", str(signals)]
    sizes = {}
    for form, name in (("onnx", "model.onnx"), ("litert", "model.tflite")):
        output = tmp_path / form
        assert main([*common, "--format", form, "--int8", "--output", str(output)]) == 0
        assert re.search(r"UAR 0\.\d+ of the run, 0\.\d+ of this", capsys.readouterr().out)
        text = json.loads((output / "run.json").read_text(encoding="utf-8"))["exported"]
        assert (
            text["weights"] == "int8" and text["source"] == "test clips" and text["difference"] > 0
        )
        assert text["windows"] == trained.record.clips["test"]
        sizes[form] = (output / name).stat().st_size
    assert max(sizes.values()) < 0.5 * (trained.folder / "model.keras").stat().st_size
    assert (
        main([*common, "--format", "saved_model", "--int8", "--output", str(tmp_path / "x")]) == 2
    )
    assert "has no int8" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_without_test_clips_it_says_that_it_took_noise(trained, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    record = {**vars(trained.record), "data_path": None}
    (tmp_path / "run/run.json").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "run/model.keras").write_bytes((trained.folder / "model.keras").read_bytes())
    assert main(["export", str(tmp_path / "run"), "--format", "onnx"]) == 0
    assert "50 windows (noise, since there are no test clips:" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "run"), "--format", "onnx", "--int8"]) == 2
    assert "name them with --data" in capsys.readouterr().err


@pytest.mark.parametrize("form", export.FORMATS)
def test_a_damaged_export_is_one_line(exports, form, tmp_path, recording, capsys):
    folder = tmp_path / form
    (folder / "model").mkdir(parents=True)
    (folder / "run.json").write_bytes((exports[2] / form / "run.json").read_bytes())
    name = "model/saved_model.pb" if form == "saved_model" else runtime.FILES[form]
    (folder / name).write_bytes(b"no model")
    arguments = ["--video_path", str(recording), "--model", str(folder)]
    assert run_inference.main([*arguments, "--output", str(tmp_path / "out.mp4")]) == 2
    text = capsys.readouterr().err
    assert "no exported model that can be read" in text and text.count("\n") == 1


def test_what_is_not_installed_is_named(exports, recording, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    model = str(exports[2] / "onnx/model.onnx")
    assert run_inference.main(["--video_path", str(recording), "--model", model]) == 2
    assert "needs onnxruntime, which is not installed: `pip install" in capsys.readouterr().err


class Program(tf.Module):
    """A graph that answers as a model does, and writes a file."""

    def __init__(self, path, shapes, classes):
        super().__init__()
        self.path, self.classes = str(path), classes
        self.inputs = [tf.TensorSpec((None, *shape), kind, name) for name, shape, kind in shapes]
        self.serve = tf.function(self._serve, input_signature=self.inputs)

    def _serve(self, *inputs):
        with tf.control_dependencies([tf.io.write_file(self.path, "it ran")]):
            return {"probabilities": tf.fill((tf.shape(inputs[0])[0], self.classes), 0.125)}


def test_a_program_in_the_place_of_a_model_is_not_run(
    exports, tmp_path, recording, trained, capsys
):
    """Neither beside a good model, nor as an export, nor by its own name."""
    written, features = tmp_path / "written", trained.preset.features.items()
    shapes = [(name, feature.shape, feature.dtype) for name, feature in features]
    program = Program(written, shapes, len(trained.labels))
    beside, instead = tmp_path / "beside", tmp_path / "instead"
    shutil.copytree(trained.folder, beside)
    shutil.copytree(exports[2] / "saved_model", instead)
    shutil.rmtree(instead / "model")
    for folder in (beside, instead):
        tf.saved_model.save(
            program, folder / "model", signatures={"serving_default": program.serve}
        )
    assert Recognizer(beside).model is not None
    output = tmp_path / "output.mp4"
    arguments = ["--video_path", str(recording), "--output", str(output), "--model"]
    for path, reason in (
        (instead, "holds an operation that no export has (WriteFile)"),
        (instead / "model", "holds an operation that no export has (WriteFile)"),
        (beside / "model", "is no export"),
    ):
        assert run_inference.main([*arguments, str(path)]) == 2
        error = capsys.readouterr().err
        assert reason in error and error.count("\n") == 1
    assert not written.exists() and not output.exists()


def test_a_signature_that_saves_is_not_run(exports, tmp_path):
    """The functions that a SavedModel has for its weights may write; only as such are they let."""
    folder = tmp_path / "export"
    shutil.copytree(exports[2] / "saved_model", folder)
    path = folder / "model" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    saver = next(f.signature.name for f in functions if "traced_save" in f.signature.name)
    wrapper = next(f for f in functions if "signature_wrapper" in f.signature.name)
    call = next(node for node in wrapper.node_def if node.op == "StatefulPartitionedCall")
    call.attr["f"].func.name = saver
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="saves or restores files"):
        Recognizer(folder)
