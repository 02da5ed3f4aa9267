"""Groups: who is served worse, on the classes that both have."""

import tracemalloc
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd

from emotion.data.labels import RAVDESS
from emotion.evaluation import plots, results
from emotion.metrics import subgroups
from tests.explain.test_plots import watch

LABELS = ("neutral", "happy", "sad")


def table(*rows):
    columns = ["speaker", "sex", "intensity", "label", "predicted"]
    return pd.DataFrame(rows, columns=columns)


def test_the_gap_names_the_groups_furthest_apart():
    measured = subgroups.compare(
        table(
            ("1", "male", "normal", "happy", "happy"),
            ("1", "male", "normal", "sad", "sad"),
            ("2", "female", "normal", "happy", "sad"),
            ("2", "female", "normal", "sad", "sad"),
            ("3", "male", "normal", "happy", "sad"),
            ("3", "male", "normal", "sad", "happy"),
        ),
        LABELS,
    )
    gap = measured["speaker"]["gap"]
    assert (gap["best"], gap["worst"], gap["uar"], gap["size"]) == ("1", "3", [1.0, 0.0], 1.0)
    assert gap["classes"] == ["happy", "sad"]
    assert measured["speaker"]["groups"]["2"] == {"uar": 0.5, "clips": 2, "lacks": ["neutral"]}
    assert measured["intensity"]["gap"] is None and "statement" not in measured
    assert measured["sex"]["gap"]["size"] == 0.0
    text = subgroups.sentence("speaker", measured["speaker"])
    assert "1 1.000" in text and "3 0.000" in text and "2 classes" in text


def test_groups_are_compared_on_the_classes_of_both():
    # Neutral, which is never strong, is all right; on the other classes strong is the better.
    measured = subgroups.compare(
        table(
            ("1", None, "normal", "neutral", "neutral"),
            ("1", None, "normal", "happy", "sad"),
            ("1", None, "normal", "sad", "sad"),
            ("1", None, "strong", "happy", "happy"),
            ("1", None, "strong", "sad", "sad"),
        ),
        LABELS,
    )["intensity"]
    assert measured["groups"]["strong"]["lacks"] == ["neutral"]
    assert measured["gap"]["classes"] == ["happy", "sad"]
    assert (measured["gap"]["best"], measured["gap"]["uar"]) == ("strong", [1.0, 0.5])


def test_a_group_of_one_class_is_said_to_be_too_little():
    rows = [(s, "x", "y", label, label) for s in "12" for label in LABELS]
    measured = subgroups.compare(table(*rows, ("3", "x", "y", "sad", "happy")), LABELS)["speaker"]
    assert measured["not_compared"] == ["3"] and measured["gap"]["size"] == 0
    assert subgroups.sentence("speaker", measured).endswith("too few classes: 3")


def crowd(speakers, seed=0):
    """Predictions of 16 clips of each of many speakers, few of whom have each class."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(8), 16 * speakers)
    return pd.DataFrame(
        {
            "speaker": np.repeat([f"speaker_{i:05d}" for i in range(speakers)], 16),
            "label": rng.choice(RAVDESS, 16 * speakers),
            "predicted": [RAVDESS[index] for index in probabilities.argmax(axis=1)],
            **dict(zip(RAVDESS, probabilities.T)),
        }
    )


def test_the_gap_is_the_largest_of_all_pairs():
    item = crowd(9)
    recall = (item["label"] == item["predicted"]).groupby([item["speaker"], item["label"]]).mean()
    rows = [individual.dropna() for _, individual in recall.unstack().iterrows()]
    pairs = [(a - b).dropna() for a, b in permutations(rows, 2)]
    gap = subgroups.compare(item, RAVDESS)["speaker"]["gap"]
    assert abs(gap["size"] - max(pair.mean() for pair in pairs if len(pair) > 1)) < 1e-12
    assert abs(gap["uar"][0] - gap["uar"][1] - gap["size"]) < 1e-12


def test_what_tells_clips_apart_is_no_group():
    item = crowd(60)
    kinds = {"statement": [f"What clip {i} says." for i in range(960)], "channel": np.arange(960)}
    kinds |= {"intensity": np.arange(960) % 51, "sex": np.arange(960) % 50}
    assert set(subgroups.compare(item.assign(**kinds), RAVDESS)) == {"speaker", "sex"}
    few = item[:8].assign(sex=list("aabbccdd"), statement=list("aabbccde"))
    assert set(subgroups.compare(few, RAVDESS)) == {"speaker", "sex"}


def test_thousands_of_speakers_take_little_memory_and_a_line():
    item = crowd(2000)
    tracemalloc.start()
    measured = subgroups.compare(item, RAVDESS)["speaker"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(measured["groups"]) == 2000 and peak < 50e6  # all pairs by class would be 256 MB
    alone = measured | {"gap": None, "not_compared": list(measured["groups"])}
    for text in (alone, measured | {"not_compared": alone["not_compared"]}):
        assert subgroups.sentence("speaker", text).endswith("speaker_00099 and 1900 more")


def test_the_picture_of_many_groups_is_readable(tmp_path, monkeypatch):
    cut, sizes = watch(monkeypatch)
    item = crowd(70).assign(statement=np.arange(1120) % 2)
    item["statement"] = item["statement"].map({0: "A sentence " * 20, 1: "kids"})
    measured = replace(results.measure(item, RAVDESS), protocol="speaker-kfold")
    plots.groups(measured, tmp_path)
    assert cut == [] and max(sizes["groups"]) < 15
    drawn = (tmp_path / "groups.svg").read_text(encoding="utf-8")
    ranked = sorted(measured.groups["speaker"]["groups"].items(), key=lambda item: item[1]["uar"])
    for place, (name, _) in enumerate(ranked):
        assert (f"{name} " in drawn) == (place < 30 or place >= 40)
    assert "of 70 by speaker: the lowest, and the highest" in drawn
