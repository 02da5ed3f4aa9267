"""`explain`: why a run says what it says, of one clip or of its test clips."""

_BASELINES = 64  # training clips, evenly chosen: more of them change little
_EXPLAINED = 200  # test clips whose named values are explained


def add(commands):
    """Adds the command's arguments."""
    command = commands.add_parser("explain", help="why a run says what it says, as pictures")
    command.set_defaults(run=run)
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
    command.add_argument("--output", required=True, metavar="DIR")
    command.add_argument("--label", help="class to explain (default: the predicted one)")
    command.add_argument("--features", help="table with action units")
    command.add_argument("--cache", help="folder of decoded clips")


def run(options):
    """Writes pictures and explanation.json, once everything is computed."""
    if options.clip is None and options.data is None:
        raise ValueError("explain takes CLIP or --data: name what is to be explained.")
    from emotion import backend

    backend.start()
    (_clips if options.clip is None else _clip)(options)


def _clip(options):
    from pathlib import Path

    import numpy as np

    from emotion import explain, illustrate, inside, media
    from emotion.clip import spread
    from emotion.recognizer import Recognizer

    recognizer, output = Recognizer(options.folder), Path(options.output)
    model, preset, labels = recognizer.model, recognizer.preset, recognizer.labels
    chosen, mapped = _class(options.label, labels), hasattr(preset.audio, "span")
    if not (preset.faces or mapped):
        raise ValueError(
            f"{options.folder} reads neither an MFCC map nor frames, which explain draws; "
            "give --data and no clip."
        )
    signal = recognizer.read(options.clip, options.features)
    inputs = preset.extract(signal)
    batch = {name: x[None] for name, x in inputs.items()}
    probabilities = recognizer.predict([signal])[0]
    target = int(np.argmax(probabilities)) if chosen is None else chosen
    train, load = [], None
    if options.data is not None:
        train, _, load = _data(options, recognizer.run)
    absent = explain.baseline(model, preset)
    if train:
        absent = explain.mean(preset, map(load, train))
    call, vector = inside.function(model), inside.vector(model, preset)
    rows = {name: row[None] for name, row in absent.items()}
    found = explain.attribute(call, explain.gradients(call), inputs, rows, target)
    shares = explain.shares(call, batch, absent, np.array([target]))
    shares = {name: float(parts[0]) for name, parts in shares.items()}
    maps = inside.attention(model, inputs)
    if vector:
        background = _vectors(vector, preset, map(load, train)) if train else vector.mean[None]
        shap, _ = _shap(vector, vector.of(batch), [target], background)

    title = f"{Path(options.clip).name}: {labels[target]}, {probabilities[target]:.0%}"
    told = f"{title}; completeness error {found.error:.2%}"
    if mapped and signal.heard:
        images = (_upright(inputs["audio"]), _upright(found.values["audio"]))
        illustrate.mfcc(*images, preset.audio.span(signal), told, output / "mfcc")
    if preset.faces and signal.seen:
        frames, warmth = inputs["video"], illustrate.heat(found.values["video"])
        times = spread(signal.duration, len(frames))
        illustrate.strip(illustrate.overlay(frames, warmth), times, told, output / "frames")
        sound = (media.read_samples(options.clip, 44100), 44100) if signal.heard else None
        illustrate.video(frames, warmth, signal.duration, sound, output / "heat.mp4")
    if maps:
        steps = len(maps["audio", "video"])
        extents = {"audio": _extent(preset.audio, signal, steps), "video": (0, signal.duration)}
        illustrate.attention(maps, extents, title, output / "attention")
    if vector:
        illustrate.summary(shap, vector.of(batch), vector.names, title, output / "shap")
    _write(
        output,
        clip=str(options.clip),
        label=labels[target],
        probability=float(probabilities[target]),
        baseline=_named(train),
        difference=found.difference,
        completeness_error=found.error,
        steps=found.steps,
        shares=shares,
    )
    print(f"{title}. The logit differs by {found.difference:+.3f} from that of {_named(train)}.")
    print("Shares: " + ", ".join(f"{name} {part:+.3f}" for name, part in shares.items()) + ".")
    _print_error(f"Integrated gradients, {found.steps} steps", found.error)
    print(f"{output} holds the pictures and explanation.json.")


