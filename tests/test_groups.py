"""Groups: who is served worse, on the classes that both have."""

import pandas as pd

from emotion import groups

LABELS = ("neutral", "happy", "sad")


def table(*rows):
    columns = ["speaker", "sex", "intensity", "label", "predicted"]
    return pd.DataFrame(rows, columns=columns)


def test_the_gap_names_the_groups_furthest_apart():
    measured = groups.compare(
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
    told = groups.sentence("speaker", measured["speaker"])
    assert "1 1.000" in told and "3 0.000" in told and "2 classes" in told


def test_groups_are_compared_on_the_classes_of_both():
    # Neutral, which is never strong, is all right; on the other classes strong is the better.
    measured = groups.compare(
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
    measured = groups.compare(table(*rows, ("3", "x", "y", "sad", "happy")), LABELS)["speaker"]
    assert measured["not_compared"] == ["3"] and measured["gap"]["size"] == 0
    assert groups.sentence("speaker", measured).endswith("too few classes: 3")
