"""The Python interface: what `import emotion` offers, and the same from the built wheel."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import stub
from PIL import Image

import emotion
from emotion import media

ROOT = Path(__file__).parents[1]


@pytest.fixture
def recognizer():
    return stub.Stub(stub.white_square)


def test_all_names_are_there():
    names = ["corpora", "splits", *emotion.__all__]  # in a process where nothing is loaded yet
    code = f"import emotion; print(*[hasattr(emotion, name) for name in {names}])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert set(done.stdout.split()) == {"True"}


def test_a_recording_as_tables_video_and_figure(recognizer, tmp_path):
    path = stub.moving(tmp_path, sound=(stub_sound(3), 16000))
    stages = []
    analysis = emotion.analyze(path, recognizer, progress=lambda stage, *_: stages.append(stage))
    table = analysis.to_pandas()
    assert table.dtypes.astype(str).to_dict() == {
        **dict.fromkeys(("start", "end", "x1", "y1", "x2", "y2"), "float64"),
        **{"track": "Int64", "has_audio": "bool", "has_face": "bool", "label": "category"},
        **dict.fromkeys(("confidence", *stub.LABELS), "float32"),
    }
    assert len(table) > 3 and set(table["label"]) == {"happy"} and set(table["track"]) == {1}
    assert np.allclose(table[list(stub.LABELS)].sum(axis=1), 1)
    summary = analysis.summary()
    assert summary.index.tolist() == ["person 1"] and summary.loc["person 1", "label"] == "happy"
    seconds = summary.loc["person 1", [f"{label}_seconds" for label in stub.LABELS]]
    assert seconds.sum() == pytest.approx(summary.loc["person 1", "seconds"])
    assert summary.loc["person 1", "happy"] == pytest.approx(0.8, abs=1e-6)
    written = media.probe(analysis.annotate(tmp_path / "out.mp4"))
    assert written.video and written.audio and set(stages) == {"analysing"}
    lines = [line for axes in analysis.plot().axes for line in axes.get_lines()]
    assert {line.get_label() for line in lines} >= set(stub.LABELS)
    assert str(analysis).startswith("person 1: happy, ")
    assert repr(analysis).startswith(f"Analysis({path.name!r}, 3.0 s, faces=1, ")


def stub_sound(seconds):
    return np.random.default_rng(0).uniform(-0.5, 0.5, seconds * 16000).astype(np.float32)


def test_images_and_lists(recognizer, tmp_path):
    image = stub.scene(lambda i: True)(0)
    Image.fromarray(image).save(tmp_path / "still.png")
    sources = [image, Image.fromarray(image), tmp_path / "still.png"]
    tables = [analysis.to_pandas() for analysis in emotion.analyze(sources, recognizer)]
    for table in tables:
        pd.testing.assert_frame_equal(table, tables[0])
    assert (
        len(tables[0]) == 1 and tables[0].loc[0, "has_face"] and not tables[0].loc[0, "has_audio"]
    )
    analysis = emotion.analyze(image, recognizer)
    drawn = np.asarray(Image.open(analysis.annotate(tmp_path / "drawn.png")))
    assert drawn.shape == image.shape and (drawn != image).any()
    with pytest.raises(ValueError, match="must end in .png or .jpg"):
        analysis.annotate(tmp_path / "drawn.mp4")


def test_two_faces_in_an_image_are_two_persons(tmp_path):
    def two_squares(frame):
        boxes = [stub.white_square(np.where(half, frame, 0)) for half in halves]
        return np.concatenate(boxes)

    image = np.full((240, 320, 3), 60, np.uint8)
    image[60:140, 20:100] = image[60:140, 200:280] = 255
    halves = [np.arange(320)[:, None] < 160, np.arange(320)[:, None] >= 160]
    analysis = emotion.analyze(image, stub.Stub(two_squares))
    assert analysis.to_pandas()["track"].tolist() == [1, 2]
    assert analysis.summary().index.tolist() == ["person 1", "person 2"]


def test_a_photograph_is_turned_upright_and_never_overwritten(recognizer, tmp_path):
    photograph, exif = Image.fromarray(stub.scene(lambda i: True)(0)), Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    photograph.save(tmp_path / "phone.jpg", exif=exif)
    analysis = emotion.analyze(tmp_path / "phone.jpg", recognizer)
    assert analysis.image.shape == (320, 240, 3)
    with pytest.raises(ValueError, match="another file than the image"):
        analysis.annotate(tmp_path / "phone.jpg")
    with pytest.raises(ValueError, match="for recordings, not images"):
        emotion.analyze(tmp_path / "phone.jpg", recognizer, window=1.0)


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        ("gone.mp4", FileNotFoundError, "gone.mp4"),
        ("gone.png", FileNotFoundError, "gone.png is not a file"),
        (np.zeros((4, 4), np.uint8), ValueError, r"uint8 array \(h, w, 3\)"),
        (7, TypeError, "Received: int"),
    ],
)
def test_a_wrong_source_is_one_line(recognizer, source, error, text):
    with pytest.raises(error, match=text):
        emotion.analyze(source, recognizer)


def test_without_a_run_it_says_how_to_train_one(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOTION_RUNS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="train one with"):
        emotion.analyze("talk.mp4")


@pytest.mark.slow
def test_five_lines_run_from_the_wheel_outside_the_checkout(trained, recording, tmp_path):
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", ROOT, "--no-deps", "-w", tmp_path / "w"], check=True)
    (wheel,) = (tmp_path / "w").glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    _, frame = next(media.read_frames(recording))
    Image.fromarray(frame).save(tmp_path / "photo.jpg")
    code = f"""
import emotion
assert emotion.__file__.startswith({str(site)!r}), emotion.__file__
analysis = emotion.analyze({str(recording)!r}, model={str(trained.folder)!r})
assert len(analysis.to_pandas()) and len(analysis.summary())
analysis.annotate("out.mp4"); analysis.plot()
image = emotion.analyze({str(tmp_path / "photo.jpg")!r}, model={str(trained.folder)!r})
assert len(image.summary())
from emotion import shipped
assert str(shipped.starter()).startswith({str(site)!r}), shipped.starter()
assert len(emotion.analyze({str(recording)!r}).labels) == 7
"""
    outside = tmp_path / "outside"
    outside.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    del environment["EMOTION_STARTER"]
    subprocess.run([sys.executable, "-c", code], cwd=outside, env=environment, check=True)
    assert media.probe(outside / "out.mp4").video
    program = [sys.executable, site / "bin/emotion"]
    shown = subprocess.run(
        [*program, "--help"], env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert shown.returncode == 0 and "annotate" in shown.stdout
