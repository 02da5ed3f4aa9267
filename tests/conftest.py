"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

from emotion import backend

backend.start()


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
    from emotion.corpora import synthetic

    return synthetic.write(tmp_path_factory.mktemp("corpus"), 5, 1, seed=1, progress=False)


@pytest.fixture(scope="session")
def clips(corpus):
    """The clips of `corpus`."""
    from emotion import corpora

    return corpora.clips(corpus)


@pytest.fixture(scope="session")
def signals(tmp_path_factory):
    """Path of a signal cache that tests share; what they put there is right by its key."""
    return tmp_path_factory.mktemp("signals")


@pytest.fixture(scope="session")
def trained(clips, signals, tmp_path_factory):
    """A run of the default preset, trained for two epochs on `corpus` with the Haar cascade."""
    from dataclasses import replace

    from emotion import folds, labels, models, training

    preset = models.preset("cnn3d_mfcc")
    preset = replace(preset, recipe=replace(preset.recipe, epochs=2, batch_size=8))
    return training.train(
        preset,
        folds.split(clips, "speaker-kfold", 0),
        labels.RAVDESS,
        tmp_path_factory.mktemp("runs") / "run",
        preset.spec("haar"),
        cache_folder=signals,
    )
