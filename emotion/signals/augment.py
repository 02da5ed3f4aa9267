"""Augmentation of signals in training: the waveform by audiomentations, the frames here.

audiomentations and the frame transforms take every value from the generator they are given, so
the same (seed, epoch, clip) gives the same signal in any thread of any process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from emotion.data.log_mel_table import ALL_BANDS, RATE

if TYPE_CHECKING:
    from emotion.clip import Arrays, Signal

_GLOBAL_GENERATORS = threading.Lock()


@dataclass(frozen=True)
class Augmentation:
    """How a signal is varied.

    Attributes:
        probability: float in [0, 1], of each of pitch shift, time stretch and noise.
        semitones: float, pitch shifts are drawn from plus or minus this many.
        rate: (low, high), time-stretch rates; above 1 is faster.
        snr_db: (low, high), signal-to-noise ratios of the Gaussian noise, dB.
        flip: float in [0, 1], probability that all frames are mirrored.
        shift: float, largest shift of the frames as a fraction of their side.
        light: float, largest relative change of contrast, and of brightness in parts of 255.
        missing: float in [0, 1], probability that one modality is left out (each half as often),
            so that the model has seen what it meets in a recording without sound or face. What was
            computed beforehand, a table's values or a frozen encoder's embedding, is left out with
            its modality, and otherwise left as it is; a log-mel spectrogram is shifted in pitch and
            given noise as a waveform is.
        mixup: float, both parameters of the Beta distribution that weights are drawn from when
            clips of a batch are mixed in pairs (`mix`), where the model hears them: from mixed
            faces alone designs for videos did not begin to learn; 0 mixes none.
        face_mixup: float, the same where the model has faces alone.
        rotation: float, largest angle in degrees that all frames are turned by, either way.
        zoom: float, all frames are scaled by a factor from 1 / (1 + zoom) to 1 + zoom.
        erasing: float in [0, 1], probability that a rectangle of all frames, 2 to 20 % of their
            area, is filled with noise (Zhong et al. 2020, arXiv:1708.04896).
        modality_dropout: bool, whether a batch is followed by three of its copies in which one
            modality or both are weakened or left out (`drop_modalities`).
    """

    probability: float = 0.4
    semitones: float = 2.0
    rate: tuple = (0.7, 1.3)
    snr_db: tuple = (10.0, 40.0)
    flip: float = 0.5
    shift: float = 0.06
    light: float = 0.2
    missing: float = 0.1
    mixup: float = 0.3
    face_mixup: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    erasing: float = 0.0
    modality_dropout: bool = False

    def __call__(self, signal: Signal, generator: np.random.Generator) -> Signal:
        """Varies a signal.

        Args:
            signal: Signal.
            generator: numpy.random.Generator, the only source of chance.

        Returns:
            Signal; the one given is left as it is.
        """
        samples, frames = signal.samples, signal.frames
        if signal.has_audio and signal.has_face and generator.random() < self.missing:
            return signal.without("audio" if generator.random() < 0.5 else "video")
        if samples is not None:
            samples = self._vary_samples(samples, signal.sample_rate, generator)
        if frames is not None:
            frames = self._vary_frames(frames, generator)
        features = signal.features
        if "log_mel" in features:
            features = {**features, "log_mel": self._vary_bands(features["log_mel"], generator)}
        return replace(signal, samples=samples, frames=frames, features=features)

    def _vary_samples(self, samples, sample_rate, generator):
        import audiomentations  # not above: inference reads a preset too

        apply = generator.random(3) < self.probability
        semitones = generator.uniform(-self.semitones, self.semitones)
        rate = generator.uniform(*self.rate)
        snr = generator.uniform(*self.snr_db)
        noise_seed = int(generator.integers(2**32))
        if apply[0]:
            shift = audiomentations.PitchShift(semitones, semitones, p=1.0)
            samples = shift(samples, sample_rate)
        if apply[1]:
            stretch = audiomentations.TimeStretch(rate, rate, leave_length_unchanged=False, p=1.0)
            samples = stretch(samples, sample_rate)
        if apply[2]:
            noise = audiomentations.AddGaussianSNR(snr, snr, p=1.0)
            # The one transform that draws its samples, and it does so from NumPy's global state.
            with _GLOBAL_GENERATORS:
                state = np.random.get_state()
                np.random.seed(noise_seed)
                samples = noise(samples, sample_rate)
                np.random.set_state(state)
        return samples

    def _vary_bands(self, values, generator):
        """Shifts the pitch and adds white noise to log-mel bands, float32 (bands, t) in dB."""
        apply = generator.random(2) < self.probability
        semitones = generator.uniform(-self.semitones, self.semitones)
        snr = generator.uniform(*self.snr_db)
        if apply[0]:
            place = np.clip(_shifted_bands(len(values), semitones), 0, len(values) - 1)
            below = np.floor(place).astype(int)
            share = (place - below).astype(np.float32)[:, None]
            above = np.minimum(below + 1, len(values) - 1)
            values = (1 - share) * values[below] + share * values[above]
        if apply[1]:  # the filters have the same area, so white noise has the same power in all
            power = 10.0 ** (values / 10)
            noise = power.mean() * 10 ** (-snr / 10) * generator.chisquare(2, values.shape) / 2
            values = 10 * np.log10(power + noise + 1e-12)
        return values.astype(np.float32)

    def _vary_frames(self, frames, generator):
        size = frames.shape[1]
        angle = generator.uniform(-self.rotation, self.rotation) if self.rotation else 0.0
        scale = (1 + self.zoom) ** generator.uniform(-1, 1) if self.zoom else 1.0
        flip = generator.random() < self.flip
        dx, dy = np.rint(generator.uniform(-self.shift, self.shift, 2) * size).astype(int)
        gain = 1 + generator.uniform(-self.light, self.light)
        offset = 255 * generator.uniform(-self.light, self.light) / 2
        middle = (size - 1) / 2
        place = cv2.getRotationMatrix2D((middle, middle), angle, scale)
        if flip:
            mirrored = place[:, 2] + 2 * middle * place[:, 0]
            place = np.column_stack([-place[:, 0], place[:, 1], mirrored])
        place[:, 2] += dx, dy
        # The same for all frames: a face does not change its light within a clip.
        varied = np.empty_like(frames)
        for frame, target in zip(frames, varied):
            cv2.warpAffine(frame, place, (size, size), target, borderMode=cv2.BORDER_REPLICATE)
        tall = varied.reshape(-1, *frames.shape[2:])
        cv2.addWeighted(tall, gain, tall, 0, offset, dst=tall)
        return _erased(varied, generator) if generator.random() < self.erasing else varied


def _shifted_bands(bands, semitones):
    """Where each of the lowest of LogMelTable's bands lay before a pitch shift, as an index."""
    import librosa

    mels = librosa.hz_to_mel(RATE / 2) * (np.arange(bands) + 1) / (ALL_BANDS + 1)
    hertz = librosa.mel_to_hz(mels) / 2 ** (semitones / 12)
    return np.interp(librosa.hz_to_mel(hertz), mels, np.arange(bands))


