"""Score files: any system's, in any order, to the same numbers; a mistake is one line."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emotion import metrics
from emotion.cli.main import main
from emotion.data import splits
from emotion.data.labels import RAVDESS
from emotion.evaluation import evaluate, scores


def made(clips, seed=0, skill=2.0):
    """A table of predictions for clips, by one who has some skill."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(len(clips), 8)) + skill * np.array(
        [[clip.label == label for label in RAVDESS] for clip in clips]
    )
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores.table(clips, probabilities, RAVDESS)


@pytest.fixture(scope="module")
def everyone():
    return scores.published("ravdess")


@pytest.fixture
def table(everyone):
    return made(everyone)


@pytest.fixture
def write(tmp_path):
    def write(table, name="scores.csv"):
        table.to_csv(tmp_path / name, index=False)
        return str(tmp_path / name)

    return write


def measure(path, output, *more):
    assert main(["score", path, "--output", str(output), *more]) == 0
    return json.loads((output / "metrics.json").read_text(encoding="utf-8"))


def test_published_clips_are_those_of_the_corpora():
    assert len(scores.published("ravdess")) == 1440
    assert len(scores.published("ravdess-all")) == 1440 + 1012
    assert len(scores.published("cremad")) == 7442 + 20 - 4
    with pytest.raises(ValueError, match="Received: 'manifest'"):
        scores.published("manifest")


def test_another_order_other_names_and_logits_give_the_same_numbers(table, write, tmp_path):
    original = measure(write(table), tmp_path / "a", "--corpus", "ravdess")
    rng = np.random.default_rng(1)
    other = table.sample(frac=1, random_state=1)
    logits = np.log(other[list(RAVDESS)]) + rng.normal(size=(len(other), 1))
    ids = [f"Actor/0{1 + i % 3}-{id}.mp4" for i, id in enumerate(other["id"])]
    other = logits.rename(columns={"fearful": "Fear", "angry": "ANG", "sad": " Sadness"})
    other = other[other.columns[::-1]].assign(Filename=ids)
    again = measure(write(other, "other.csv"), tmp_path / "b")
    assert again.pop("scores")["kind"] == "logits"
    assert original.pop("scores")["kind"] == "probabilities"
    # Logits may be scores of any kind, so a loss of them would say nothing.
    loss, mean, _ = (original.pop(f"loss{end}") for end in ("", "_mean", "_std"))
    true = [row[row["label"]] for _, row in table.iterrows()]
    assert loss == pytest.approx(-np.mean(np.log(true))) and mean == pytest.approx(loss, rel=0.1)
    assert again.pop("loss") is None and "loss_mean" not in again
    assert original["train_accuracy"] is None and original["validation_accuracy"] is None

    def same(item, two):
        if isinstance(item, dict):
            return item.keys() == two.keys() and all(same(item[k], two[k]) for k in item)
        if isinstance(item, list):
            return len(item) == len(two) and all(map(same, item, two))
        return item == two or item == pytest.approx(two, abs=1e-12)

    assert same(original, again)


def test_numbers_are_pooled_and_averaged_over_the_folds_of_the_protocol(table, write, tmp_path):
    measured = measure(write(table), tmp_path / "out", "--protocol", "ravdess-6fold")
    right = table["label"] == table["predicted"]
    assert measured["war"] == pytest.approx(right.mean(), abs=1e-12)
    uar = right.groupby(table["label"]).mean().mean()
    assert measured["uar"] == pytest.approx(uar, abs=1e-12)
    by_fold = [
        right[table["speaker"].astype(int).between(first, first + 3)].mean()
        for first in range(1, 25, 4)
    ]
    assert measured["war_mean"] == pytest.approx(np.mean(by_fold), abs=1e-12)
    assert measured["war_std"] == pytest.approx(np.std(by_fold), abs=1e-12)
    assert len(measured["folds"]) == 6 and measured["absent_speakers"] == []
    assert measured["groups"]["intensity"]["gap"]["classes"] == list(RAVDESS[1:])
    again = pd.read_csv(tmp_path / "out/predictions.csv", dtype={"speaker": str})
    assert sorted(again["id"]) == list(table["id"])
    assert (tmp_path / "out/confusion.png").is_file()
    assert measured["intervals"]["uar"][0] < measured["uar"] < measured["intervals"]["uar"][1]


def test_a_protocol_is_tested_on_a_separate_speakers(table, write, tmp_path, capsys):
    few = table[table["speaker"].isin(["05", "10", "16"])]
    measured = measure(write(few), tmp_path / "out", "--protocol", "ravdess-holdout")
    assert measured["speakers"] == ["05", "10", "16"] and measured["absent_speakers"] == ["19"]
    assert "absent: 19" in capsys.readouterr().out
    system = scores.read(write(table))
    assert len(scores.tests(system, "ravdess-holdout")[0][1].clips) == 240
    for protocol in ("speaker-kfold", "ravdess-5fold"):
        tested = [part.clips for _, part in scores.tests(system, protocol)]
        expected = [
            splits.split(system.clips, protocol, n).test
            for n in splits.fold_count(system.clips, protocol)
        ]
        assert tested == expected


