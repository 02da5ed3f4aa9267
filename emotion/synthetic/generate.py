"""Generates the synthetic corpus of the demo and the tests.

Eight emotions in the names and folders of RAVDESS, a few seconds each: drawn faces
(face.py) and a source-filter voice (voice.py). No person was recorded, and what
is "happy" here was decided in the tables below: numbers reached on it say that the code works,
and mean nothing about people.

Each modality alone is ambiguous. Takes of two emotions in one row have the same distribution of
faces, takes in one column the same distribution of voices; only both together tell all eight:

             flat voice   bright voice   pressed voice   dull voice
    rest     neutral
    smile    calm         happy
    wide                  surprised      fearful
    frown                                angry           disgust
    droop                                                sad

The best that is possible from the face alone is thus a UAR of 5/8, from the voice alone 4/8, from
both 1. Tempo, length and movement of the lips do not depend on the emotion, since both
modalities show them.

Beside them lies, for the presets on action units, what OpenFace would say of each frame: here it
is not measured but what was drawn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy.io import wavfile
from tqdm import tqdm

from emotion.data.feature_tables import ACTION_UNITS
from emotion.data.labels import RAVDESS
from emotion.files import atomic_write, write_text
from emotion.media import VideoWriter
from emotion.synthetic import face, voice
from emotion.synthetic.expression import Look
from emotion.synthetic.voice import SAMPLE_RATE, STEP, Manner

VERSION = 1  # of what is drawn and spoken: a change of it makes another corpus
RATE = Fraction(15)
SIDE, UNIT = 160, 46.0  # pixels of a frame, and of a unit of the head in it

LOOKS = {
    "rest": Look(),
    "smile": Look(corner=0.14, spread=0.07, squint=0.7, open=0.05, fold=0.7, outer=0.02),
    "wide": Look(inner=0.14, outer=0.09, lid=0.42, open=0.15, spread=-0.05),
    "frown": Look(inner=-0.11, outer=0.03, squeeze=0.05, lid=-0.2, squint=0.35, corner=-0.03,
                  spread=0.05, sneer=0.07, open=0.06, furrow=1.0, fold=0.8),
    "droop": Look(inner=0.13, outer=-0.07, lid=-0.4, corner=-0.105, spread=-0.01, furrow=0.3,
                  fold=0.2),
}  # fmt: skip
MANNERS = {
    "flat": Manner(),
    "bright": Manner(pitch=4.5, melody=4.5, slope=2.0, loudness=6.5, tilt=4.0),
    "pressed": Manner(pitch=2.0, melody=1.0, slope=-1.0, loudness=13.0, tilt=10.0, shake=0.7),
    "dull": Manner(pitch=-2.5, melody=0.5, slope=-3.0, loudness=-7.0, tilt=-10.0, breath=0.35),
}
# Spread of a take around its manner, in the manner's units.
SPREAD = Manner(pitch=0.8, melody=0.5, slope=0.8, loudness=1.2, tilt=1.2, breath=0.02, shake=0.05)
EMOTIONS = {
    "neutral": ("rest", "flat"),
    "calm": ("smile", "flat"),
    "happy": ("smile", "bright"),
    "sad": ("droop", "dull"),
    "angry": ("frown", "pressed"),
    "fearful": ("wide", "pressed"),
    "disgust": ("frown", "dull"),
    "surprised": ("wide", "bright"),
}


def write(
    root: Path,
    speakers: int = 16,
    takes: int = 4,
    seed: int = 0,
    jobs: int = -1,
    progress: bool = True,
) -> Path:
    """Writes audios/Actor_NN/03-01-*.wav, videos/Actor_NN/02-01-*.mp4, action_units/02-01-*.csv.

    What is there already is kept, so a broken-off call can be repeated.

    Args:
        root: path of the corpus' folder, made if need be.
        speakers: int in [1, 24]; odd ones are men, even ones women.
        takes: int in [1, 8], of each emotion and speaker; neutral has no more than 4.
        seed: int; the same seed gives the same corpus.
        jobs: int, processes; -1 takes every core.
        progress: bool, whether to show a bar with the time left.

    Returns:
        Path of the corpus.

    Raises:
        ValueError: an argument is out of range, or `root` holds other recordings.
    """
    root = Path(root)
    for name, value, most in (("speakers", speakers, 24), ("takes", takes, 8)):
        if not 1 <= value <= most:
            raise ValueError(f"`{name}` must be between 1 and {most}. Received: {value}.")
    _claim(root, {"synthetic": VERSION, "seed": seed})
    work = list(product(range(1, speakers + 1), RAVDESS))
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    done = parallel(joblib.delayed(_write_takes)(root, *pair, takes, seed) for pair in work)
    for _ in tqdm(done, "drawing and speaking", len(work)) if progress else done:
        pass
    return root


def _claim(root, what):
    """Creates the folder; refuses one that holds other recordings."""
    mark = root / "synthetic.json"
    if mark.is_file():
        recorded = json.loads(mark.read_text(encoding="utf-8"))
        if recorded != what:
            raise ValueError(
                f"{root} holds the synthetic corpus {recorded}, not {what}; remove it or choose "
                "another folder."
            )
    elif any((root / name).exists() for name in ("audios", "videos")):
        raise ValueError(f"{root} holds other recordings; choose another folder.")
    root.mkdir(parents=True, exist_ok=True)
    write_text(mark, json.dumps(what))


def _write_takes(root, speaker, emotion, takes, seed):
    painter = None
    strengths = (1,) if emotion == "neutral" else (1, 2)
    for repetition, intensity, statement in list(product((1, 2), strengths, (1, 2)))[:takes]:
        code = RAVDESS.index(emotion) + 1
        name = f"01-{code:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{speaker:02d}"
        sound = root / "audios" / f"Actor_{speaker:02d}" / f"03-{name}.wav"
        picture = root / "videos" / f"Actor_{speaker:02d}" / f"02-{name}.mp4"
        units = root / "action_units" / f"02-{name}.csv"
        if sound.is_file() and picture.is_file() and units.is_file():
            continue
        rng = np.random.default_rng([seed, speaker, code, intensity, statement, repetition])
        painter = painter or _painter(speaker, seed, SIDE, SIDE, UNIT)
        samples, poses = perform(speaker, emotion, intensity, statement, rng, seed, RATE)
        for path in (sound, picture, units):
            path.parent.mkdir(parents=True, exist_ok=True)
        whole = np.round(samples * 32767).astype(np.int16)
        with atomic_write(sound) as part:
            wavfile.write(part, SAMPLE_RATE, whole)
        with VideoWriter(picture, rate=RATE) as writer:
            for i, pose in enumerate(poses):
                writer.write(painter.draw(**pose), float(i / RATE))
        rows = _openface([pose["look"] for pose in poses])
        with atomic_write(units) as part:
            rows.to_csv(part, index=False)


def _openface(looks):
    """The columns of OpenFace's FeatureExtraction that action units are read from."""
    frames = [look.action_units() for look in looks]
    numbers = np.arange(len(frames))
    columns = {"frame": numbers + 1, "timestamp": numbers / float(RATE), "success": 1}
    for column in ACTION_UNITS:
        values = np.array([units.get(column[2:4], 0.0) for units in frames])
        columns[column] = values.round(2) if column.endswith("_r") else (values > 1).astype(int)
    return pd.DataFrame(columns)


