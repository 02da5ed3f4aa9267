"""Augmentation: chance from one generator, in any thread, and nothing else touched."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from emotion.clip import Signal, spread
from emotion.signals.augment import Augmentation, drop_modalities, mix


@pytest.fixture
def signal():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    samples = rng.normal(0, 0.1, 22050).astype(np.float32)
    return Signal(samples, 22050, frames, spread(1.0, 4), 1.0)


def vary(signal, seed):
    varied = Augmentation(probability=0.9)(signal, np.random.default_rng(seed))
    return varied.samples, varied.frames


def same(item, other):
    return all(np.array_equal(a, b) for a, b in zip(item, other))


def test_chance_is_the_seed_alone_in_any_thread(signal):
    alone = [vary(signal, seed) for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda seed: vary(signal, seed), range(24)))
    assert all(same(item, other) for item, other in zip(alone, together))
    assert not same(alone[0], alone[1])


def test_numpy_global_state_and_input_are_left_alone(signal):
    np.random.seed(5)
    before = np.random.get_state()[1].tolist()
    samples, frames = signal.samples.copy(), signal.frames.copy()
    noise = Augmentation(probability=1.0, missing=0.0)
    noise(signal, np.random.default_rng(0))
    assert np.array_equal(samples, signal.samples) and np.array_equal(frames, signal.frames)
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(
    ("name", "value", "measure", "low", "high"),
    [
        ("rate", (0.7, 0.7), lambda a, b: len(b) / len(a), 1.40, 1.46),
        ("rate", (1.3, 1.3), lambda a, b: len(b) / len(a), 0.75, 0.79),
        ("snr_db", (0.0, 0.0), lambda a, b: np.mean(b**2) / np.mean(a**2), 1.9, 2.1),
    ],
)
def test_waveform_is_varied_as_asked(signal, name, value, measure, low, high):
    plain = {"semitones": 0.0, "rate": (1.0, 1.0), "snr_db": (90.0, 90.0), "missing": 0.0}
    only = Augmentation(probability=1.0, **{**plain, name: value})
    varied = only(signal, np.random.default_rng(1))
    assert low < measure(signal.samples, varied.samples) < high


def test_frames_are_mirrored_together_and_stay_uint8(signal):
    mirror = Augmentation(probability=0, flip=1, shift=0, light=0, missing=0)
    frames = mirror(signal, np.random.default_rng(0)).frames
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, signal.frames[:, :, ::-1])


def test_frames_are_turned_together_by_the_angle_that_was_drawn():
    frames = np.zeros((2, 65, 65, 3), np.uint8)
    frames[:, :28, 31:34] = 255  # a hand that points up
    turn = Augmentation(flip=0, shift=0, light=0, missing=0, rotation=30)
    signal = Signal(None, 0, frames, spread(1.0, 2), 1.0)
    for seed in range(5):
        turned = turn(signal, np.random.default_rng(seed)).frames
        assert turned.shape == frames.shape and turned.dtype == np.uint8
        assert np.array_equal(turned[0], turned[1])
        angle = np.random.default_rng(seed).uniform(-30, 30)
        rows, columns = np.nonzero(turned[0, :, :, 0] > 127)
        near = np.hypot(rows - 32, columns - 32) < 28
        measured = np.degrees(np.arctan2(32 - columns[near].mean(), 32 - rows[near].mean()))
        assert measured == pytest.approx(angle, abs=2)


def test_frames_are_scaled_together_by_the_factor_that_was_drawn():
    frames = np.zeros((2, 65, 65, 3), np.uint8)
    frames[:, 22:43, 22:43] = 255
    zoom = Augmentation(flip=0, shift=0, light=0, missing=0, zoom=0.5)
    signal = Signal(None, 0, frames, spread(1.0, 2), 1.0)
    factors = []
    for seed in range(8):
        varied = zoom(signal, np.random.default_rng(seed)).frames
        assert np.array_equal(varied[0], varied[1])
        factors.append(np.sqrt((varied[0, :, :, 0] > 127).sum()) / 21)
    assert factors == pytest.approx(
        [1.5 ** np.random.default_rng(seed).uniform(-1, 1) for seed in range(8)], abs=0.06
    )
    assert min(factors) < 0.9 and max(factors) > 1.1


def test_one_rectangle_of_all_frames_is_erased(signal):
    plain = {"probability": 0, "flip": 0, "shift": 0, "light": 0, "missing": 0}
    for seed in range(8):
        varied = Augmentation(**plain, erasing=1.0)(signal, np.random.default_rng(seed)).frames
        changed = (varied != signal.frames).any(axis=(0, 3))
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        inside = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert inside.mean() > 0.95 and 0.01 < changed.mean() < 0.25
    still = Augmentation(**plain)(signal, np.random.default_rng(0)).frames
    assert np.array_equal(still, signal.frames)


def test_a_missing_modality_is_either_and_never_both(signal):
    item = Augmentation(missing=1.0)
    kinds = set()
    for seed in range(20):
        varied = item(signal, np.random.default_rng(seed))
        kinds.add((varied.samples is None, varied.frames is None))
    assert kinds == {(True, False), (False, True)}


def test_mixup_blends_inputs_and_labels_in_the_same_shares():
    frames = np.array([[[0, 200]], [[100, 100]], [[50, 0]]], np.uint8)
    maps = np.asfortranarray(frames.astype(np.float32))  # as a stack of transposed maps is
    targets, weights = np.eye(3, dtype=np.float32), np.array([1.0, 2.0, 3.0], np.float32)
    chance = np.random.default_rng(3)
    inputs, mixed, weighed = mix({"a": maps, "v": frames}, targets, weights, 0.3, chance)
    assert inputs["v"].dtype == np.uint8 and mixed.dtype == weighed.dtype == np.float32
    assert (mixed.max(axis=1) >= 0.5).all() and (mixed.argmax(axis=1) == [0, 1, 2]).all()
    assert 0.5 < mixed.max(axis=1).min() < 1
    np.testing.assert_allclose(inputs["a"][:, 0], mixed @ maps[:, 0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(inputs["v"][:, 0], mixed @ maps[:, 0], atol=0.51)
    np.testing.assert_allclose(weighed, mixed @ weights, rtol=1e-5)


def test_modality_dropout_makes_four_batches_of_one():
    rng = np.random.default_rng(0)
    audio = rng.normal(size=(3, 5, 2)).astype(np.float32)
    video = rng.integers(0, 256, (3, 2, 4, 4, 3), dtype=np.uint8)
    targets, weights = np.eye(3, dtype=np.float32), np.array([1.0, 2.0, 3.0], np.float32)
    arguments = {"audio": audio, "video": video}
    inputs, labels, weighed = drop_modalities(arguments, targets, weights, np.random.default_rng(2))
    share = np.random.default_rng(2).random(3)
    assert np.unique(share).size == 3
    has_audio, has_face = (
        inputs["audio"].reshape(4, *audio.shape),
        inputs["video"].reshape(4, *video.shape),
    )
    assert has_audio.dtype == np.float32 and has_face.dtype == np.uint8
    for whole in (has_audio[0], has_audio[3]):
        assert np.array_equal(whole, audio)
    for whole in (has_face[0], has_face[2]):
        assert np.array_equal(whole, video)
    assert not has_audio[2].any() and not has_face[3].any()
    np.testing.assert_allclose(has_audio[1], audio * share[:, None, None], rtol=1e-5)
    weak = video * (1 - share)[:, None, None, None, None]
    np.testing.assert_allclose(has_face[1], weak, atol=0.51)
    assert np.array_equal(labels, np.tile(targets, (4, 1))) and labels.dtype == np.float32
    assert weighed.tolist() == [1, 2, 3] * 4 and weighed.dtype == np.float32


def test_modality_dropout_leaves_one_modality_alone():
    arguments = {"audio": np.ones((2, 3), np.float32)}, np.eye(2), np.ones(2)
    assert drop_modalities(*arguments, np.random.default_rng(0)) == arguments


def test_mixup_of_arrays_in_any_order_of_memory():
    maps = np.random.default_rng(0).normal(size=(4, 3, 5, 1)).astype(np.float32)
    by_column = np.stack([np.asfortranarray(item) for item in maps])
    assert not by_column[0].flags.c_contiguous
    settings = np.eye(4, dtype=np.float32), np.ones(4, np.float32), 0.3
    plain, _, _ = mix({"a": maps}, *settings, np.random.default_rng(1))
    mixed, _, _ = mix({"a": by_column}, *settings, np.random.default_rng(1))
    np.testing.assert_array_equal(mixed["a"], plain["a"])


def test_log_mel_bands_are_shifted_and_get_noise():
    values = np.full((112, 20), -60, np.float32)
    values[60] = 0
    signal = Signal(None, 0, None, None, 1.0, {"log_mel": values})
    plain = {"probability": 1.0, "semitones": 0.0, "snr_db": (200.0, 200.0)}
    shifted = Augmentation(**plain | {"semitones": 4.0})
    peaks = {
        int(shifted(signal, np.random.default_rng(seed)).features["log_mel"][:, 0].argmax())
        for seed in range(8)
    }
    assert min(peaks) < 58 and max(peaks) > 62
    noisy = Augmentation(**plain | {"snr_db": (0.0, 0.0)})
    result = noisy(signal, np.random.default_rng(0)).features["log_mel"]
    assert np.median(result) > -30 and result.dtype == np.float32
    assert np.array_equal(values[59], np.full(20, -60))  # the signal given is left as it is
