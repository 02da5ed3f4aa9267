"""The starter's model card, which is a valid one of the Hugging Face hub too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion.evaluation.results import Evaluation
    from emotion.record import Record
    from emotion.run import Run

# Corpus to (what it is, its terms).
CORPORA = {
    "ravdess": ("RAVDESS, speech (Livingstone & Russo 2018)", "CC BY-NC-SA 4.0"),
    "fer2013": ("FER2013, training images (Goodfellow et al. 2013)", "research use"),
    "cremad": ("CREMA-D, sound (Cao et al. 2014)", "ODbL 1.0, contents DbCL 1.0"),
}

_TEXT = """---
license: cc-by-nc-sa-4.0
library_name: keras
pipeline_tag: video-classification
tags:
- emotion-recognition
- facial-expression
- speech-emotion-recognition
---

# Starter

A small model of the face and of the voice for {classes} classes: {labels}. It is what
`emotion.analyze` and `run_inference.py` use where no run was trained.

## Use

Research and teaching, without commercial use: the terms of its data ask for that. The code is MIT.
It reads what an expression looks and sounds like to others, which is not what a person feels.
It must not be used to decide about people: not in hiring, school, police work, border control,
insurance or care, and not to watch people who do not know of it.

## Data

| corpus | terms | speakers whose data decided the weights |
|---|---|---|
{data}

FER2013's people are unknown; its faces were found by web searches, and it has few disgusted ones.
RAVDESS: professional actors aged 21 to 33 with a North American accent. CREMA-D: actors aged 20
to 74 of several ethnic backgrounds, in English. All of the voices are acted.

## Scores

Each branch alone, on people it was not trained on; nothing was chosen by these clips. The model
looks at each face and its mirror image, which are the two views.

| branch | protocol | clips | UAR (95 %) | accuracy (95 %) | ECE |
|---|---|---|---|---|---|
{scores}

Intervals: bootstrap over speakers, of images over images. ECE is the expected calibration error
after the temperature, which was fitted on validation clips ({temperatures}). Both branches
together were not scored: there is no corpus of videos here that neither has met.

## Limits

It errs often, with some people more than with others, and it cannot tell a played emotion from a
felt one. It was trained on frontal faces of 48 x 48 pixels in grey, and on single sentences in
English; glasses, beards, masks, children, other languages, music and noise were not looked at.
"""


def text(record: Record, runs: dict[str, Run], scored: dict[str, Evaluation]) -> str:
    """Returns the model card, Markdown with YAML metadata.

    Args:
        record: Record of the starter.
        runs: dict of "video" and "audio" to the Run of the branch.
        scored: dict of the same to the Evaluation of its test clips, with `ece_calibrated`.
    """
    data = "\n".join(
        f"| {' | '.join(CORPORA.get(corpus, (corpus, 'its own')))} | {_people(speakers)} |"
        for corpus, speakers in record.trained_on.items()
    )
    names = {"video": "face", "audio": "voice"}
    scores = "\n".join(_row(names[name], measured) for name, measured in scored.items())
    temperatures = ", ".join(f"{names[n]} {t:.2f}" for n, t in record.temperatures.items())
    return _TEXT.format(
        classes=len(record.labels),
        labels=", ".join(record.labels),
        data=data,
        scores=scores,
        temperatures=temperatures,
    )


def _people(speakers):
    if all(name.startswith("image-") for name in speakers):
        return f"unknown, {len(speakers)} images"
    return f"{len(speakers)}: {', '.join(speakers)}" if len(speakers) < 25 else f"{len(speakers)}"


def _row(name, measured):
    uar, war = ("{:.3f} ({:.3f} to {:.3f})".format(*_interval(measured, n)) for n in ("uar", "war"))
    ece = measured.ece if measured.ece_calibrated is None else measured.ece_calibrated
    if measured.views:
        name = f"{name}, {measured.views} views of each image"
    return f"| {name} | {measured.protocol} | {measured.clips} | {uar} | {war} | {ece:.3f} |"


def _interval(measured, name):
    value = getattr(measured, name)
    return value, *(measured.intervals[name] or (value, value))
