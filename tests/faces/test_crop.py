"""One path to the crops: training, recordings and live feed a model the same bits."""

from types import SimpleNamespace

import numpy as np
import pytest
from stub import scene, white_square

from emotion import media, models
from emotion.clip import Clip
from emotion.faces import detect
from emotion.faces.crop import STEP, CropStream, main_face
from emotion.inference.timeline import analyse
from emotion.inference.windows import Windows
from emotion.live import sources
from emotion.signals import cache

WINDOW, HOP = 1.2, 0.5
CLIPS = (
    "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4",
    "ravdess/videos/Actor_01/01-01-07-02-02-01-01.mp4",
    "ravdess/videos/Actor_19/01-01-08-02-01-01-19.mp4",
    "media/one_face_short.mp4",
    "media/grid_mpeg1_mp2.mpg",
)


def stream(times, draw, detector=white_square):
    result = CropStream(detector, 32, 0.2)
    for index, time in enumerate(times):
        result.add(time, draw(index))
    return result


def test_a_stretch_gives_the_same_crops_whatever_lies_around_it():
    times, draw = np.arange(30) * STEP, scene(lambda i: i not in (11, 12))
    whole = stream(times, draw)
    alone = stream(times[8:20], lambda i: draw(i + 8))
    span = times[8], times[20]
    (item,), (other,) = (individual.tracks(*span).values() for individual in (whole, alone))
    assert len(item[0]) == 10
    assert all(np.array_equal(a, b) for a, b in zip(item, other))
    whole.forget(times[8])
    assert all(np.array_equal(a, b) for a, b in zip(whole.tracks(*span)[0], other))


def test_a_crop_shows_the_face_in_its_middle_also_where_detection_jitters():
    jitter = np.random.default_rng(0).normal(0, 4, (40, 2))

    def shaky(frame):
        boxes = white_square(frame)
        boxes[:, :4] += np.tile(jitter[int(frame[0, 0, 0])], 2)
        return boxes

    def draw(i):
        frame = scene(lambda _: True, step=4)(i)
        frame[0, 0] = i
        return frame

    ((times, boxes, crops),) = stream(np.arange(40) * STEP, draw, shaky).tracks(0, 9).values()
    assert crops.shape == (40, 32, 32, 3) and crops.dtype == np.uint8 and len(times) == 40
    for index, (crop, box) in enumerate(zip(crops, boxes)):
        rows, columns = np.nonzero(crop.min(axis=2) > 150)
        wanted = 16 + (60 + 4 * index - (box[0] + box[2]) / 2) * 32 / (1.4 * (box[2] - box[0]))
        assert columns.mean() + 0.5 == pytest.approx(wanted, abs=1) and len(rows) > 400


def test_the_main_face_weighs_presence_and_size():
    small_always = (np.arange(10), np.tile((10.0, 0, 30, 20), (10, 1)), "small")
    large_often = (np.arange(6), np.tile((300.0, 0, 360, 60), (6, 1)), "large")
    assert main_face({0: small_always, 1: large_often})[2] == "large"
    assert main_face({}) is None


@pytest.fixture(scope="module", params=["haar", "yunet"])
def detector(request, data):
    weights = data / "weights" / "face_detection_yunet_2023mar.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOTION_YUNET", str(weights))
        yield request.param


def recognizer(preset, detector):
    """What reads a recording for a preset, and remembers the signals that it is to predict."""
    spec, signals = preset.spec(detector), []

    def predict(batch):
        signals.extend(batch)
        return np.full((len(batch), 8), 1 / 8, np.float32)

    return SimpleNamespace(
        preset=preset, spec=spec, predict=predict, signals=signals, labels=tuple("abcdefgh"),
        window=WINDOW, sample_rate=spec.sample_rate, crop_size=spec.size, crop_margin=spec.margin,
        detector=detect.Detector(detector),
        threshold=lambda signal: 0.0, spoken=lambda samples: samples,
    )  # fmt: skip


def live(path, reader):
    """Yields (start, end, Signal) of the windows of a file that comes as from a camera."""

    def wait(_):
        pass

    sound = None if media.probe(path).audio else "none"
    camera, microphone = sources.open_both(str(path), sound, reader.sample_rate, lambda: 0.0, wait)
    events = [(time, "picture", frame) for time, frame in camera.read(0.0)]
    if microphone:
        rate = reader.sample_rate
        blocks = [(t + len(b) / rate, "sound", b) for t, b in microphone.read(0.0)]
        events = sorted([*events, *blocks], key=lambda event: event[0])
    kinds = ("picture", "sound") if microphone else ("picture",)
    windows, due = Windows(reader, WINDOW, HOP, kinds), 0.0
    for time, kind, value in events:
        if kind == "picture":  # as live.Session looks
            value, due = (value, (time // STEP + 1) * STEP) if time + 1e-6 >= due else (None, due)
        else:
            time -= len(value) / reader.sample_rate
        for start, end, result in windows.take(kind, time, value):
            yield from ((start, end, signal) for _, signal in result)


def same(item, other, preset):
    """Whether two signals and what a model reads of them are equal bit for bit."""

    def equal(a, b):
        return (a is None) == (b is None) and (a is None or np.array_equal(a, b))

    parts = ("samples", "frames", "times", "duration", "sample_rate")
    if not all(equal(getattr(item, name), getattr(other, name)) for name in parts):
        return False
    inputs, others = preset.extract(item), preset.extract(other)
    return all(np.array_equal(inputs[name], others[name]) for name in inputs)


@pytest.mark.slow
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("name", ["cnn3d_mfcc", "efficientface_intermediate_attention"])
def test_training_annotate_and_live_read_the_same(data, detector, name, clip):
    path, preset = data / clip, models.preset(name)
    reader = recognizer(preset, detector)
    timeline = analyse(path, reader, WINDOW, HOP)
    assert timeline.duration > WINDOW and timeline.tracks
    sound = path if media.probe(path).audio else None
    taken = Clip("id", "happy", "anna", audio=sound, video=path)
    windows = {}
    for prediction, signal in zip(timeline.predictions, reader.signals, strict=True):
        windows.setdefault((prediction.start, prediction.end), []).append(signal)
    as_live = {}
    for start, end, signal in live(path, recognizer(preset, detector)):
        as_live.setdefault((start, end), []).append(signal)
    assert set(as_live) <= set(windows) and len(as_live) >= len(windows) - 1
    face_count = 0
    for span, signals in windows.items():
        trained = cache.decode(taken, reader.spec, span)
        face_count += trained.has_face
        assert any(same(trained, signal, preset) for signal in signals), span
        if span in as_live:
            assert len(as_live[span]) == len(signals)
            assert all(same(*pair, preset) for pair in zip(as_live[span], signals)), span
    assert face_count >= len(windows) / 2
