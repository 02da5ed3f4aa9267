"""Fixtures that several test files share."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from emotion import backend, shipped

backend.start()
os.environ.pop("EMOTION_STARTER", None)
STARTER = shipped.starter()
# Without the starter, tests start from the same weights whatever is shipped.
os.environ["EMOTION_STARTER"] = "none"


@pytest.fixture(scope="session", autouse=True)
def encodings():
    """The warnings of other packages stay out of the output of commands that tests start."""
    os.environ.pop("PYTHONWARNDEFAULTENCODING", None)


@pytest.fixture
def starter(monkeypatch):
    """Path of the starter, which the program finds for the time of the test."""
    if STARTER is None:
        pytest.skip("this checkout has no starter")
    monkeypatch.setenv("EMOTION_STARTER", str(STARTER))
    return STARTER


@pytest.fixture(scope="session")
def data():
    """Path of the real recordings: $EMOTION_TEST_DATA, else ../shared/data; skips without them."""
    root = Path(os.environ.get("EMOTION_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (root / "media").is_dir():
        if os.environ.get("EMOTION_REQUIRE_DATA"):
            pytest.fail(f"EMOTION_REQUIRE_DATA is set, but there are no recordings at {root}")
        pytest.skip(f"real recordings not found at {root}; set EMOTION_TEST_DATA")
    return root


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Path of a synthetic corpus: 5 speakers, each emotion once."""
    from emotion.synthetic import generate

    return generate.write(tmp_path_factory.mktemp("corpus"), 5, 1, seed=1, progress=False)


@pytest.fixture(scope="session")
def clips(corpus):
    """The clips of `corpus`."""
    from emotion.data import corpora

    return corpora.clips(corpus)


@pytest.fixture(scope="session")
def signals(tmp_path_factory):
    """Path of a signal cache that tests share; what they put there is right by its key."""
    return tmp_path_factory.mktemp("signals")


@pytest.fixture(scope="session")
def recording(clips, tmp_path_factory):
    """Path of a video with sound, named as RAVDESS names it: the first clip of `corpus`."""
    from emotion import media

    path = tmp_path_factory.mktemp("recording") / f"01-{clips[0].id}.mp4"
    rate = media.probe(clips[0].video).rate
    sound = media.read_samples(clips[0].audio, 44100), 44100
    with media.VideoWriter(path, rate=rate, sound=sound) as writer:
        for time, frame in media.read_frames(clips[0].video):
            writer.write(frame, time)
    return path


@pytest.fixture(scope="session")
def trained(clips, signals, tmp_path_factory):
    """A run of the default preset, trained for two epochs on `corpus` with the Haar cascade."""
    from dataclasses import replace

    from emotion import models
    from emotion.data import labels, splits
    from emotion.signals.cache import SignalCache
    from emotion.training.train import Training, train

    preset = models.preset("cnn3d_mfcc")
    preset = replace(preset, recipe=replace(preset.recipe, epochs=2, batch_size=8))
    split = splits.split(clips, "speaker-kfold", 0)
    cached = SignalCache(preset.spec("haar"), signals)
    training = Training(preset, split, labels.RAVDESS, cached)
    return train(training, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session")
def small():
    """Makes a small model of a preset with random weights: model, preset, inputs of one clip."""
    from dataclasses import replace

    import keras
    import numpy as np

    from emotion import models
    from emotion.features import FaceFrames

    counts = {"cnn3d_mfcc": 20, "mean_mfcc_resnet18_transformer": 1}

    def small(name):
        keras.utils.set_random_seed(0)
        rng, frames = np.random.default_rng(0), FaceFrames(count=counts.get(name, 2), size=32)
        preset = replace(models.preset(name), video=frames)
        inputs = {
            "audio": rng.normal(size=preset.audio.shape).astype(np.float32),
            "video": rng.integers(0, 256, frames.shape, np.uint8),
        }
        return models.build_model(preset, 8), preset, inputs

    return small


@pytest.fixture(scope="session")
def launch():
    """Opens an installed Chromium, driven by Playwright, with some flags; skips without one."""
    from playwright import sync_api

    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if path is None:
        if os.environ.get("EMOTION_REQUIRE_BROWSER"):
            pytest.fail("EMOTION_REQUIRE_BROWSER is set, but no Chromium is installed")
        pytest.skip("no Chromium found; install one (apt-get install chromium)")

    @contextmanager
    def launch(flags=()):
        with sync_api.sync_playwright() as driver:
            arguments = ["--no-sandbox", *flags]
            browser = driver.chromium.launch(executable_path=path, args=arguments)
            yield browser
            browser.close()

    return launch


@pytest.fixture(scope="module")
def browser(launch):
    """An installed Chromium, driven by Playwright."""
    with launch() as browser:
        yield browser
