"""Screen: what metrics.json says, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emotion.metrics import subgroups

if TYPE_CHECKING:
    from emotion.evaluation.results import Evaluation

# Kind of disturbance to what it is and what its levels are.
_DISTURBED = {
    "noise": "noise in the sound, SNR in dB",
    "darkness": "darkness on the face, gain",
    "blur": "blur of the face, pixels",
    "without": "without",
}
# Modality to the kinds of disturbance that are of it alone.
_OF = {"audio": "noise", "video": "blur"}


def report(title: str, measured: Evaluation) -> str:
    """Formats an evaluation as text.

    Args:
        title: str, what was evaluated.
        measured: Evaluation, of a run or of a file of scores.

    Returns:
        str, lines.
    """
    from emotion.data.corpora.images import described

    m = measured
    lines = [f"WARNING: {m.warning}"] if m.warning else []
    absent = f"; absent: {', '.join(m.absent_speakers)}" if m.absent_speakers else ""
    tested = f"{described(m.clips, m.speakers)}, {m.protocol}"
    folds = ", ".join(map(str, m.folds or [m.fold]))
    lines.append(f"{title}: {tested}, fold {folds}{absent}")
    if m.model and m.epochs is None:
        lines.append("its training has not ended; this is its best model so far")
    for name in ("uar", "war"):
        over = f", over folds {m.text(name)}" if len(m.folds or ()) > 1 else ""
        lines.append(f"{name.upper()} {getattr(m, name):.3f} {_between(m.intervals[name])}{over}")
    tops = [(k, getattr(m, f"top_{k}")) for k in (2, 3, 5)]
    tops = "".join(f", top-{k} {share:.3f}" for k, share in tops if share is not None)
    lines += [f"macro F1 {m.macro_f1:.3f}{tops}, ECE {m.ece:.3f}", m.accuracies()]
    lines += _by_class(m)
    lines += [
        subgroups.sentence(attribute, compared)
        for attribute, compared in m.groups.items()
        if len(compared["groups"]) > 1
    ]
    full = m.robustness is not None
    if full or m.temperature is not None:
        lines.append(_calibrated(m))
    if m.speechless:
        lines.append(m.without_speech())
    if full:
        lines += _robustness(m)
    return "\n".join(lines)


def _by_class(m):
    """The classification report: a line a class that occurs as truth or as prediction."""
    width = max(map(len, m.labels))
    yield f"{'':{width}s}  precision  recall [95 % over speakers]     F1  clips"
    for label, clips in zip(m.labels, np.sum(m.confusion, axis=1)):
        if m.f1[label] is None:
            continue
        precision, recall, f1 = (_number(by[label]) for by in (m.precision, m.recall, m.f1))
        interval = _between(m.intervals["recall"][label]) if clips else ""
        yield f"{label:{width}s}  {precision:>9s}  {recall} {interval:21s}  {f1}  {clips:5d}"


def _calibrated(m):
    if m.temperature is None:
        return "temperature: none, since no clip of validation speakers is there or tells anything"
    line = (
        f"temperature {m.temperature:.3f}, fitted on validation speakers: with it ECE "
        f"{m.ece_calibrated:.3f}"
    )
    return line if m.threshold is None else f"{line}\n{m.certain()}"


def _robustness(m):
    rows = {kind: [r for r in m.robustness if r["kind"] == kind] for kind in _DISTURBED}
    yield f"UAR when disturbed (chance {1 / len(m.labels):.3f}):"
    for kind, of_kind in rows.items():
        if of_kind:
            scores = ", ".join(f"{_level(r['level'])}: {r['uar']:.3f}" for r in of_kind)
            yield f"  {_DISTURBED[kind]:29s}  {scores}"
    for modality, kind in _OF.items():
        if m.modality in (modality, "both") and not rows[kind]:
            yield f"  {modality}: nothing to disturb, its values come from a table"


def _level(level):
    return level if isinstance(level, str) else f"{level:g}"


def _number(value):
    return "    -" if value is None else f"{value:.3f}"


def _between(interval):
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "[one speaker: no interval]"
