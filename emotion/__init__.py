"""Audio-visual emotion recognition: train on clips, annotate videos.

1. `data.corpora.clips(root)` lists the clips of a corpus: paths, label, speaker.
2. `data.splits.split(clips, protocol, fold)` parts them so that no speaker plays two roles.
3. `signals.SignalCache(spec).load(clip)` decodes a clip into a Signal, once: sound and face
   crops.
4. `preset.extract(signal)` prepares a Signal and computes the model's inputs, for training and
   for inference.
5. `signals.augment.Augmentation` varies the prepared Signal, in training only, as
   (seed, epoch, clip) decide.
6. `training.batches.Batches` feeds them to Keras.
7. `models.build_model(preset, classes)` maps them to logits.
8. `training.train` writes a run folder, `evaluation` scores it, `inference` predicts
   with it, `annotate` writes videos with boxes and labels, `inference.export` what
   runs without Keras.
9. `live` reads a camera and a microphone; `web` holds the page and the HTTP interface.

Importing the package imports none of this: the names in `__all__` are loaded when first used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
