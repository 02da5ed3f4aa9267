"""The table of a comparison, computed from the files of its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emotion.evaluation.results import Evaluation
from emotion.run import load_run

SCORES = ("uar", "war", "top_1", "top_5", "loss")
COSTS = ("trainable_parameters", "window_ms")


def summarize(folders: list[Path]) -> pd.DataFrame:
    """Builds the table.

    Args:
        folders: list of Path of runs that are finished, each in the folder of its entry.

    Returns:
        pandas.DataFrame, a row an entry, in order: preset, modality, each of SCORES with its
        standard deviation over the runs (`uar_std`, ddof=0; nan where a run does not have it),
        trainable_parameters, training_clips_per_second (median over the epochs of all runs),
        window_ms and runs, int.
    """
    groups = {}
    for folder in folders:
        groups.setdefault(folder.parent, []).append(folder)
    rows = []
    for parent, members in groups.items():
        preset = load_run(members[0]).preset
        measured = [Evaluation.read(folder) for folder in members]
        row = {"preset": preset.name, "modality": preset.modality}
        for score in SCORES:
            values = np.array([getattr(each, score) for each in measured], float)  # None is nan
            row[score], row[f"{score}_std"] = float(np.mean(values)), float(np.std(values))
        speeds = [t["clips"] / s for t in map(timing, members) for s in t["seconds"].values()]
        row.update(json.loads((parent / "cost.json").read_text(encoding="utf-8")))
        row["training_clips_per_second"] = float(np.median(speeds)) if speeds else np.nan
        rows.append({**row, "runs": len(members)})
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """Returns the table as Markdown, its scores as `spread` tells them."""
    shown = pd.DataFrame({"preset": table["preset"], "modality": table["modality"]})
    for score, name in zip(SCORES, ("UAR", "WAR", "top-1", "top-5", "loss")):
        shown[name] = [spread(row, score) for row in table.itertuples()]
    shown["trainable parameters"] = [f"{n:,}".replace(",", " ") for n in table[COSTS[0]]]
    shown["training clips/s"] = [f"{value:.1f}" for value in table["training_clips_per_second"]]
    shown["ms a window"] = [f"{value:.1f}" for value in table[COSTS[1]]]
    shown["runs"] = [str(count) for count in table["runs"]]
    lines = [list(shown), ["---", "---", *["---:"] * (shown.shape[1] - 2)], *shown.to_numpy()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def spread(row: Any, score: str) -> str:
    """Returns one of SCORES of a row: its mean, ± its deviation over several runs, or "n/a"."""
    mean, deviation = getattr(row, score), getattr(row, f"{score}_std")
    if np.isnan(mean):
        return "n/a"
    return f"{mean:.3f} ± {deviation:.3f}" if row.runs > 1 else f"{mean:.3f}"


def timing(folder: Path) -> dict:
    """Returns what callbacks.Stopwatch wrote into a run; of no epoch if a kill was first."""
    path = folder / "timing.json"
    if not path.is_file():
        return {"clips": 0, "seconds": {}}
    return json.loads(path.read_text(encoding="utf-8"))