def test_speakers_who_share_a_protocol_at_random_are_warned_of(table, write, capsys):
    with pytest.warns(UserWarning, match="same speakers"):
        assert main(["score", write(table), "--protocol", "random"]) == 0
    assert capsys.readouterr().out.startswith("WARNING: Protocol random")


def set_(row, column, value):
    def change(table):
        table = table.astype(object)
        table.loc[row, column] = value
        return table

    return change


MISTAKES = {
    "missing clip": (lambda t: t.drop(index=70), "no row for the clip 01-01-01-02-01-23"),
    "doubled id": (lambda t: pd.concat([t, t[5:6]]), "01-01-01-01-01-06 is that of row 7"),
    "doubled by modality": (
        lambda t: pd.concat([t, t[5:6].assign(id="03-" + t["id"][5])]),
        "row 1442: the clip 01-01-01-01-01-06 is that of row 7",
    ),
    "nan": (set_(3, "sad", np.nan), "row 5, column 'sad': must be a finite number"),
    "inf": (set_(3, "sad", "inf"), "row 5, column 'sad': must be a finite number"),
    "text": (set_(3, "sad", "high"), "Received: 'high'"),
    "unknown class": (lambda t: t.rename(columns={"calm": "bored"}), "column 'bored': no class"),
    "missing class": (lambda t: t.drop(columns="calm"), "lacks a column for calm"),
    "doubled class": (lambda t: t.assign(Fear=0), "column 'Fear': 'fearful' is fearful already"),
    "no clip name": (set_(3, "id", "clip-4"), "row 5: 'clip-4' is no clip of ravdess"),
    "song": (set_(3, "id", "01-02-01-01-01-01-01"), "row 5: '01-02-01-01-01-01-01' is no clip"),
    "no such take": (set_(3, "id", "01-09-01-01-01-01"), "is no clip of ravdess"),
    "strong neutral": (set_(3, "id", "01-01-02-01-01-04"), "is no clip of ravdess"),
    "label": (set_(3, "label", "sad"), "row 5, column 'label': the name 01-01-01-01-01-04 "),
    "speaker": (set_(3, "speaker", "07"), "row 5, column 'speaker'"),
    "sum": (set_(3, "sad", 0.9), "row 5: sums to"),
    "per cent": (lambda t: t.assign(**100 * t[list(RAVDESS)]), "row 2: sums to 100"),
    "shares of each class": (lambda t: t.assign(**t[list(RAVDESS)] / 2), "row 2: sums to 0.5"),
    "negative": (lambda t: t.assign(sad=np.where(t.index == 3, -0.1, t["sad"])), "row 5: sums to"),
    "no id": (lambda t: t.drop(columns="id"), "must have a column `id`"),
    "no row": (lambda t: t[:0], "has no rows"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake, table, write, tmp_path, capsys):
    change, expected = MISTAKES[mistake]
    path = write(change(table))
    output = tmp_path / "out"
    arguments = ["score", path, "--corpus", "ravdess", "--output", str(output)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and expected in said and path in said
    assert not output.exists()


@pytest.mark.parametrize("skill", [0.0, 6.0])
@pytest.mark.parametrize("decimals", [2, 3, 4])
def test_rounded_probabilities_are_probabilities(everyone, write, skill, decimals):
    table = made(everyone, skill=skill)
    values = table[list(RAVDESS)] if skill else table[list(RAVDESS)] / 8 + 7 / 64  # nearly even
    values = values.round(decimals)
    off = abs(values.sum(axis=1) - 1) > 1e-9
    assert off.mean() > 0.1  # sums that are not 1, as in the files of others
    system = scores.read(write(table.assign(**values)))
    assert system.kind == "probabilities"
    np.testing.assert_allclose(system.probabilities.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(system.probabilities, values, atol=0.04)


BROKEN = {
    "quote": lambda text: text.replace(b"\n", b'\n"', 1),  # the rest is one field, and too long
    "not UTF-8": lambda text: text.replace(b"neutral", "Wut \u00e4".encode("latin-1")),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_file_that_is_no_csv_is_named(broken, table, write, tmp_path, capsys):
    path = write(table)
    Path(path).write_bytes(BROKEN[broken](Path(path).read_bytes()))
    fuse = ["fuse", path, path, "--output", str(tmp_path / "fused.csv")]
    for arguments in (["score", path], fuse, ["significance", path, path]):
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and f"{path} is not a CSV in UTF-8" in said


def test_columns_that_are_no_classes_are_passed_over(table, tmp_path):
    path = tmp_path / "scores.csv"
    table.assign(path=table["id"] + ".mp4").to_csv(path)  # with pandas' row numbers
    assert len(scores.read(path).clips) == 1440
    path.write_text(
        path.read_text(encoding="utf-8").replace("speech", "speech,x", 1), encoding="utf-8"
    )
    with pytest.raises(ValueError, match="row 2: more cells than columns"):
        scores.read(path)


def test_crema_d_is_read_from_its_names(tmp_path):
    clips = [clip for clip in scores.published("cremad") if clip.speaker < "1005"]
    rng = np.random.default_rng(0)
    table = scores.table(clips, rng.dirichlet(np.ones(6), len(clips)), scores.label_set(
        clip.label for clip in clips
    ))  # fmt: skip
    lacking = table.drop(index=range(3))  # some were never published
    extra = lacking[:1].assign(id="1076_MTI_SAD_XX", label="sad", speaker="1076")  # broken
    path = tmp_path / "scores.csv"
    pd.concat([lacking, extra]).to_csv(path, index=False)
    system = scores.read(path)
    assert system.corpus == "cremad" and len(system.clips) == len(lacking)
    measured = evaluate.score(system, "cremad-5fold")
    assert measured.clips == len(lacking) and len(measured.absent_speakers) == 87
    table.drop(index=range(21)).to_csv(path, index=False)
    with pytest.raises(ValueError, match="nor for 20 more"):
        evaluate.score(scores.read(path), "cremad-5fold")


def test_runs_or_predictions(capsys):
    assert main(["evaluate", "run", "--predictions", "x.csv"]) == 2
    assert capsys.readouterr().err == (
        "emotion evaluate: --predictions is now `emotion score FILE`.\n"
    )


def test_fusion_is_the_mean_of_log_probabilities(everyone, write, tmp_path):
    tables = made(everyone, 1), made(everyone, 2).sample(frac=1, random_state=0)
    paths = [write(item, f"{i}.csv") for i, item in enumerate(tables)]
    assert main(["fuse", *paths, "--output", str(tmp_path / "fused.csv")]) == 0
    a, b = (item.sort_values("id")[list(RAVDESS)].to_numpy() for item in tables)
    expected = np.sqrt(a * b) / np.sqrt(a * b).sum(axis=1, keepdims=True)
    fused = scores.read(tmp_path / "fused.csv")
    np.testing.assert_allclose(fused.probabilities, expected, atol=1e-12)


def test_weights_are_fitted_on_other_speakers(everyone, write, tmp_path, capsys):
    val = [clip for clip in everyone if clip.speaker < "13"]
    test = [clip for clip in everyone if clip.speaker >= "13"]
    files = {
        (part, seed): write(made(clips, seed, skill), f"{part}{seed}.csv")
        for part, clips in (("val", val), ("test", test))
        for seed, skill in ((1, 2.0), (2, 0.0))
    }
    output = str(tmp_path / "fused.csv")
    tested = [files["test", 1], files["test", 2]]
    validation = [files["val", 1], files["val", 2]]
    assert main(["fuse", *tested, "--output", output, "--validation", *validation]) == 0
    said = capsys.readouterr().out
    weights = [float(line.split()[1]) for line in said.splitlines()[:2]]
    assert weights[0] > 0.9 and sum(weights) == pytest.approx(1, abs=2e-3)

    def loss(path):
        system = scores.read(path)
        return -np.log(system.probabilities[range(len(test)), system.targets]).mean()

    fitted = loss(output)
    assert main(["fuse", *tested, "--output", output]) == 0
    assert fitted < loss(output) and fitted < loss(tested[0]) + 0.01
    capsys.readouterr()
    assert main(["fuse", *tested, "--output", output, "--validation", *tested]) == 2
    assert "Speaker 13 is in" in capsys.readouterr().err
    assert main(["fuse", *tested, "--output", output, "--validation", validation[0]]) == 2
    assert "2 in all" in capsys.readouterr().err
    short = write(made(test[1:], 2), "short.csv")
    assert main(["fuse", tested[0], short, "--output", output]) == 2
    assert f"{short} has no row for the clip {test[0].id}" in capsys.readouterr().err


def test_significance_tells_skill_from_chance(everyone, write, capsys):
    good, same, bad = (
        write(made(everyone, seed, skill), f"{seed}.csv")
        for seed, skill in ((1, 2.0), (2, 2.0), (3, 1.0))
    )
    assert main(["significance", good, bad, "--corpus", "ravdess"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith(f"{good} is better than {bad}")
    table = pd.read_csv(good)
    counts = metrics.confusion(
        table["label"].map(RAVDESS.index), table["predicted"].map(RAVDESS.index), 8
    )
    assert said.startswith(f"UAR {metrics.uar(counts):.3f} and ")
    assert main(["significance", bad, good]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{good} is better than {bad}")
    assert main(["significance", good, same]) == 0
    assert "No difference in UAR is shown" in capsys.readouterr().out
    item = pd.read_csv(good)
    alone = write(item[item["speaker"] == 1], "one.csv")
    assert main(["significance", alone, alone]) == 2
