"""Recognizer: a saved run or an export of it, ready to predict a file or a signal."""

import copy
from pathlib import Path

import numpy as np

from emotion import media
from emotion.clip import Clip, Prediction
from emotion.data import feature_tables
from emotion.faces.detect import Detector
from emotion.inference import runtime
from emotion.run import load_run
from emotion.signals import cache


class Recognizer:
    """Everything prediction needs, rebuilt from a folder alone.

    Args:
        folder: str or Path of a run, or of what `export.export` made of it or the model therein.
        detector_weights: Path of YuNet's weights, for a run trained on its crops, where they are
            not in their usual place.

    Attributes:
        run: run.Run.
        preset: Preset.
        labels: tuple of str.
        detector: detect.Detector, the one the run was trained with; None where it sees nothing.
        model: keras.Model, to logits; None for an export.
        window: float, seconds, the median duration of the clips it was trained on.
        sample_rate: int, Hz; crop_size: int, pixels; crop_margin: float: what a signal must have.

    Raises:
        FileNotFoundError: the folder is no trained run, or the run's face detector is not at hand.
        ValueError, ModuleNotFoundError: an export cannot be read, or what runs it is not there.
    """

    def __init__(self, folder, detector_weights=None):
        exported = runtime.find(folder)
        self.run = load_run(exported.parent if exported else folder)
        self.preset, self.labels = self.run.preset, self.run.labels
        self.spec = self.preset.spec(self.run.record.detector)
        self.window = self.run.record.window
        self.sample_rate = self.spec.sample_rate or 22050
        self.crop_size, self.crop_margin = self.spec.size, self.spec.margin
        name = self.run.record.detector
        self.detector = Detector(name, detector_weights) if name else None
        self._weights = detector_weights
        self.model = None if exported else self.run.model()
        self._place, self._exported = exported, exported and runtime.load(exported)

    def another(self):
        """Returns a Recognizer for a thread: with a detector and, of an export, a model of its own.

        A keras.Model is shared.
        """
        other = copy.copy(self)
        other.detector = self.detector and Detector(self.detector.name, self._weights)
        other._exported = self._place and runtime.load(self._place)
        return other

    def inputs(self, signals):
        """Returns the model's inputs for a list of Signal: a dict of arrays with a batch axis."""
        rows = [self.preset.extract(signal) for signal in signals]
        return {name: np.stack([row[name] for row in rows]) for name in self.preset.features}

    def predict(self, signals):
        """Predicts.

        Args:
            signals: list of Signal; where `samples` is None nothing is heard, where `frames` is
                None no face is seen.

        Returns:
            float32 array (len(signals), len(labels)), probabilities.
        """
        if not signals:
            return np.zeros((0, len(self.labels)), np.float32)
        if self._exported:
            return self._exported(self.inputs(signals))
        import keras  # not above: an exported model needs none of it

        logits = self.model.predict_on_batch(self.inputs(signals))
        return keras.ops.convert_to_numpy(keras.ops.softmax(logits))

    def given(self, path, features):
        """Returns what a table says of a recording, for each of its windows.

        Action units alone: a window is not the clip whose mean-MFCC series a table may have too,
        and has sound of its own.

        Args:
            path: str or Path of the recording.
            features: Path of a table with values of the recording under its name.

        Returns:
            dict of feature name to float32 array, for `Signal.given`.

        Raises:
            FileNotFoundError, ValueError: the table cannot be read or lacks the recording, or the
                run uses no action units.
        """
        if "action_units" not in self.spec.given:
            raise ValueError(
                f"{self.run.folder} uses no action units, which is what a table is for. "
                f"Received: {features}; leave it out."
            )
        values = feature_tables.values(features, Path(path).stem)
        return {"action_units": values["action_units"]}

    def predict_file(self, path, features=None):
        """Predicts a whole recording as one window, decoded as training decodes a clip.

        Args:
            path: str or Path of a video or a sound file.
            features: Path of a table with values of the recording under its name, for a run that
                uses such; without it, its part of the model's input counts as absent.

        Returns:
            Prediction.

        Raises:
            FileNotFoundError, MediaError: it cannot be read, or nothing is heard or seen in it.
            ValueError: the table cannot be read, or lacks the recording.
        """
        signal = self.read(path, features)
        return Prediction(
            start=0.0,
            end=signal.duration,
            labels=self.labels,
            probabilities=self.predict([signal])[0],
            heard=signal.heard,
            seen=signal.seen,
        )

    def read(self, path, features=None):
        """Decodes a whole recording as training decodes a clip.

        Args:
            path, features: as for `predict_file`.

        Returns:
            Signal.

        Raises:
            FileNotFoundError, MediaError, ValueError: as `predict_file`.
        """
        path = Path(path)
        info = media.probe(path)
        clip = Clip(
            feature_tables.clip_id(path.stem),
            label="",
            speaker="",
            audio=path if info.audio else None,
            video=path if info.video else None,
            given=features,
        )
        return cache.decode(clip, self.spec, detector=self.detector)
