"""Training where TensorFlow is not installed: Keras on JAX."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from emotion.run import weights_digest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None and not os.environ.get("EMOTION_REQUIRE_PARITY"),
    reason="needs JAX",
)
# An import of TensorFlow fails, as it does where it is not installed.
CODE = """
import sys
sys.modules["tensorflow"] = None
from emotion.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_is_trained_and_resumed(corpus, tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "EMOTION_CACHE": str(tmp_path / "cache")}

    def emotion(*arguments):
        call = [sys.executable, "-c", CODE, *map(str, arguments)]
        done = subprocess.run(
            call, env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    options = ["--modality", "audio", "--protocol", "speaker-kfold", "--workers", 0]
    run = tmp_path / "run"
    emotion("train", "--data", corpus, *options, "--epochs", 1, "--run", run)
    assert "UAR" in emotion("train", "--run", run, "--resume", "--epochs", 2)
    assert json.loads((run / "metrics.json").read_text(encoding="utf-8"))["epochs"] == 2
    whole = tmp_path / "whole"
    emotion("train", "--data", corpus, *options, "--epochs", 2, "--run", whole)
    assert weights_digest(run) == weights_digest(whole)
    histories = [(each / "history.csv").read_text(encoding="utf-8") for each in (run, whole)]
    assert histories[0] == histories[1]
