"""What a type checker knows of `import emotion`; mypy reads this file, nothing runs it."""

from pathlib import Path
from typing import assert_type

import numpy as np
import pandas as pd

import emotion


def recording(path: str, photograph: np.ndarray) -> None:
    analysis = emotion.analyze(path, model="saved_models/run")
    assert_type(analysis, emotion.Analysis)
    assert_type(emotion.analyze([path, photograph]), list[emotion.Analysis])
    assert_type(analysis.to_pandas(), pd.DataFrame)
    assert_type(analysis.summary(), pd.DataFrame)
    analysis.annotate("out.mp4")


def model(folder: Path) -> None:
    recognizer = emotion.Recognizer.load(folder)
    assert_type(recognizer.labels, tuple[str, ...])
    assert_type(recognizer.predict(["talk.mp4"]), np.ndarray)
    assert_type(recognizer.predict_file("talk.mp4").label, str)


def training(data: Path) -> None:
    run = emotion.train(data, modality="audio", epochs=2)
    assert_type(emotion.evaluate(emotion.load_run("saved_models/run")), emotion.Evaluation)
    clips = emotion.corpora.clips(data)
    assert_type(clips, list[emotion.Clip])
    assert_type(emotion.splits.split(clips, "ravdess-6fold"), emotion.Split)
    del run
