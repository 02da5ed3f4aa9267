"""Predicts with a model that encodes single frames: each crop once, however many windows hold it.

Windows overlap, and the crops of one are for the greater part those of the one before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

    from emotion.clip import Arrays

LIMIT = 4096  # crops whose vectors are kept, those of ten minutes


class FrameEncoder:
    """A model cut in two behind the encoder of its frames.

    What the encoder makes of a crop is kept under the digest of its pixels.

    Args:
        model: keras.Model with an input `video` (t, h, w, 3); its layers are shared.
        encoder: keras.Model, its layer from frames (b t, h, w, 3) to vectors (b t, c).
    """

    def __init__(self, model: keras.Model, encoder: keras.Model):
        import keras  # not above: an exported model needs none of it

        from emotion.training.frozen import head

        # What it gives in `model`, which no public name has: `encoder.output` is of another graph.
        vectors = encoder._inbound_nodes[-1].outputs[0]
        self._head = head(model, {**model.input, "vectors": vectors})
        self._body = keras.Model({"video": model.input["video"]}, vectors)
        self._known: dict[bytes, np.ndarray] = {}

    @classmethod
    def of(cls, model: keras.Model) -> FrameEncoder | None:
        """Returns the FrameEncoder of a model, or None where it encodes no single frames."""
        from emotion.encoders import ENCODERS  # not above, as Keras

        for layer in model.layers:
            if layer.name in ENCODERS and len(layer.input.shape) == 4:
                return cls(model, layer)
        return None

    def __call__(self, inputs: Arrays) -> np.ndarray:
        """Returns the model's logits.

        Args:
            inputs: dict of the model's inputs, arrays (b, ...).

        Returns:
            float32 array (b, classes).
        """
        frames = inputs["video"].reshape(-1, *inputs["video"].shape[2:])
        keys = [hashlib.blake2b(frame, digest_size=16).digest() for frame in frames]
        vectors = {key: self._known.get(key) for key in keys}
        new = {key: frame for key, frame in zip(keys, frames) if vectors[key] is None}
        if new:
            vectors |= zip(new, self._encode(list(new.values()), inputs["video"].shape[1]))
            self._known |= {key: vectors[key] for key in new}
            for key in list(self._known)[:-LIMIT]:
                self._known.pop(key, None)  # which another thread may have taken
        rows = np.stack([vectors[key] for key in keys])
        return self._head.predict_on_batch({**inputs, "vectors": rows})

    def _encode(self, frames, count):
        """Encodes frames in videos of `count`, which is what the model takes."""
        rest = -len(frames) % count
        videos = np.stack([*frames, *rest * [np.zeros_like(frames[0])]])
        videos = videos.reshape(-1, count, *frames[0].shape)
        return np.asarray(self._body.predict_on_batch({"video": videos}))