def _clips(options):
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from emotion import explain, illustrate, inside
    from emotion.batches import Batches
    from emotion.run import load_run, write_text

    trained, output = load_run(options.folder), Path(options.output)
    model, preset, labels = trained.model(), trained.preset, trained.labels
    chosen = _class(options.label, labels)
    train, test, load = _data(options, trained)
    absent = explain.mean(preset, map(load, train))
    call, vector = inside.function(model), inside.vector(model, preset)
    before = inside.before_logits(model)
    points, targets, shares, vectors = [], [], [], []
    batches = Batches(test, preset, labels, preset.recipe.batch_size, load)
    for index in range(len(batches)):
        inputs, _, _ = batches[index]
        best = np.argmax(model.predict_on_batch(inputs), axis=1)
        best = best if chosen is None else np.full(len(best), chosen)
        points.append(before(inputs))
        shares.append(explain.shares(call, inputs, absent, best))
        targets.extend(best.tolist())
        if vector:
            vectors.append(vector.of(inputs))
    points = np.concatenate(points)
    shares = {name: np.concatenate([part[name] for part in shares]) for name in absent}
    places = inside.project(points)
    kinds = {"emotion": [clip.label for clip in test], "speaker": [clip.speaker for clip in test]}
    groups = {kind: (names, inside.silhouette(points, names)) for kind, names in kinds.items()}
    record = {
        "clips": len(test),
        "baseline": _named(train),
        "shares": {name: float(part.mean()) for name, part in shares.items()},
        "silhouette": {k: None if np.isnan(one) else one for k, (_, one) in groups.items()},
    }
    if vector:
        some = _even(range(len(test)), _EXPLAINED)
        vectors = np.concatenate(vectors)[some]
        background = _vectors(vector, preset, map(load, train))
        shap, error = _shap(vector, vectors, [targets[index] for index in some], background)
        record |= {"shap_clips": len(some), "shap_error": error}

    title = f"{Path(options.folder).name}, {len(test)} test clips"
    explained = [labels[target] for target in targets]
    illustrate.embedding(
        places, groups, f"{title}: the layer before the logits", output / "embedding"
    )
    illustrate.shares(shares, explained, labels, title, output / "shares")
    table = pd.DataFrame({"id": [clip.id for clip in test], **kinds, "explained": explained})
    write_text(output / "shares.csv", table.assign(**shares).to_csv(index=False))
    if vector:
        illustrate.summary(shap, vectors, vector.names, title, output / "shap")
        table = pd.DataFrame(shap, columns=vector.names)
        table.insert(0, "id", [test[index].id for index in some])
        write_text(output / "shap.csv", table.to_csv(index=False))
    _write(output, **record)
    parts = ", ".join(f"{name} {part:+.3f}" for name, part in record["shares"].items())
    print(f"{title}. Mean shares of the logit, against {_named(train)}: {parts}.")
    told = ", ".join(f"{kind} {one:.3f}" for kind, (_, one) in groups.items())
    print(f"Silhouette of the layer before the logits: {told}.")
    if vector:
        _print_error("SHAP values, the worst clip", error)
    print(f"{output} holds the pictures, shares.csv and explanation.json.")


def _class(label, labels):
    if label is None:
        return None
    if label not in labels:
        raise ValueError(f"--label must be one of {', '.join(labels)}. Received: {label}.")
    return labels.index(label)


def _data(options, trained):
    """Some training clips, the test clips, and the function that loads the signal of one."""
    split, load = trained.data(options.data, options.features, options.cache)
    return _even(split.train, _BASELINES), split.test, load


def _even(items, most):
    return list(items)[:: -(-len(items) // most)]


def _vectors(vector, preset, signals):
    import numpy as np

    rows = [preset.extract(signal) for signal in signals]
    return np.concatenate([vector.of({name: x[None] for name, x in row.items()}) for row in rows])


def _shap(vector, vectors, targets, background):
    """SHAP values (n, c) of vectors (n, c), and the largest completeness error."""
    import numpy as np

    from emotion import explain

    slopes, rows = explain.gradients(vector.call), {"vector": background}
    found = [
        explain.attribute(vector.call, slopes, {"vector": x}, rows, target)
        for x, target in zip(vectors, targets)
    ]
    return np.stack([one.values["vector"] for one in found]), max(one.error for one in found)


def _upright(values):
    """(coefficients, steps) of either kind of MFCC map."""
    return values[..., 0] if values.ndim == 3 else values.T


def _extent(feature, signal, steps):
    """What `steps` of the branch cover: unpadded convolutions lose as many at both ends."""
    start, end = feature.span(signal)
    lost = (end - start) * (1 - steps / feature.shape[0]) / 2
    return start + lost, end - lost


def _named(train):
    if train:
        return f"the mean of {len(train)} training clips"
    return "an absent input (the mean where the model learned it, else zero)"


def _print_error(what, error):
    from emotion.explain import TOLERANCE

    hard = "" if error <= TOLERANCE else ", since the logit hardly differs from the baseline's"
    print(f"{what}: completeness error {error:.2%}{hard}.")


def _write(output, **record):
    import json

    from emotion.run import write_text

    write_text(output / "explanation.json", json.dumps(record, indent=1))
