"""Audio-visual emotion recognition: train on clips, annotate videos.

1. `corpora.clips(root)` lists the clips of a corpus: paths, label, speaker.
2. `folds.split(clips, protocol, fold)` parts them so that no speaker plays two roles.
3. `cache.load(clip, spec)` decodes a clip into a Signal, once: sound, and crops of the face.
4. `preset.extract(signal)` prepares a Signal and computes the model's inputs, for training and
   for inference.
5. `augment.Augmentation` varies the prepared Signal, in training only, as (seed, epoch, clip)
   decide.
6. `batches.Batches` feeds them to Keras.
7. `models.build_model(preset, classes)` maps them to logits.
8. `training.train` makes a run folder, `evaluation.evaluate` a Report of it,
   `recognizer.Recognizer` Predictions, `annotate.annotate_video` a video with boxes and labels,
   `export.export` what `Recognizer`, or a program of your own, runs without Keras.
9. `sources` (camera, microphone) feed `live.Session`, which `display.Player` shows and records;
   `web` and `serve` put a page and HTTP in front of a Recognizer.

Importing the package imports none of this. A stage is a module, `from emotion import corpora`; the
names in `__all__` are loaded when they are first used.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "PRESETS": "models",
    "Clip": "clip",
    "MediaError": "clip",
    "Prediction": "clip",
    "Recognizer": "recognizer",
    "Signal": "clip",
    "annotate_video": "annotate",
    "build_model": "models",
    "evaluate": "evaluation",
    "load_run": "run",
    "split": "folds",
    "train": "training",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"emotion.{_HOME[name]}"), name)
    raise AttributeError(f"module 'emotion' has no attribute {name!r}")


def __dir__():
    return [*globals(), *__all__]