def write_demo_clip(
    path: Path,
    speaker: int = 23,
    emotions: Sequence[str] = ("happy", "angry", "sad"),
    seed: int = 0,
) -> None:
    """Writes one video with sound in which a speaker goes through several emotions.

    Args:
        path: path of the mp4, 640 x 480 at 25 frames/s; 4 s an emotion.
        speaker: int, one that the training has not seen.
        emotions: names of RAVDESS, in the order of the video.
        seed: int, that of the corpus.
    """
    rate = Fraction(25)
    rng = np.random.default_rng([seed, speaker, 99])
    parts = [perform(speaker, emotion, 2, (1, 2), rng, seed, rate) for emotion in emotions]
    samples = np.concatenate([samples for samples, _ in parts])
    painter = _painter(speaker, seed, 640, 480, 138.0)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, rate=rate, sound=(samples, SAMPLE_RATE)) as writer:
        for i, pose in enumerate(pose for _, poses in parts for pose in poses):
            writer.write(painter.draw(**pose), float(i / rate))


def _painter(speaker, seed, width, height, unit):
    rng = np.random.default_rng([seed, speaker])
    features = face.random_face(rng, female=speaker % 2 == 0)
    return face.Painter(features, width, height, unit * rng.uniform(0.94, 1.06))


def perform(
    speaker: int,
    emotion: str,
    intensity: int,
    statements: int | tuple[int, ...],
    rng: np.random.Generator,
    seed: int = 0,
    rate: Fraction = RATE,
) -> tuple[np.ndarray, list[dict]]:
    """Acts an emotion: sound, and the poses that go with it.

    Args:
        speaker: int, even for a woman.
        emotion: str, one of RAVDESS's names.
        intensity: 1 or 2, normal or strong.
        statements: 1 or 2, or a tuple of them: what is said, 2 s each.
        rng: numpy Generator of the take.
        seed: int, of the speaker's voice.
        rate: Fraction, frames per second.

    Returns:
        (samples, poses): float32 (n,) in [-1, 1] at SAMPLE_RATE, and a list of keyword arguments
        of `Painter.draw`, one for each frame.
    """
    look, manner = EMOTIONS[emotion]
    strength = (0.9, 1.1)[intensity - 1] * rng.uniform(0.9, 1.1)
    throat = voice.throat(np.random.default_rng([seed, speaker, 7]), speaker % 2 == 0)
    manner = _vary(MANNERS[manner], strength, SPREAD, rng)
    manner = replace(manner, breath=max(0.0, manner.breath), shake=max(0.0, manner.shake))
    spoken = [
        voice.speak(throat, manner, str(statement), rng) for statement in np.atleast_1d(statements)
    ]
    samples = np.concatenate([samples for samples, _ in spoken])
    lips = np.concatenate([lips for _, lips in spoken])
    seventh = replace(Look(), **{name: value / 7 for name, value in vars(LOOKS[look]).items()})
    peak = _vary(LOOKS[look], strength, seventh, rng)
    return samples, _poses(peak, lips, rate, rng)


