"""Batches: every choice a function of (seed, epoch, clip), and what inference feeds."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from emotion import backend, models, processes
from emotion.clip import Clip, MediaError
from emotion.data.labels import RAVDESS
from emotion.signals.cache import SignalCache
from emotion.training.batches import Batches, balanced_weights

PRESET = models.preset("cnn3d_mfcc")


@pytest.fixture
def load(signals):
    return SignalCache(PRESET.spec("haar"), signals).load


def make(clips, load, epoch=0, pool=None, augmentation=PRESET.augmentation, seed=3):
    return Batches(clips, PRESET, RAVDESS, 4, load, augmentation, seed=seed, epoch=epoch, pool=pool)


def equal(item, other):
    return all(np.array_equal(item[0][name], other[0][name]) for name in item[0]) and all(
        np.array_equal(a, b) for a, b in zip(item[1:], other[1:])
    )


def test_shapes_and_types(clips, load):
    inputs, targets, weights = make(clips[:10], load)[2]
    assert {name: (x.shape, x.dtype.name) for name, x in inputs.items()} == {
        "audio": ((2, 40, 44, 1), "float32"),
        "video": ((2, 20, 112, 112, 3), "uint8"),
    }
    assert targets.shape == (2, 8) and np.allclose(targets.sum(axis=1), 1)
    assert weights.tolist() == [1.0, 1.0]
    assert len(make(clips[:10], load)) == 3


def test_an_epoch_can_be_repeated_and_differs_from_the_next(clips, load):
    first, again, second = (make(clips[:8], load, epoch=epoch) for epoch in (0, 0, 1))
    assert equal(first[1], again[1])
    assert not equal(first[1], second[1])
    assert equal(first[len(first)], second[0])
    assert first.num_batches is None
    assert not equal(make(clips[:8], load, seed=4)[0], first[0])


def test_augmentation_belongs_to_the_clip_not_to_its_batch(clips, load):
    plain = replace(PRESET.augmentation, mixup=0)
    small, large = (
        make(clips[:8], load, augmentation=plain),
        make(clips[:8], load, augmentation=plain),
    )
    large.batch_size = 8
    together = large[0][0]
    apart = [small[index][0] for index in range(2)]
    for name, array in together.items():
        assert np.array_equal(array, np.concatenate([inputs[name] for inputs in apart]))


def test_faces_alone_are_not_mixed(clips, load):
    both = make(clips[:8], load)[0]
    faces = PRESET.only("video")
    has_face = Batches(clips[:8], faces, RAVDESS, 4, load, faces.augmentation, seed=3)[0]
    assert both[1].max(axis=1).min() < 1
    assert has_face[1].max(axis=1).tolist() == [1.0] * 4


def test_modality_dropout_follows_the_batch(clips, load):
    plain = replace(PRESET.augmentation, mixup=0)
    item = make(clips[:8], load, augmentation=plain)[1]
    four, again = (
        make(clips[:8], load, augmentation=replace(plain, modality_dropout=True))[1]
        for _ in range(2)
    )
    assert equal(four, again)
    assert [len(part) for part in (*four[0].values(), *four[1:])] == [16] * 4
    assert all(np.array_equal(four[0][name][:4], array) for name, array in item[0].items())


def test_fit_sees_each_clip_once_an_epoch(clips, load):
    has_face = []
    batches = make(clips[:8], lambda clip: has_face.append(clip.id) or load(clip))
    inputs = {name: keras.Input(f.shape, name=name) for name, f in PRESET.features.items()}
    outputs = keras.layers.Dense(8)(keras.layers.Flatten()(inputs["audio"]))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    with backend.streams(batches) as (stream,):
        model.fit(stream, epochs=3, steps_per_epoch=len(batches), shuffle=False, verbose=0)
    for epoch in range(3):
        assert len(set(has_face[8 * epoch : 8 * epoch + 8])) == 8


def test_stream_is_the_batches_and_does_not_tune_itself(clips, load):
    batches, varied = make(clips[:6], load, augmentation=None), make(clips[:6], load)
    with backend.streams(batches, make(clips[:6], load)) as (stream, endless):
        streamed = list(stream.as_numpy_iterator())
        assert len(streamed) == len(stream) == 2  # a length that is not known makes Keras warn
        assert all(equal(streamed[i], batches[i]) for i in range(2))
        for index, batch in enumerate(endless.take(5).as_numpy_iterator()):
            assert equal(batch, varied[index])
        assert stream.options().autotune.enabled is False  # its thread outsleeps the iteration


def test_what_goes_wrong_in_a_batch_is_reported_as_it_is(clips):
    def gone(clip):
        raise MediaError(f"{clip.video} is gone")

    model = keras.Sequential([keras.Input(PRESET.audio.shape), keras.layers.Flatten()])
    with pytest.raises(MediaError, match="is gone$"):
        with backend.streams(make(clips[:6], gone, augmentation=None)) as (stream,):
            model.predict(stream, verbose=0)
    with pytest.raises(OSError, match="full"):
        with backend.streams(make(clips[:6], gone)) as (stream,):
            with pytest.raises(Exception, match="is gone"):
                next(stream.as_numpy_iterator())
            raise OSError("the disk is full")


@pytest.mark.slow
def test_worker_processes_make_the_same_batches(clips, load):
    alone = make(clips[:8], load)
    with processes.pool(1) as item, processes.pool(3) as three:
        pooled = [make(clips[:8], load, pool=pool) for pool in (item, three)]
        for index in range(4):
            assert all(equal(alone[index], batches[index]) for batches in pooled)


def test_without_augmentation_clips_come_in_order_and_unchanged(clips, load):
    batches = make(clips[:6], load, augmentation=None)
    inputs, targets, _ = batches[1]
    assert targets.argmax(axis=1).tolist() == [RAVDESS.index(clip.label) for clip in clips[4:6]]
    wanted = PRESET.extract(load(clips[5]))
    assert all(np.array_equal(inputs[name][1], wanted[name]) for name in wanted)


def test_one_modality_makes_one_input(clips, load):
    batches = Batches(clips[:4], PRESET.only("audio"), RAVDESS, 4, load)
    assert list(batches[0][0]) == ["audio"]


def test_weights_give_each_class_the_same_part():
    clips = [Clip(str(i), "sad" if i < 6 else "calm", "1") for i in range(8)]
    weights = balanced_weights(clips)
    assert weights == {(None, "calm"): 2.0, (None, "sad"): pytest.approx(8 / 12)}
    more = [Clip(f"x{i}", "sad", "1001", info={"corpus": "cremad"}) for i in range(24)]
    both = balanced_weights([*clips, *more])
    assert both["cremad", "sad"] * 24 == pytest.approx(16)  # half of 32
    assert both[None, "calm"] * 2 == both[None, "sad"] * 6 == pytest.approx(8)
