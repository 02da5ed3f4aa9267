"""Record: what run.json says of a training, and what tells one training from another."""

import hashlib
import json
import warnings

from emotion.preset import from_json


def digest(record):
    """Returns str that tells a training apart from any other.

    Args:
        record: dict, what `training` records. Epochs and library versions may change.
    """
    preset = record["preset"]
    recipe = {name: value for name, value in preset["recipe"].items() if name != "epochs"}
    kept = {name: value for name, value in record.items() if name != "versions"}
    text = json.dumps({**kept, "preset": {**preset, "recipe": recipe}}, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def refuse_other(before, now, folder):
    """Raises ValueError where a run would be resumed as another training than it was.

    Args:
        before: dict, what its run.json holds.
        now: dict, what the training would record.
        folder: Path of the run.
    """
    different = compare(before, now)
    different.pop("preset.recipe.epochs", None)  # more of the same training are the same training
    if different:
        told = "; ".join(f"{name}: {text}" for name, text in different.items())
        raise ValueError(
            f"{folder} cannot be resumed as another training ({told}); "
            "give it what it had, or start a new --run."
        )
    if before["versions"] != now["versions"]:
        names = [n for n, v in now["versions"].items() if before["versions"].get(n) != v]
        warnings.warn(
            f"{folder} was begun with other versions of {', '.join(names)}: "
            "it goes on, but not to the same bits.",
            stacklevel=3,
        )


def compare(before, now):
    """Returns dict of the name of a setting to str, "... then, ... now", where two records differ.

    Args:
        before: dict, what a run.json holds, perhaps of an earlier version.
        now: dict, what a training would record; library versions do not count.
    """
    names = now.keys() - {"versions"}
    recorded = from_json(before["preset"]).to_json()  # with the settings that came later
    before = {**before, "preset": json.loads(json.dumps(recorded))}
    pairs = _leaves({n: before.get(n) for n in names}, {n: now[n] for n in names})
    return {name: f"{old} then, {new} now" for name, old, new in pairs}


def _leaves(before, now, prefix=""):
    """The settings that differ: (dotted name, old, new)."""
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _leaves(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", old, new
