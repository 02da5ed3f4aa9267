"""Callbacks: what they do to a real fit."""

import io
import json

import keras
import numpy as np
import pytest

from callbacks import BestModel, Cosine, Milestones, ProgressLine, Stopwatch, Unfreeze, WarmUp


def fit(callback, epochs=2, learning_rate=0.1):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(learning_rate), "mse")
    rates = []
    read = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    model.fit(x, y, batch_size=2, epochs=epochs, verbose=0, callbacks=[callback, read])
    return rates


def test_warm_up_rises_and_then_leaves_the_rate_alone():
    rates = fit(WarmUp(0.1, steps=5))
    assert rates == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1, 0.1, 0.1])
    assert fit(WarmUp(0.1, steps=0), epochs=1) == pytest.approx([0.1] * 4)
    with pytest.raises(ValueError, match="Received: steps=-1"):
        WarmUp(0.1, -1)


def test_milestones_are_a_function_of_the_epoch():
    rates = fit(Milestones(0.1, (2, 4)), epochs=5)[::4]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001, 0.001])
    logs, milestones = {"loss": 1.0}, Milestones(0.1, (2, 4))
    fit(milestones, epochs=4)
    milestones.on_epoch_begin(1)
    milestones.on_epoch_end(1, logs)
    assert logs["learning_rate"] == pytest.approx(0.01)
    with pytest.raises(ValueError, match=r"Received: epochs=\(0, 3\)"):
        Milestones(0.1, (0, 3))


def test_a_cosine_falls_from_the_first_epoch_to_the_last():
    rates = fit(Cosine(0.1, 4, least=0.02), epochs=4)[::4]
    assert rates == pytest.approx(
        [0.1, 0.02 + 0.04 * (1 + 0.5**0.5), 0.06, 0.02 + 0.04 * (1 - 0.5**0.5)]
    )


def test_best_model_is_written_when_it_improves_and_never_half(tmp_path):
    inside = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    whole = keras.Sequential([keras.Input((1,)), inside])
    path = tmp_path / "run{a}" / "model.keras"
    path.parent.mkdir()

    def saved():
        return keras.saving.load_model(path).get_weights()[0].item()

    best = BestModel(path, whole)
    best.set_model(inside)
    best.on_train_begin()
    for epoch, (uar, written) in enumerate([(0.5, 0), (0.4, 0), (0.5, 0), (0.6, 3)]):
        inside.layers[0].set_weights([np.full((1, 1), epoch), np.zeros(1)])
        best.on_epoch_end(epoch, {"val_uar": uar})
        assert saved() == written

    part = path.with_suffix(".part.keras")
    part.write_bytes(b"half a model")  # as a kill leaves it
    best = BestModel(path, whole, best=0.6)
    best.set_model(inside)
    best.on_train_begin()
    inside.layers[0].set_weights([np.full((1, 1), 9), np.zeros(1)])
    best.on_epoch_end(4, {"val_uar": 0.6})
    assert saved() == 3 and not part.exists()
    best.on_epoch_end(5, {"val_uar": 0.7})
    assert saved() == 9


def test_unfreeze_lets_layers_rest_and_then_train_at_another_rate():
    body = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2),
                             keras.layers.BatchNormalization()])  # fmt: skip
    model = keras.Sequential([keras.Input((2,)), body, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    has_face = []
    read = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: has_face.append(
            (
                body.get_weights(),
                float(model.optimizer.learning_rate),
                model.layers[-1].get_weights(),
            )
        )
    )
    before = body.get_weights()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 2)).astype("float32"), np.ones((8, 1), "float32")
    warm_up = WarmUp(0.1, 0)
    unfreeze = Unfreeze(body.layers, 2, 0.01, warm_up)
    arguments = {"batch_size": 4, "verbose": 0, "callbacks": [warm_up, unfreeze, read]}
    model.fit(x, y, epochs=4, **arguments)
    bodies, rates, heads = zip(*has_face)
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert all(map(np.array_equal, bodies[1], before))  # its moving statistics too
    assert not any(map(np.array_equal, bodies[2], bodies[1]))
    assert not np.array_equal(heads[0][0], heads[1][0])
    assert int(model.optimizer.iterations) == 4  # of the second phase
    assert all(layer.trainable for layer in body.layers)

    model.optimizer.learning_rate = 0.005
    model.fit(x, y, epochs=4, initial_epoch=3, **arguments)  # resumed: the rate is the state's
    assert has_face[-1][1] == pytest.approx(0.005)
    assert not any(map(np.array_equal, has_face[-1][0], bodies[3]))

    warm_up.steps = 4
    model.fit(x, y, epochs=3, initial_epoch=1, **arguments)
    assert [rate for _, rate, _ in has_face[-2:]] == pytest.approx([0.005, 0.005])
    with pytest.raises(ValueError, match="at least 1. Received: epoch=0"):
        Unfreeze([], 0, 0.01, warm_up)


def test_progress_line_tells_uar_best_and_time_left():
    stream = io.StringIO()
    before = [{"val_uar": 0.5}, {"val_uar": 0.3}]
    line = ProgressLine(4, before, stream)
    line.on_train_begin()
    for epoch, val_uar in ((2, 0.4), (3, 0.6)):
        line.on_epoch_begin(epoch)
        logs = {"loss": 1.0, "uar": 0.2, "val_loss": 1.1, "val_uar": val_uar}
        line.on_epoch_end(epoch, {**logs, "learning_rate": 1e-3})
    third, fourth = stream.getvalue().splitlines()
    assert third.startswith("epoch   3/4") and "best 0.500 @ 1" in third
    assert "best 0.600 @ 4" in fourth and "0:00 left" in fourth


def test_stopwatch_leaves_validation_out_and_keeps_the_epochs_that_are_done(tmp_path, monkeypatch):
    now = iter([0.0, 2.0, 10.0, 13.0, 20.0, 25.0])  # two epochs with validation, one without
    monkeypatch.setattr("callbacks.stopwatch.time.perf_counter", lambda: next(now))
    path = tmp_path / "timing.json"
    watch = Stopwatch(path, clips=8)
    for epoch in range(2):
        watch.on_epoch_begin(epoch)
        watch.on_test_begin()
        watch.on_epoch_end(epoch)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "clips": 8,
        "seconds": {"1": 2.0, "2": 3.0},
    }
    watch = Stopwatch(path, clips=8, epoch=1)  # the second was not saved: it is trained again
    watch.on_epoch_begin(1)
    watch.on_epoch_end(1)
    assert json.loads(path.read_text(encoding="utf-8"))["seconds"] == {"1": 2.0, "2": 5.0}
