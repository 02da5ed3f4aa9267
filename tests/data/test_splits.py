"""Splits: no speaker has two roles, and the published folds are the published ones."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion.clip import Clip
from emotion.data import splits
from emotion.data.corpora import ravdess

LABELS = ("angry", "calm", "sad")


def corpus(speakers, takes=2, split=None):
    return [
        Clip(
            f"{s}-{label}-{take}", label, s, info={"channel": "speech"}, split=(split or {}).get(s)
        )
        for s in speakers
        for label in LABELS
        for take in range(takes)
    ]


def disjoint(split):
    roles = [set(split.speakers[role]) for role in splits.ROLES]
    return not (roles[0] & roles[1] or roles[0] & roles[2] or roles[1] & roles[2])


@pytest.mark.parametrize(
    "protocol, fold, test, validation",
    [
        ("ravdess-6fold", 0, "01 02 03 04", "05 06 07 08"),
        ("ravdess-6fold", 5, "21 22 23 24", "01 02 03 04"),
        ("ravdess-5fold", 1, "03 06 07 13 18", "10 11 12 19 20"),
        ("ravdess-5fold", 4, "01 04 09 22", "02 05 14 15 16"),
        ("ravdess-holdout", 0, "05 10 16 19", "11 13 18 22"),
    ],
)
def test_published_folds(protocol, fold, test, validation):
    split = splits.split(corpus(ravdess.ACTORS), protocol, fold)
    assert split.speakers["test"] == tuple(test.split())
    assert split.speakers["validation"] == tuple(validation.split())
    rest = set(ravdess.ACTORS) - set(test.split()) - set(validation.split())
    assert split.speakers["train"] == tuple(sorted(rest))
    assert split.absent == () and split.warning is None and split.fold == fold


@pytest.mark.parametrize("protocol", ["ravdess-6fold", "ravdess-5fold", "speaker-kfold-7"])
def test_each_speaker_is_tested_once(protocol):
    clips = corpus(ravdess.ACTORS)
    numbers = splits.fold_count(clips, protocol)
    tested = [s for n in numbers for s in splits.split(clips, protocol, n).speakers["test"]]
    assert sorted(tested) == list(ravdess.ACTORS)


actors = st.sets(st.sampled_from(ravdess.ACTORS), min_size=1)


@given(actors, st.sampled_from(["ravdess-6fold", "ravdess-5fold", "ravdess-holdout"]), st.data())
def test_published_folds_on_part_of_the_corpus(present, protocol, draw):
    clips = corpus(present, takes=1)
    numbers = splits.fold_count(clips, protocol)
    if not numbers:
        return
    fold = draw.draw(st.sampled_from(numbers))
    try:
        split = splits.split(clips, protocol, fold)
    except ValueError as error:
        assert "too few speakers" in str(error)
        return
    assert disjoint(split) and set(split.absent) == set(ravdess.ACTORS) - present
    assert sorted(c.id for c in split.train + split.validation + split.test) == sorted(
        c.id for c in clips
    )
    assert all(getattr(split, role) for role in splits.ROLES)


names = st.sets(st.text("abcdefgh", min_size=1, max_size=3), min_size=3, max_size=20)


@given(names, st.integers(3, 8), st.integers(0, 5), st.randoms(use_true_random=False))
def test_speaker_kfold(present, count, seed, shuffler):
    clips = corpus(sorted(present))
    protocol = f"speaker-kfold-{count}"
    if len(present) < count:
        with pytest.raises(ValueError, match=f"needs at least {count} speakers"):
            splits.split(clips, protocol)
        return
    tested = []
    for fold in splits.fold_count(clips, protocol, seed):
        split = splits.split(clips, protocol, fold, seed)
        assert disjoint(split) and all(getattr(split, role) for role in splits.ROLES)
        tested += split.speakers["test"]
        shuffler.shuffle(clips)
        assert splits.split(clips, protocol, fold, seed) == split
    assert sorted(tested) == sorted(present)


def test_speaker_kfold_balances_classes_and_heeds_the_seed():
    # Half of the speakers only ever speak angrily: by number of clips alone they would cluster.
    clips = [
        Clip(f"{s}-{i}", "angry" if s < 10 else "sad", f"{s:02d}")
        for s in range(20)
        for i in range(4)
    ]
    tests = set()
    for seed in range(4):
        for fold in range(5):
            test = splits.split(clips, "speaker-kfold", fold, seed).test
            assert sum(clip.label == "angry" for clip in test) == 8 == len(test) // 2
        tests.add(splits.split(clips, "speaker-kfold", 0, seed).speakers["test"])
    assert len(tests) > 1


def test_absent_folds_are_skipped():
    clips = corpus(ravdess.ACTORS[:20])
    assert splits.fold_count(clips, "ravdess-6fold") == [0, 1, 2, 3, 4]
    split = splits.split(clips, "ravdess-6fold", 4)
    assert split.speakers["validation"] == ("01", "02", "03", "04")
    assert split.absent == ("21", "22", "23", "24")
    with pytest.raises(ValueError, match="Fold 5 .* tests speakers 21, 22, 23, 24, none of which"):
        splits.split(clips, "ravdess-6fold", 5)


@pytest.mark.parametrize(
    "protocol, fold, message",
    [
        ("ravdess-6fold", 6, "`fold` must be 0 to 5 .* Received: fold=6"),
        ("ravdess-6fold", -1, "Received: fold=-1"),
        ("manifest", 1, "`fold` must be 0 to 0"),
        ("random", 6, "`fold` must be 0 to 5"),
        ("6fold", 0, "`protocol` must be one of .* Received: '6fold'"),
        ("speaker-kfold-2", 0, "at least 3 folds"),
        ("manifest", 0, "needs a `split` for every clip"),
    ],
)
def test_errors(protocol, fold, message):
    with pytest.raises(ValueError, match=message):
        splits.split(corpus(ravdess.ACTORS), protocol, fold)


def test_too_few_speakers():
    with pytest.raises(ValueError, match="no train clips: .* too few speakers .01, 02, 05."):
        splits.split(corpus(["01", "02", "05"]), "ravdess-6fold")
    with pytest.raises(ValueError, match="speaker 'anna' is none of them"):
        splits.split(corpus(["01", "anna"]), "ravdess-6fold")


def test_manifest():
    roles = {"a": "train", "b": "validation", "c": "test", "d": "train"}
    split = splits.split(corpus("abcd", split=roles), "manifest")
    assert split.speakers == {"train": ("a", "d"), "validation": ("b",), "test": ("c",)}


def test_manifest_without_validation_sets_train_speakers_aside():
    roles = {"a": "train", "b": "train", "c": "test", "d": "train"}
    split = splits.split(corpus("abcd", split=roles), "manifest")
    assert disjoint(split) and split.speakers["test"] == ("c",)
    assert len(split.speakers["validation"]) == 1 and len(split.speakers["train"]) == 2


def test_a_manifest_of_test_clips_is_for_evaluation_alone():
    clips = corpus("ab", split={"a": "test", "b": "test"})
    split = splits.split(clips, "manifest", needed=("test",))
    assert split.test == sorted(clips, key=lambda clip: clip.id)
    assert split.speakers == {"train": (), "validation": (), "test": ("a", "b")}
    with pytest.raises(ValueError, match="has no train clips"):
        splits.split(clips, "manifest")
    with pytest.raises(ValueError, match="has no test clips"):
        splits.split(corpus("ab", split=dict.fromkeys("ab", "train")), "manifest", needed=("test",))


def test_a_shared_speaker_is_refused():
    clips = corpus("abc", split={"a": "train", "b": "validation", "c": "test"})
    clips.append(Clip("x", "sad", "c", split="train"))
    with pytest.raises(ValueError, match="Speaker c is in both train and test of manifest"):
        splits.split(clips, "manifest")


def test_random_warns_and_covers():
    clips = corpus(ravdess.ACTORS[:4])
    random.Random(0).shuffle(clips)
    tested = []
    for fold in splits.fold_count(clips, "random"):
        with pytest.warns(UserWarning, match="same speakers are in train"):
            split = splits.split(clips, "random", fold, seed=1)
        assert "same speakers" in split.warning
        ids = [{clip.id for clip in getattr(split, role)} for role in splits.ROLES]
        assert len(set.union(*ids)) == sum(map(len, ids)) == len(clips)
        tested += split.test
    assert sorted(clip.id for clip in tested) == sorted(clip.id for clip in clips)


@pytest.mark.parametrize(
    "clips, protocol",
    [
        (corpus(ravdess.ACTORS), "ravdess-6fold"),
        (corpus(ravdess.ACTORS[:12]), "ravdess-6fold"),
        (corpus(ravdess.ACTORS[:8]), "speaker-kfold"),
        (corpus("abc"), "speaker-kfold-3"),
        (corpus("abcdef"), "speaker-kfold"),
        (corpus("ab", split={"a": "train", "b": "test"}), "manifest"),
        ([Clip(str(i), "sad", f"{i:02d}") for i in range(1, 25)], "speaker-kfold"),
    ],
)
def test_default_protocol(clips, protocol):
    assert splits.default_protocol(clips) == protocol
