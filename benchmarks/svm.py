"""Support vector machines on clip statistics, beside which a network of the voice is put.

    python benchmarks/svm.py --data RAVDESS|CREMAD [--corpus NAME] [--protocol NAME]

The statistics are those of the map that the voice branch of `face_voice` reads: of each coefficient
over the steps the mean, deviation and three percentiles, the deviation of its differences, and the
means of three parts of the clip. A linear machine and one with a radial kernel are trained on each
fold; C is chosen on its validation speakers.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

sys.path.insert(0, str(Path(__file__).parents[1]))
from emotion import models
from emotion.data import corpora, splits
from emotion.preset import override
from emotion.signals.cache import SignalCache

MACHINES = {
    "linear": [LinearSVC(C=c, dual=False, class_weight="balanced") for c in (1e-4, 1e-3, 1e-2)],
    "radial": [SVC(C=c, class_weight="balanced") for c in (1, 3, 10)],
}


def statistics(values):
    """Returns the statistics of a map (coefficients, steps, 1), a vector."""
    x = values[..., 0]
    parts = [part.mean(axis=1) for part in np.array_split(x, 3, axis=1)]
    spread = [x.mean(axis=1), x.std(axis=1), np.diff(x, axis=1).std(axis=1)]
    return np.concatenate([*spread, *np.percentile(x, (10, 50, 90), axis=1), *parts])


def scores(machines, roles):
    """Returns the test UAR of the machine with the best validation UAR."""
    best = (-1.0, -1.0)
    for machine in machines:
        machine = make_pipeline(StandardScaler(), machine).fit(*roles["train"])
        recalls = [
            recall_score(true, machine.predict(inputs), average="macro")
            for inputs, true in (roles["validation"], roles["test"])
        ]
        best = max(best, tuple(recalls))
    return best[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--corpus")
    parser.add_argument("--protocol")
    parser.add_argument("--set", action="append", default=[], help="as for train_model.py")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    preset = override(models.preset("face_voice").only("audio"), options.set)
    signals = SignalCache(preset.spec("haar"), options.cache)
    clips = corpora.clips(options.data, options.corpus or corpora.guess(options.data))
    vectors = {clip.id: statistics(preset.extract(signals.load(clip))["audio"]) for clip in clips}
    protocol = options.protocol or splits.default_protocol(clips)
    rows = {name: [] for name in MACHINES}
    for fold in splits.fold_count(clips, protocol):
        split = splits.split(clips, protocol, fold)
        roles = {
            role: (
                np.stack([vectors[clip.id] for clip in part]),
                np.array([clip.label for clip in part]),
            )
            for role in ("train", "validation", "test")
            if (part := getattr(split, role))
        }
        for name, machines in MACHINES.items():
            rows[name].append(scores(machines, roles))
    for name, values in rows.items():
        cells = " | ".join(f"{value:.3f}" for value in values)
        print(f"| SVM, {name} | {cells} | {np.mean(values):.3f} ± {np.std(values):.3f} |")


if __name__ == "__main__":
    main()
