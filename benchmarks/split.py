"""What a split is worth: one classifier on the same clips, with and without shared speakers.

    python benchmarks/split.py --data au_mfcc.pkl

Kernel ridge regression on one-hot labels (RBF kernel; scikit-learn's own settings, nothing is
tuned), features standardised on the training clips; accuracy in %, the mean over the folds of
`random` and of `ravdess-6fold`. Validation clips are trained on too, since nothing is chosen.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1]))
from emotion.data import (
    corpora,
    feature_tables,
    splits,
)

FEATURES = {
    "35 facial action units": feature_tables.NAMES[:1],
    "259 audio values": feature_tables.NAMES[1:],
    "both": feature_tables.NAMES,
}


def accuracy(clips, names, protocol):
    """Returns the mean over a protocol's folds, in %."""
    scores = []
    labels = np.array(sorted({clip.label for clip in clips}))

    def arrays(clips):
        arguments = [feature_tables.values(clip.table, clip.id) for clip in clips]
        x = [np.concatenate([np.ravel(item[name]) for name in names]) for item in arguments]
        return np.stack(x), np.array([clip.label for clip in clips])[:, None] == labels

    for fold in splits.fold_count(clips, protocol):
        split = splits.split(clips, protocol, fold)
        model = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf"))
        model.fit(*arrays(split.train + split.validation))
        x, y = arrays(split.test)
        scores.append(np.mean(model.predict(x).argmax(axis=1) == y.argmax(axis=1)))
    return 100 * np.mean(scores)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="pickle of features, see docs/tables.md")
    warnings.simplefilter("ignore")  # that `random` shares speakers is the point
    clips = corpora.clips(parser.parse_args().data)
    print(f"{len(clips)} clips of {len({clip.speaker for clip in clips})} speakers\n")
    print("| features | a random split, `random` | no shared speaker, `ravdess-6fold` |")
    print("|---|---|---|")
    for text, names in FEATURES.items():
        both = (accuracy(clips, names, protocol) for protocol in ("random", "ravdess-6fold"))
        print(f"| {text} | " + " | ".join(f"{percent:.1f}" for percent in both) + " |")


if __name__ == "__main__":
    main()