def _erased(frames, generator):
    """Fills a rectangle of all frames, which may be written into, with noise."""
    size = frames.shape[1]
    area, ratio = generator.uniform(0.02, 0.2), np.exp(generator.uniform(-1, 1))
    sides = np.sqrt((area * ratio, area / ratio)) * size
    high, wide = np.clip(np.rint(sides), 1, size).astype(int)
    top, left = (int(generator.integers(size - side + 1)) for side in (high, wide))
    noise = generator.integers(0, 256, (high, wide, 3), np.uint8)
    frames[:, top : top + high, left : left + wide] = noise
    return frames


def mix(
    inputs: Arrays,
    targets: np.ndarray,
    weights: np.ndarray,
    alpha: float,
    generator: np.random.Generator,
) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Mixes the clips of a batch in pairs: mixup (Zhang et al. 2018, arXiv:1710.09412).

    A weight is at least a half, so that each clip remains the greater part of its own mixture.

    Args:
        inputs: dict of name to array (b, ...), uint8 or float32.
        targets: float32 array (b, classes), one-hot.
        weights: float32 array (b,), loss weights.
        alpha: float above 0, both parameters of the Beta distribution.
        generator: numpy.random.Generator.

    Returns:
        (inputs, targets, weights), of the same shapes and dtypes.
    """
    share = generator.beta(alpha, alpha, len(targets))
    share = np.maximum(share, 1 - share).astype(np.float32)
    other = generator.permutation(len(targets))

    def blend(array):
        mixed = np.empty(array.shape, array.dtype)  # in C order, so that a row is not a copy
        for row, values, index, part in zip(mixed, array, other, share.tolist()):
            values, two, target = (a.reshape(1, -1) for a in (values, array[index], row))
            cv2.addWeighted(values, part, two, 1 - part, 0, dst=target)
        return mixed

    inputs = {name: blend(array) for name, array in inputs.items()}
    mixed = share[:, None] * targets + (1 - share)[:, None] * targets[other]
    return inputs, mixed, share * weights + (1 - share) * weights[other]


def drop_modalities(
    inputs: Arrays, targets: np.ndarray, weights: np.ndarray, generator: np.random.Generator
) -> tuple[Arrays, np.ndarray, np.ndarray]:
    """Returns four batches for one, so that a model is trained on each modality alone too.

    They are (a, v), (c a, (1 - c) v) with c uniform for each clip, (0, v) and (a, 0): the "soft
    and hard" modality dropout of Chumachenko et al. (ICPR 2022).

    Args:
        inputs: dict of "audio" and "video" to array (b, ...), uint8 or float32; with one of them
            alone there is nothing to drop.
        targets: float32 array (b, classes).
        weights: float32 array (b,), loss weights.
        generator: numpy.random.Generator.

    Returns:
        (inputs, targets, weights) of 4 b rows and the same dtypes; or as given, with one input.
    """
    if len(inputs) < 2:
        return inputs, targets, weights
    share = generator.random(len(targets))
    parts = {"audio": (1, share, 0, 1), "video": (1, 1 - share, 1, 0)}

    def four(array, parts):
        copies = np.empty((4, *array.shape), array.dtype)
        for copy, part in zip(copies, parts):
            for row, values, factor in zip(copy, array, np.broadcast_to(part, len(array)).tolist()):
                values, target = values.reshape(1, -1), row.reshape(1, -1)
                cv2.addWeighted(values, factor, values, 0, 0, dst=target)
        return copies.reshape(-1, *array.shape[1:])

    inputs = {name: four(array, parts[name]) for name, array in inputs.items()}
    return inputs, np.tile(targets, (4, 1)), np.tile(weights, 4)
