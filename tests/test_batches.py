"""Batches: every choice a function of (seed, epoch, clip), and what inference feeds."""

from functools import partial
from itertools import product

import keras
import numpy as np
import pytest

from emotion import cache, models
from emotion.batches import Batches, balanced_weights
from emotion.clip import Clip
from emotion.labels import RAVDESS

PRESET = models.preset("cnn3d_mfcc")


@pytest.fixture
def load(signals):
    return partial(cache.load, spec=PRESET.spec("haar"), folder=signals)


def make(clips, load, epoch=0, workers=1, augmentation=PRESET.augmentation, seed=3):
    return Batches(
        clips, PRESET, RAVDESS, 4, load, augmentation, seed=seed, epoch=epoch, workers=workers
    )


def equal(one, other):
    return all(np.array_equal(one[0][name], other[0][name]) for name in one[0]) and all(
        np.array_equal(a, b) for a, b in zip(one[1:], other[1:])
    )


def test_shapes_and_types(clips, load):
    inputs, targets, weights = make(clips[:10], load)[2]
    assert {name: (x.shape, x.dtype.name) for name, x in inputs.items()} == {
        "audio": ((2, 40, 44, 1), "float32"),
        "video": ((2, 20, 112, 112, 3), "uint8"),
    }
    assert targets.dtype == np.int32 and weights.tolist() == [1.0, 1.0]
    assert len(make(clips[:10], load)) == 3


def test_an_epoch_can_be_repeated_and_differs_from_the_next(clips, load):
    first, again, second = (make(clips[:8], load, epoch=epoch) for epoch in (0, 0, 1))
    assert equal(first[1], again[1])
    assert not equal(first[1], second[1])
    assert equal(first[len(first)], second[0])
    assert first.num_batches is None
    assert not equal(make(clips[:8], load, seed=4)[0], first[0])


def test_augmentation_belongs_to_the_clip_not_to_its_place(clips, load):
    batches = make(clips[:8], load)
    in_order = {position: batches.inputs(position) for position in range(8)}
    backwards = {position: batches.inputs(position) for position in reversed(range(8))}
    for position, inputs in in_order.items():
        assert all(np.array_equal(inputs[n], backwards[position][n]) for n in inputs)


@pytest.mark.parametrize("workers", [1, 3])
def test_fit_sees_each_clip_once_an_epoch(clips, load, workers):
    batches, seen = make(clips[:8], load, workers=workers), []
    original = batches.inputs
    batches.inputs = lambda position, epoch: (
        seen.append((epoch, position)) or original(position, epoch)
    )
    inputs = {name: keras.Input(f.shape, name=name) for name, f in PRESET.features.items()}
    outputs = keras.layers.Dense(8)(keras.layers.Flatten()(inputs["audio"]))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(batches, epochs=2, steps_per_epoch=len(batches), shuffle=False, verbose=0)
    assert {pair for pair in seen if pair[0] < 2} == set(product(range(2), range(8)))


def test_any_number_of_workers_makes_the_same_batches(clips, load):
    one, three = make(clips[:8], load), make(clips[:8], load, workers=3)
    assert all(equal(one[index], three[index]) for index in range(4))


def test_without_augmentation_clips_come_in_order_and_unchanged(clips, load):
    batches = make(clips[:6], load, augmentation=None)
    inputs, targets, _ = batches[1]
    assert targets.tolist() == [RAVDESS.index(clip.label) for clip in clips[4:6]]
    wanted = PRESET.extract(load(clips[5]))
    assert all(np.array_equal(inputs[name][1], wanted[name]) for name in wanted)


def test_one_modality_makes_one_input(clips, load):
    batches = Batches(clips[:4], PRESET.only("audio"), RAVDESS, 4, load)
    assert list(batches[0][0]) == ["audio"]


def test_weights_give_each_class_the_same_part():
    clips = [Clip(str(i), "sad" if i < 6 else "calm", "1") for i in range(8)]
    weights = balanced_weights(clips, RAVDESS)
    assert weights == {"calm": 2.0, "sad": pytest.approx(8 / 12)}
    assert sum(weights[clip.label] for clip in clips) == pytest.approx(len(clips))
