"""What a voice trained on CREMA-D is worth to one that is trained on few speakers of RAVDESS.

    python benchmarks/fine_tuning.py --ravdess FOLDER --cremad FOLDER|TABLE --output DIR

The voice branch of `face_voice` is trained on CREMA-D alone; then on 4, 8 and 12 actors of RAVDESS,
from these weights (`--init`, at half the learning rate) and from random ones. Each is chosen by the
UAR on actors 13 to 16 and tested on actors 17 to 20. Classes: the seven of the starter. What is
done stays in DIR; the same command goes on.
"""

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import emotion
from emotion import models
from emotion.data import corpora

LABELS = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SIZES = (4, 8, 12)
ROLES = {**dict.fromkeys(range(13, 17), "validation"), **dict.fromkeys(range(17, 21), "test")}


def write_manifest(path, clips, size):
    """Writes a manifest with `size` training speakers, and the speakers of ROLES."""
    roles = dict.fromkeys(range(1, size + 1), "train") | ROLES
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "audio", "label", "speaker", "split"))
        for clip in clips:
            if role := roles.get(int(clip.speaker)):
                writer.writerow((clip.id, clip.audio.resolve(), clip.label, clip.speaker, role))


def trained(folder, data, epochs, options, **more):
    """Trains where that is not done; returns the Evaluation."""
    preset = models.preset("face_voice").only("audio")
    rate = 5e-4 if more.get("init") else preset.recipe.learning_rate
    preset = replace(preset, recipe=replace(preset.recipe, batch_size=32, learning_rate=rate))
    run = emotion.train(
        data, preset, epochs=epochs, labels=LABELS, run=folder, cache=options.output / "cache",
        workers=2, resume=(folder / "run.json").is_file(), **more,
    )  # fmt: skip
    return emotion.Evaluation.read(run.folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ravdess", type=Path, required=True)
    parser.add_argument("--cremad", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40, help="on RAVDESS (default: 40)")
    parser.add_argument("--cremad-epochs", type=int, default=24)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    cremad = options.output / "cremad"
    trained(cremad, options.cremad, options.cremad_epochs, options)
    clips = [clip for clip in corpora.clips(options.ravdess, "ravdess") if clip.audio]
    rows = []
    for size in SIZES:
        manifest = options.output / f"{size}-speakers.csv"
        write_manifest(manifest, clips, size)
        cells = []
        for name, more in (("random", {}), ("cremad", {"init": cremad})):
            folder = options.output / f"{size}-from-{name}"
            scored = trained(folder, manifest, options.epochs, options, **more)
            low, high = scored.intervals["uar"]
            cells.append(f"{scored.uar:.3f} ({low:.3f} to {high:.3f})")
        rows.append(f"| {size} | {' | '.join(cells)} |")
    print("| training speakers | UAR from random weights | from CREMA-D's |")
    print("|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
