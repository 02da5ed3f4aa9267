"""`explain`: why a run says what it says, of one clip or of its test clips."""

from __future__ import annotations

import argparse
import sys


def add(commands: argparse._SubParsersAction) -> None:
    """Adds the command's arguments."""
    command = commands.add_parser("explain", help="why a run says what it says, as pictures")
    command.set_defaults(handler=run)
    command.add_argument("folder", metavar="RUN")
    command.add_argument("clip", nargs="?", metavar="CLIP", help="a video or a sound file")
    command.add_argument(
        "--data",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="without CLIP: explain the run's test clips in it (default: the one trained on); "
        "with CLIP: the baseline is the mean of the run's training clips in it",
    )
    command.add_argument(
        "--output", metavar="DIR", help="default: in RUN/explained: clips/CLIP or tests, and -LABEL"
    )
    command.add_argument("--label", help="class to explain (default: the predicted one)")
    command.add_argument("--features", help="table with action units")
    command.add_argument("--cache", help="folder of decoded clips")


def run(options: argparse.Namespace) -> None:
    """Writes pictures and explanation.json, once everything is computed."""
    if options.clip is None and options.data is None:
        raise ValueError("explain takes CLIP or --data: name what is to be explained.")
    from emotion import backend

    backend.start()
    (_clips if options.clip is None else _clip)(options)


def _clip(options):
    from pathlib import Path

    from emotion.explain.explanations import drawable, explain_clip
    from emotion.inference.recognizer import Recognizer

    recognizer = Recognizer(options.folder, use_export=False)
    run, labels = recognizer.run, recognizer.labels
    chosen = _class(options.label, labels)
    if not drawable(run.preset):
        raise ValueError(
            f"{options.folder} reads neither an MFCC map nor frames, which explain draws; "
            "give --data and no clip."
        )
    signal = recognizer.read(options.clip, options.features)
    model = recognizer.model or run.model()  # which refuses an export
    train, load = _baseline(run, options)
    name, stem = Path(options.clip).name, Path(options.clip).stem
    output = _output(run, options, f"clips/{stem}")
    explanation = explain_clip(model, run.preset, labels, signal, name, output, chosen, train, load)
    difference, steps = (
        f"{explanation['difference']:+.3f} from that of {explanation['baseline']}",
        explanation["steps"],
    )
    print(f"{explanation['title']}. The logit differs by {difference}.")
    print(f"Shares: {_parts(explanation)}.")
    _print_error(f"Integrated gradients, {steps} steps", explanation["completeness_error"])
    if "shap_error" in explanation:
        _print_error("SHAP values", explanation["shap_error"])
    print(f"{output} holds the pictures and explanation.json.")


def _baseline(run, options):
    """The clips that the run was trained on and their loader; none where they are not at hand."""
    from emotion.explain.explanations import training_clips

    if options.data is not None:
        split, load = run.data(options.data, options.features, options.cache)
        return training_clips(run, split), load
    try:
        split, load = run.data(cache_folder=options.cache)
        if not run.owns(split):
            raise ValueError(
                f"{run.record.data_path} holds other clips than it was trained on; name those "
                "with --data."
            )
    except (OSError, ValueError) as error:
        print(f"The baseline is not the mean of training clips: {error}", file=sys.stderr)
        return (), None
    return split.train, load


def _output(run, options, name):
    from pathlib import Path

    name = f"{name}-{options.label}" if options.label else name
    return Path(options.output or run.folder / "explained" / name)


def _clips(options):
    from emotion.explain.explanations import explain_tests
    from emotion.run import load_run

    run = load_run(options.folder)
    chosen = _class(options.label, run.labels)
    split, load = run.data(options.data, options.features, options.cache)
    if options.output is None:
        run.refuse_other(split)
    output = _output(run, options, "tests")
    explanation = explain_tests(run, split, load, output, chosen)
    shares = f"Mean shares of the logit, against {explanation['baseline']}: {_parts(explanation)}"
    print(f"{explanation['title']}. {shares}.")
    silhouettes = ", ".join(
        f"{kind} {'undefined' if value is None else f'{value:.3f}'}"
        for kind, value in explanation["silhouette"].items()
    )
    print(f"Silhouette of the layer before the logits: {silhouettes}.")
    if "shap_error" in explanation:
        _print_error("SHAP values, the worst clip", explanation["shap_error"])
    print(f"{output} holds the pictures, shares.csv and explanation.json.")


def _class(label, labels):
    if label is None:
        return None
    if label not in labels:
        raise ValueError(f"--label must be one of {', '.join(labels)}. Received: {label}.")
    return labels.index(label)


def _parts(explanation):
    return ", ".join(f"{name} {part:+.3f}" for name, part in explanation["shares"].items())


def _print_error(what, error):
    from emotion.explain.attributions import TOLERANCE

    hard = "" if error <= TOLERANCE else ", since the logit hardly differs from the baseline's"
    print(f"{what}: completeness error {error:.2%}{hard}.")
