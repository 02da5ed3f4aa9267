"""Recognizer: a saved run or an export of it, ready to predict a file or a signal."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from emotion import media
from emotion.clip import Clip, MediaError, Prediction, Signal
from emotion.data import feature_tables
from emotion.faces.crop import STEP, CropStream, main_face
from emotion.faces.detect import Detector
from emotion.inference import runtime
from emotion.inference.frame_encoder import FrameEncoder
from emotion.run import load_run
from emotion.signals import cache, voice_activity

if TYPE_CHECKING:
    import keras

    from emotion.clip import Arrays


def as_image(image: np.ndarray | Image.Image) -> np.ndarray:
    """Returns an image, uint8 (h, w, 3) RGB and upright, of an array or a PIL.Image.

    Raises:
        ValueError: an array of another shape or dtype.
    """
    if isinstance(image, Image.Image):
        return media.upright(image)
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            f"an image must be a uint8 array (h, w, 3), RGB. Received: {array.dtype} {array.shape}."
        )
    return array


class Recognizer:
    """Everything prediction needs, rebuilt from a folder alone.

    Where `export` has written RUN/onnx of the weights that the run still has, that predicts, and
    neither Keras nor TensorFlow is loaded.

    Args:
        folder: str or Path of a run, or of what `export.export` made of it or the model therein.
        detector_weights: Path of YuNet's weights, for a run trained on its crops, where they are
            not in their usual place.
        threshold: float in [0, 1], the confidence below which a prediction is uncertain; None for
            the run's, 0 for none.
        any_sound: bool, whether sound is used in which nobody speaks.
        use_export: bool, whether the run's own export predicts for it.

    Attributes:
        run: run.Run.
        preset: Preset.
        labels: tuple of str.
        detector: detect.Detector, the one the run was trained with; None where it sees nothing.
        exported: Path of the exported model that predicts, or None where Keras does.
        temperature: float, what logits are divided by; an export's model does it itself.
        thresholds: dict of modality to float, as given or the run's.
        window: float, seconds, the median duration of the clips it was trained on.
        sample_rate: int, Hz; crop_size: int, pixels; crop_margin: float: what a signal must have.

    Raises:
        FileNotFoundError: the folder is no trained run, or the run's face detector is missing.
        ValueError, ModuleNotFoundError: an export cannot be read, or what runs it is not there; or
            the threshold is out of range.
    """

    def __init__(
        self,
        folder: str | Path,
        detector_weights: str | Path | None = None,
        threshold: float | None = None,
        any_sound: bool = False,
        use_export: bool = True,
    ):
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"`threshold` must be from 0 to 1. Received: {threshold}.")
        self.exported = runtime.find(folder)
        self.run = load_run(self.exported.parent if self.exported else folder)
        self.preset, self.labels = self.run.preset, self.run.labels
        self.spec = self.preset.spec(self.run.record.detector)
        self.window = self.run.record.window
        self.sample_rate = self.spec.sample_rate or 22050
        self.crop_size, self.crop_margin = self.spec.size, self.spec.margin
        name = self.run.record.detector
        self.detector = Detector(name, detector_weights) if name else None
        self._weights = detector_weights
        self.temperature = 1.0 if self.exported else self.run.temperature
        self.thresholds = self.run.thresholds
        if threshold is not None:
            self.thresholds = dict.fromkeys(self.thresholds, threshold)
        self.any_sound = any_sound
        if not self.exported and use_export:
            self.exported = runtime.export_of(self.run)
        self._load()

    def _load(self):
        self._predict = self.exported and runtime.load(self.exported)
        self._frames = None if self.exported else FrameEncoder.of(self.model)

    @cached_property
    def model(self) -> keras.Model | None:
        """keras.Model to logits, loaded where it is first used; None for an export."""
        return None if self.run.record.exported else self.run.model()

    def another(self) -> Recognizer:
        """Returns a Recognizer for a thread: with a detector and, of an export, a model of its own.

        A keras.Model is shared.
        """
        other = copy.copy(self)
        other.detector = self.detector and Detector(self.detector.name, self._weights)
        other._load()
        return other

    def inputs(self, signals: list[Signal]) -> Arrays:
        """Returns the model's inputs for a list of Signal: a dict of arrays with a batch axis."""
        rows = [self.preset.extract(signal) for signal in signals]
        return {name: np.stack([row[name] for row in rows]) for name in self.preset.features}

    @classmethod
    def load(cls, folder: str | Path, detector_weights: str | Path | None = None) -> Recognizer:
        """Returns the Recognizer of a run or an export; the arguments are those of the class."""
        return cls(folder, detector_weights)

    def predict(self, sources: str | Path | np.ndarray | Sequence) -> np.ndarray:
        """Predicts each of several signals, recordings or images as one window.

        Args:
            sources: list of Signal (`samples` is None without sound, `frames` without a face), of
                paths of recordings, or of images as uint8 arrays (h, w, 3), RGB, or PIL.Image; or
                one path or image.

        Returns:
            float32 array (n, len(labels)), probabilities.

        Raises:
            FileNotFoundError, MediaError: a recording cannot be read, or holds nothing that the
                model uses.
            ValueError: the model predicts what is no number.
        """
        several = isinstance(sources, (list, tuple))
        signals = [self._signal(source) for source in (sources if several else [sources])]
        if not signals:
            return np.zeros((0, len(self.labels)), np.float32)
        if self.exported:
            return self._numbers(self._predict(self.inputs(signals)))
        from scipy import special  # not above: it takes 0.4 s to load

        logits = (self._frames or self.model.predict_on_batch)(self.inputs(signals))
        logits = np.asarray(logits, np.float32) / self.temperature
        return self._numbers(special.softmax(logits, axis=1))

    def _numbers(self, probabilities):
        """Returns the probabilities; refuses those of a damaged model."""
        if not np.isfinite(probabilities).all():
            raise ValueError(
                f"{self.run.folder} predicts what is no number: its weights are damaged; train or "
                "export it anew."
            )
        return probabilities

    def threshold(self, signal: Signal) -> float:
        """Returns the confidence below which the prediction of a signal is uncertain.

        It is the highest of those of the modalities that the signal has.
        """
        present = {"audio": signal.has_audio, "video": signal.has_face}
        least = [value for name, value in self.thresholds.items() if present.get(name)]
        return max(least or self.thresholds.values())

    def _signal(self, source):
        if isinstance(source, Signal):
            return source
        return self.read(source) if isinstance(source, (str, Path)) else self.still(source)

    def still(self, image: np.ndarray) -> Signal:
        """Returns the Signal of the main face of an image, as identical frames without sound.

        Args:
            image: uint8 array (h, w, 3), RGB, or PIL.Image.

        Raises:
            MediaError: there is no face, or the run uses no face crops.
        """
        if self.detector is None:
            raise MediaError(f"{self.run.folder} uses no face crops; use another run for an image.")
        frame, stream = as_image(image), CropStream(self.detector, self.spec.size, self.crop_margin)
        for index in range(math.ceil(self.window / STEP)):
            stream.add(index * STEP, frame)
        face = main_face(stream.tracks(0.0, self.window))
        if face is None:
            raise MediaError("no face was found in the image; use another.")
        return Signal(None, 0, face[2], face[0], self.window)

    def table_features(self, path: str | Path, features: Path | str) -> Arrays:
        """Returns what a table says of a recording, for each of its windows.

        Action units alone: a window is not the clip whose mean-MFCC series a table may have too,
        and has sound of its own.

        Args:
            path: str or Path of the recording.
            features: Path of a table with values of the recording under its name.

        Returns:
            dict of feature name to float32 array, for `Signal.features`.

        Raises:
            FileNotFoundError, ValueError: the table cannot be read or lacks the recording, or the
                run uses no action units.
        """
        if "action_units" not in self.spec.table_features:
            raise ValueError(
                f"{self.run.folder} uses no action units, which is what a table is for. "
                f"Received: {features}; leave it out."
            )
        values = feature_tables.values(features, Path(path).stem)
        return {"action_units": values["action_units"]}

    def predict_file(self, path: str | Path, features: str | Path | None = None) -> Prediction:
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
            has_audio=signal.has_audio,
            has_face=signal.has_face,
            threshold=self.threshold(signal),
        )

    def read(self, path: str | Path, features: str | Path | None = None) -> Signal:
        """Decodes a whole recording as training decodes a clip; without sound if nobody speaks.

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
            table=Path(features) if features else None,
        )
        signal = cache.decode(clip, self.spec, detector=self.detector)
        signal = replace(signal, samples=self.spoken(signal.samples))
        if not (signal.has_audio or signal.has_face):
            raise MediaError(f"{path}: nobody speaks in it, and no face is used; try another.")
        return signal

    def spoken(self, samples: np.ndarray | None) -> np.ndarray | None:
        """Returns the samples of a window, float32 (n,), or None where nobody speaks in them."""
        if samples is None or self.any_sound:
            return samples
        return samples if voice_activity.has_speech(samples, self.sample_rate) else None
