"""Pictures of explanations: heat where it belongs, and every picture in both forms."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from emotion import plotting
from emotion.data import labels
from emotion.explain import plots

LONGEST = ("surprised", "very_disappointed_and_afraid")
rng = np.random.default_rng(0)


def test_heat_is_scaled_and_keeps_its_sign():
    values = np.zeros((2, 40, 40, 3), np.float32)
    values[0, :8, :8], values[1, 30:, 30:] = 1, -1
    warmth = plots.heat(values)
    assert warmth[0, 4, 4] > 0.99 and warmth[1, 35, 35] < -0.99
    assert np.abs(warmth).max() <= 1 and not warmth[0, 20:].any()
    assert not plots.heat(np.zeros((1, 8, 8, 3), np.float32)).any()


def test_heat_is_drawn_orange_for_and_blue_against():
    frames = np.full((1, 8, 8, 3), 100, np.uint8)
    warmth = np.zeros((1, 8, 8), np.float32)
    warmth[0, 0, 0], warmth[0, 0, 1] = 1, -1
    drawn = plots.overlay(frames, warmth)
    assert drawn[0, 0, 0, 0] > 150 > drawn[0, 0, 0, 2]
    assert drawn[0, 0, 1, 2] > 150 > drawn[0, 0, 1, 0]
    assert (drawn[0, 4] == 100).all() and (frames == 100).all()


def watch(monkeypatch):
    """Returns the names of pictures, as they are saved, that are cut, and dict of name to size."""
    cut, sizes, save = [], {}, Figure.savefig

    def checked(figure, path, **named):
        figure.draw_without_rendering()
        box, name = figure.get_tightbbox(), path.name.strip(".").partition(".")[0]
        sizes[name] = width, height = tuple(figure.get_size_inches())
        if min(box.x0, box.y0, width - box.x1, height - box.y1) < -0.01:
            cut.append(name)
        save(figure, path, **named)

    monkeypatch.setattr(Figure, "savefig", checked)
    return cut, sizes


def drawings(folder, speakers=24):
    """Each picture, with names as long as they come."""
    title = f"03-01-08-02-02-01-24.mp4: {LONGEST[1]}, 100%; completeness error 0.99%"
    names = [f"resnet18_{index}" for index in range(60)]
    values, many = rng.normal(size=(30, 60)), (*labels.RAVDESS, LONGEST[1])
    kinds = np.array(many)[rng.integers(0, len(many), 90)].tolist()
    speakers = [f"speaker_{index:04d}" for index in np.arange(90) % speakers]
    positions = rng.normal(size=(90, 2))
    parts = {"audio": rng.normal(size=90), "video": rng.normal(size=90)}
    maps = {("audio", "video"): rng.random((144, 15)), ("video", "audio"): rng.random((15, 144))}
    spans = {"audio": (0.1, 3.5), "video": (0.0, 3.6)}
    frames = rng.integers(0, 256, (15, 32, 32, 3), np.uint8)
    images = rng.normal(size=(2, 40, 44)) * np.arange(40, 0, -1)[:, None]
    groups = {"emotion": (kinds, 0.1), "speaker": (speakers, float("nan"))}
    plots.mfcc(*images, (0.7, 3.1), title, folder / "mfcc")
    plots.strip(frames, np.linspace(0, 3.6, 15), title, folder / "frames")
    plots.attention(maps, spans, title, folder / "attention")
    plots.summary(values, values, names, title, folder / "shap")
    plots.summary(values[:1], values[:1], names, title, folder / "shap-one")
    plots.shares(parts, kinds, many, f"{title}, 90 clips", folder / "shares")
    plots.embedding(positions, groups, title, folder / "embedding")


@pytest.mark.slow
def test_each_picture_is_png_and_svg_and_not_cut(tmp_path, monkeypatch):
    cut, _ = watch(monkeypatch)
    drawings(tmp_path / "new", speakers=60)
    assert cut == []
    names = ("mfcc", "frames", "attention", "shap", "shap-one", "shares", "embedding")
    expected = {f"{name}{suffix}" for name in names for suffix in (".png", ".svg")}
    assert {path.name for path in (tmp_path / "new").iterdir()} == expected


def test_a_legend_of_many_speakers_stays_a_legend(tmp_path, monkeypatch):
    cut, sizes = watch(monkeypatch)
    names = [f"speaker_{index:04d}" for index in range(120)]
    groups = {"speaker": (names, 0.0)}
    plots.embedding(rng.normal(size=(120, 2)), groups, "title", tmp_path / "embedding")
    assert cut == [] and sizes["embedding"][0] < 12
    drawn = (tmp_path / "embedding.svg").read_text(encoding="utf-8")
    assert "speaker_0095" in drawn and "speaker_0096" not in drawn and "96 of 120" in drawn


def test_emotions_have_the_colours_of_their_names_and_speakers_have_others(tmp_path):
    positions = rng.normal(size=(6, 2))
    for kind, names in (("emotion", ("sad", "angry")), ("speaker", ("01", "02"))):
        plots.embedding(positions, {kind: (names * 3, 0.0)}, "title", tmp_path / kind)
    drawn = {
        kind: (tmp_path / f"{kind}.svg").read_text(encoding="utf-8").upper()
        for kind in ("emotion", "speaker")
    }
    colours = [plotting.LOOKS[name][0] for name in ("sad", "angry")]
    assert all(colour in drawn["emotion"] for colour in colours)
    assert not any(colour in drawn["speaker"] for colour in colours)
