"""What the starter answers to ordinary recordings, and how long it takes.

    taskset --cpu-list 0 python benchmarks/starter.py --data RECORDINGS [--model RUN]

Prints the answers to sounds in which nobody speaks, to pictures with and without faces, and to
recordings of people; then the median time of a window as ONNX, its 20 crops and its log-mel map
being there already, and that of the voice branch and of one crop by themselves. Without `taskset`,
it runs on all cores.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))
from emotion import analyze, backend, media

backend.start()
import keras
import onnxruntime

from emotion.clip import MediaError
from emotion.inference import export, runtime
from emotion.inference.recognizer import Recognizer
from emotion.shipped import starter

RECORDINGS = (
    "one_face.mp4",
    "multi_face.jpg",
    "no_face.mp4",
    "cover_art.mp3",
    "nasa_8khz_audio.mp4",
)
RATE = 22050


def silence():
    """Six seconds of nothing, float32 (n,)."""
    return np.zeros(6 * RATE, np.float32)


def music():
    """Six seconds of plucked major chords, float32 (n,)."""
    time = np.arange(6 * RATE) / RATE
    root = np.repeat([261.6, 349.2, 392.0], 2 * RATE)
    tones = (np.sin(2 * np.pi * k * r * root * time) / k for r in (1, 1.26, 1.5) for k in (1, 2, 3))
    return (0.1 * sum(tones) * np.exp(-3 * (time % 0.5))).astype(np.float32)


def blank():
    """An oval without eyes or mouth, uint8 (480, 640, 3)."""
    image = np.full((480, 640, 3), 90, np.uint8)
    return cv2.ellipse(image, (320, 240), (110, 150), 0, 0, 360, (205, 170, 150), -1)


def three(data):
    """Three times the same face, uint8 (h, 3 w, 3)."""
    return np.tile(media.read_image(data / "media/single_face.jpg"), (1, 3, 1))


def sources(data, folder):
    """Yields pairs (name, path or image)."""
    for name, samples in (("silence", silence()), ("music", music())):
        soundfile.write(folder / f"{name}.wav", samples, RATE)
        yield name, folder / f"{name}.wav"
    yield "an oval without features", blank()
    yield "three faces in a picture", three(data)
    for name in RECORDINGS:
        yield name, data / "media" / name
    for path in sorted((data / "ravdess/videos").glob("**/*.mp4")):
        yield f"RAVDESS {path.stem}", path


def answer(recognizer, source):
    """What is printed on a recording."""
    try:
        return str(analyze(source, recognizer)).replace("\n", "; ")
    except MediaError as error:
        return str(error).split(": ")[-1]


def milliseconds(predict, inputs, repeats=50):
    """The median time of a window."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        predict(inputs)
        times.append(1000 * (time.perf_counter() - begun))
    return float(np.median(times))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder of the test recordings")
    parser.add_argument("--model", type=Path, default=starter())
    args = parser.parse_args()
    recognizer = Recognizer(args.model, use_export=False)
    print("| recording | answer |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources(args.data, Path(folder)):
            print(f"| {name} | {answer(recognizer, source)} |", flush=True)
        exported = Path(folder, "onnx")
        clip = next((args.data / "ravdess/videos").glob("**/*.mp4"))
        signal = recognizer.read(clip)
        export.export_run(recognizer, "onnx", exported, [signal], clip.name)
        predict = runtime.load(exported / runtime.FILES["onnx"])
        for name, missing in (
            ("face and sound", ""),
            ("sound alone", "video"),
            ("face alone", "audio"),
        ):
            inputs = recognizer.inputs([signal.without(missing) if missing else signal])
            print(f"{name}: {milliseconds(predict, inputs):.1f} ms a window")
        whole, inputs = recognizer.model, recognizer.inputs([signal])
        voice = keras.Model(whole.input["audio"], whole.get_layer("audio_logits").output)
        for name, part, values in (
            ("the voice branch", voice, inputs["audio"]),
            (
                "the face encoder, one crop",
                whole.get_layer("face_encoder"),
                np.float32(inputs["video"][0, :1]),
            ),
        ):
            part(values)  # `export` takes a model that was called
            with backend.quiet():
                part.export(exported / "part.onnx", format="onnx", verbose=False)
            session = onnxruntime.InferenceSession(exported / "part.onnx")
            feed = {session.get_inputs()[0].name: values}
            print(f"{name} by itself: {milliseconds(partial(session.run, None), feed):.1f} ms")


if __name__ == "__main__":
    main()
