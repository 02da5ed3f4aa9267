"""The contract: each preset learns, resumes to the bit, and predicts a file as it did in memory."""

import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from callbacks import RunState
from emotion import models
from emotion.clip import Clip
from emotion.data import feature_tables, splits
from emotion.encoders import efficientface, resnet, wav2vec2
from emotion.inference.recognizer import Recognizer
from emotion.signals.augment import Augmentation
from emotion.signals.cache import SignalCache
from emotion.training import train
from emotion.training.batches import Batches
from tests.encoders.test_wav2vec2 import SMALL
from tests.models.test_action_units import write_table
from tests.models.test_models import small
from tests.training.test_train import contents

pytestmark = pytest.mark.slow
LABELS, WIDTHS = ("happy", "sad", "angry"), resnet.EMBEDDING
PLAIN = Augmentation(probability=0, flip=0, shift=0, light=0, missing=0, mixup=0)
EPOCHS, CUT = 12, 10
RATES = {"wav2vec2_resnet50": 1e-2}  # its own is for pretrained encoders
# What cannot learn: who asks whom among a single token, and what an LSTM of one step remembers.
UNTRAINED = {
    "mean_mfcc_resnet18_transformer": ("/query/", "/key/"),
    "action_unit_bilstm": ("/recurrent_kernel",),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("table") / "au_mfcc.pkl", speakers=5)


def narrow(name, width, scale):
    """Returns an encoder of frames with as wide an embedding as the one it stands in for."""
    frames = keras.Input((None, None, 3))
    x = layers.Conv2D(16, 3, 2, activation="relu")(layers.Rescaling(scale)(frames))
    x = layers.Dense(width, activation="relu")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(frames, x, name=name)


@pytest.fixture(scope="module", params=models.PRESETS)
def trained(request, clips, table, signals, tmp_path_factory):
    """A preset trained on nine clips, and what a kill after an epoch would have left of it.

    Frames are small, and narrow encoders stand in for the pretrained ones: the state of Wav2Vec2
    alone is 2 GB an epoch. What those compute, how they learn and are saved, is tested elsewhere.
    """
    preset, folder = small(request.param), tmp_path_factory.mktemp(request.param)
    augmentation = replace(PLAIN, modality_dropout=preset.augmentation.modality_dropout)
    rate = RATES.get(preset.name, preset.recipe.learning_rate)
    recipe = replace(preset.recipe, epochs=EPOCHS, learning_rate=rate, warmup_epochs=0)
    preset = replace(preset, augmentation=augmentation, recipe=recipe)
    cached = SignalCache(preset.spec("haar"), signals)
    provided = table if cached.spec.table_features else None
    few = [clip for clip in clips if clip.label in LABELS]
    split = splits.split(
        feature_tables.join(few, provided) if provided else few, "speaker-kfold", 0
    )
    built, saved, save = [], [], RunState._save

    def build(*arguments):
        model = models.build_model(*arguments)
        built.append((model, [np.array(weight) for weight in model.trainable_weights]))
        return model

    def save_and_copy(state):
        save(state)
        saved.append(state.epoch)
        if state.epoch == CUT:
            shutil.copytree(state.folder.parent, folder / "cut")

    def start(name, resume=False):
        training = train.Training(preset, split, LABELS, cached, encoder_weights=["none"])
        return train.train(training, folder / name, resume=resume)

    def batch(clip):
        return Batches([clip], preset, LABELS, 1, cached.load)[0][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wav2vec2, "build", partial(wav2vec2.build, SMALL))
        patch.setattr(efficientface, "build", lambda _: narrow("efficientface", 1024, 1))
        patch.setattr(resnet, "build", lambda depth, name: narrow(name, WIDTHS[depth], 1 / 255))
        patch.setattr(train, "build_model", build)
        patch.setattr(RunState, "_save", save_and_copy)
        run = start("whole")
        model, before = built[0]
        yield SimpleNamespace(
            run=run, model=model, before=before, saved=saved, start=start, batch=batch,
            test=split.test, table=provided,
        )  # fmt: skip


def test_the_loss_falls_and_all_that_can_learn_does(trained):
    losses = pd.read_csv(trained.run.folder / "history.csv")["loss"]
    assert len(losses) == EPOCHS and losses[-3:].mean() < losses[:3].mean()  # dropout makes noise
    pairs = zip(trained.model.trainable_weights, trained.before, strict=True)
    still = [weight.path for weight, before in pairs if np.array_equal(weight, before)]
    without_video = UNTRAINED.get(trained.run.preset.name, ())
    assert [path for path in still if not any(part in path for part in without_video)] == []


def test_a_saved_model_gives_the_logits_it_gave_in_memory(trained):
    again = trained.run.model()
    item, other = (trained.batch(clip) for clip in trained.test[:2])
    logits = trained.model.predict_on_batch(item)
    np.testing.assert_array_equal(again.predict_on_batch(item), logits)
    assert not np.array_equal(again.predict_on_batch(other), logits)


def test_broken_off_after_an_epoch_it_ends_with_the_same_bits(trained):
    trained.saved.clear()
    again = trained.start("cut", resume=True)
    assert trained.saved == [*range(CUT + 1, EPOCHS + 1)]
    assert contents(again) == contents(trained.run)


def test_a_file_is_predicted_as_in_memory(trained, recording):
    name = feature_tables.clip_id(recording.stem)
    clip = Clip(name, LABELS[0], "", audio=recording, video=recording, table=trained.table)
    wanted = keras.ops.softmax(trained.model.predict_on_batch(trained.batch(clip)))
    result = Recognizer(trained.run.folder).predict_file(recording, trained.table)
    assert result.has_audio == ("audio" in trained.run.preset.features)
    assert result.has_face and result.labels == LABELS
    assert result.probabilities.sum() == pytest.approx(1, abs=1e-6)
    # Crops are encoded apart from the rest, whose last bits depend on the batch.
    np.testing.assert_allclose(result.probabilities, wanted[0], rtol=0, atol=1e-6)