def _vary(target, strength, spread, rng):
    """Returns a Look or a Manner: `target`, so much stronger or weaker, with chance deviations."""
    rest, values = type(target)(), {}
    for name in (field.name for field in fields(target)):
        plain = getattr(rest, name)
        full = plain + strength * (getattr(target, name) - plain)
        values[name] = full + rng.normal(0, 1) * getattr(spread, name)
    return replace(rest, **values)


def _poses(peak, lips, rate, rng):
    """Plays an expression: onset, apex and offset, with speech, blinks and a moving head."""
    length = len(lips) * STEP / SAMPLE_RATE
    times = np.arange(round(length * rate)) / float(rate)
    onset, offset = rng.uniform(0.05, 0.3), length - rng.uniform(0.0, 0.1)
    course = _rise((times - onset) / 0.35) * (1 - 0.8 * _rise((times - offset + 0.3) / 0.3))
    steps = np.arange(len(lips)) * STEP / SAMPLE_RATE
    # Lips are slower than the voice: they follow its loudness over 80 ms.
    slow = [np.convolve(column, np.full(16, 1 / 16), "same") for column in lips.T]
    voiced, vowel = (np.interp(times, steps, column) for column in slow)
    blinks = np.arange(rng.uniform(0.2, 1.8), length, rng.uniform(1.6, 2.6))
    shut = np.exp(-(((times[:, None] - blinks) / 0.06) ** 2)).sum(axis=1)
    place = rng.normal(0, (0.06, 0.04))
    phase = rng.uniform(0, 2 * np.pi, 5)
    pace = 2 * np.pi * rng.uniform(0.2, 0.5, 5)
    sway = np.sin(pace * times[:, None] + phase)
    lean = rng.normal(0, 2.0)
    poses = []
    for i, weight in enumerate(course):
        look = {field.name: weight * getattr(peak, field.name) for field in fields(peak)}
        look["open"] += 0.13 * voiced[i]
        look["spread"] += 0.05 * (vowel[i] - 0.5) * voiced[i]
        look["lid"] = max(-1.0, look["lid"] - (1 + look["lid"]) * min(1.0, shut[i]))
        nod = 0.025 * sway[i, 1] + 0.02 * voiced[i]
        poses.append({
            "look": Look(**look),
            "gaze": (0.25 * sway[i, 2], 0.15 * sway[i, 3]),
            "tilt": lean + 2.0 * sway[i, 4],
            "shift": (place[0] + 0.035 * sway[i, 0], place[1] + nod),
        })  # fmt: skip
    return poses


def _rise(x):
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
