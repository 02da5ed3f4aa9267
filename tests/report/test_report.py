"""The report: the figures of the files, in a page that a real browser shows whole."""

import base64
import html.parser
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emotion import media
from emotion.cli.main import main
from emotion.data import splits
from emotion.data.corpora import crema_d, ravdess
from emotion.evaluation import plots, results
from emotion.explain import plots as explain_plots
from emotion.report import build, page
from emotion.run import load_run

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
LONGEST = ("neutral or <b>bored</b>", "very disappointed and afraid", "pleasantly surprised")


class Text(html.parser.HTMLParser):
    """The words of a page, and of each picture its alternative."""

    def __init__(self, text):
        super().__init__()
        self.words, self.images, self.tags = [], [], []
        self.feed(text.split("</style>")[1])

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "img":
            self.images.append(dict(attributes)["alt"])

    def handle_data(self, data):
        if data.strip():
            self.words.append(" ".join(data.split()))


def write_run(folder, record, labels=LABELS, **conditions):
    """A run folder of a system that guesses; returns its Run."""
    rng = np.random.default_rng(0)
    count = 10 * len(labels)
    probabilities = rng.dirichlet(np.full(len(labels), 0.5), count)
    table = pd.DataFrame(
        {
            "id": [f"03-01-{1 + i % 8:02d}-01-01-{i // 40:02d}-{i % 40:02d}" for i in range(count)],
            "speaker": [f"{1 + i // len(labels) % 4:02d}" for i in range(count)],
            "label": [labels[i % len(labels)] for i in range(count)],
            "predicted": [labels[best] for best in probabilities.argmax(axis=1)],
            **{label: probabilities[:, i] for i, label in enumerate(labels)},
            "sex": ["male" if i // len(labels) % 2 else "female" for i in range(count)],
        }
    )
    settings = {
        "protocol": "ravdess-6fold",
        "fold": 0,
        "label_target": "intended",
        "modality": "audio",
        "adapted_to_test_speaker": False,
        "absent_speakers": ["21", "22"],
        "robustness": [{"kind": "noise", "level": 10.0, "uar": 0.123, "war": 0.456}],
        **results.calibrate(table, table, labels),
        **conditions,
    }
    measured = replace(results.measure(table, labels), **settings)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(
        json.dumps({**vars(record), "labels": list(labels), "protocol": "ravdess-6fold"}),
        encoding="utf-8",
    )
    history = pd.DataFrame({"epoch": [1, 2, 3], "uar": [0.1, 0.2, 0.3], "learning_rate": 1e-3})
    history = history.assign(val_uar=[0.1, 0.25, 0.2], loss=[2.0, 1.5, 1.0], val_loss=2.0)
    history.to_csv(folder / "history.csv", index=False)
    plots.curves(folder)
    plots.draw(measured, folder)
    measured.save(folder)
    return load_run(folder)


@pytest.fixture(scope="module")
def guesser(trained, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("report") / "run", trained.record)


@pytest.fixture(scope="module")
def made(guesser):
    return build.of_run(guesser.folder, [guesser], {}, "python -m emotion report RUN")


def test_figures_are_those_of_the_metrics(guesser, made):
    measured = json.loads((guesser.folder / "metrics.json").read_text(encoding="utf-8"))
    words = " ".join(Text(made).words)
    names = ("uar", "war", "macro_f1", "top_2", "top_5", "loss", "ece", "temperature")
    names += ("ece_calibrated",)
    for name in names:
        assert f"{measured[name]:.3f}" in words, name
    low, high = measured["intervals"]["uar"]
    assert f"UAR {measured['uar']:.3f} 95 % interval over speakers {low:.3f} to {high:.3f}" in words
    for label in LABELS:
        low, high = measured["intervals"]["recall"][label]
        scores = [f"{measured[name][label]:.3f}" for name in ("precision", "recall", "f1")]
        assert f"{label} {scores[0]} {scores[1]} {low:.3f} to {high:.3f} {scores[2]} 10" in words
    for group in measured["groups"].values():
        assert f"largest gap {group['gap']['size']:.3f}" in words
    assert f"test accuracy {measured['war']:.3f}; test loss {measured['loss']:.3f}" in words
    assert "noise SNR 10 dB 0.123 0.456" in words
    assert "the best 2 with validation UAR 0.250" in words
    assert "21, 22" in words and "python -m emotion report RUN" in words
    for version in guesser.record.versions.values():
        assert version in words


def test_the_most_confidently_wrong_stand_first(guesser, made):
    table = pd.read_csv(guesser.folder / "predictions.csv", dtype={"speaker": str})
    wrong = table[table["label"] != table["predicted"]]
    order = wrong[list(LABELS)].max(axis=1).sort_values(ascending=False, kind="stable").index[:10]
    words = Text(made).words
    start = words.index("Most confident mistakes")
    said = [word for word in words[start:] if word.startswith("Predicted ")]
    assert len(said) == 10
    for index, text in zip(order, said):
        row = wrong.loc[index]
        assert text == (
            f"Predicted {row['predicted']}, {row[row['predicted']]:.0%}; "
            f"true label {row['label']}, {row[row['label']]:.0%}."
        )
    assert "10 cannot be played: their media is missing." in words


def test_published_results_stand_beside_their_protocol(guesser, made):
    words = Text(made).words
    start = words.index("Published results")
    table = words[start : words.index("What it must not be used for")]
    place = {item.system: table.index(item.system) for item in ravdess.PUBLISHED}
    assert place["HiCMAE-B"] < place["wav2vec 2.0 and action units"]  # the same folds come first
    assert "87.99" in table and "pretrained without labels on VoxCeleb2" in table
    war = json.loads((guesser.folder / "metrics.json").read_text(encoding="utf-8"))["war"]
    assert f"{100 * war:.1f}" in table and "ravdess-6fold, fold 0" in table
    named = {item.protocol for item in ravdess.PUBLISHED + crema_d.PUBLISHED}
    assert named <= {None, *splits.PROTOCOLS}


def test_published_results_stand_beside_separate_task_alone(trained, compared, tmp_path):
    def channels(*names):
        groups = {name: {"uar": 0.5, "clips": 40, "lacks": []} for name in names}
        return {"groups": {"channel": {"groups": groups, "gap": None, "not_compared": []}}}

    task = {"protocol": "ravdess-6fold", "labels": LABELS, "label_target": "intended"}
    assert build.published(results.Evaluation(**task, groups={}))
    task |= channels("speech")
    assert build.published(results.Evaluation(**task))
    others = {"labels": LABELS[:6]}, {"protocol": "speaker-kfold"}, {"label_target": "crowd"}
    for other in (*others, channels("song"), channels("song", "speech")):
        assert build.published(results.Evaluation(**task | other)) == []
    run = write_run(tmp_path / "run", trained.record, **channels("song", "speech"))
    assert "Published results" not in build.of_run(run.folder, [run], {}, "")
    folder = shutil.copytree(compared, tmp_path / "compared")
    shutil.rmtree(folder / "cnn3d_mfcc-audio/seed-0-fold-0")
    run = write_run(folder / "cnn3d_mfcc-audio/seed-0-fold-0", trained.record, label_target="crowd")
    assert "Published results" not in build.of_comparison(folder, [run], "")


def test_folds_are_headed_by_their_mean_as_publications_are(guesser, tmp_path):
    folder = shutil.copytree(guesser.folder, tmp_path / "run")
    measured = results.Evaluation.read(folder)
    table = measured.predictions
    parts = [table[table["speaker"] != "04"], table[table["speaker"] == "04"]]
    shared = {name: getattr(measured, name) for name in results.CONDITIONS}
    evaluations = [
        replace(results.measure(part, LABELS), **shared, fold=fold)
        for fold, part in enumerate(parts)
    ]
    joined = results.aggregate(evaluations)
    joined.save(folder)
    m = joined.to_json()
    words = Text(build.of_run(folder, [guesser], {}, "")).words
    text = " ".join(words)
    for name in ("uar", "war", "macro_f1", "top_2"):
        assert abs(m[name] - m[f"{name}_mean"]) > 1e-3
        mean, deviation = m[f"{name}_mean"], m[f"{name}_std"]
        assert f"{mean:.3f} mean over folds, ± {deviation:.3f}; of all clips {m[name]:.3f}" in text
    place = words.index("ravdess-6fold, mean over folds 0, 1")
    assert words[place - 1] == f"{100 * m['war_mean']:.1f}"


def test_published_results_are_those_of_the_documents():
    text = Path(__file__).parents[2].joinpath("docs/protocols.md").read_text(encoding="utf-8")
    for item in ravdess.PUBLISHED + crema_d.PUBLISHED:
        assert re.search(rf"\b{item.war:g}0?\b", text), item


def test_every_picture_says_what_it_shows(made):
    text = Text(made)
    assert len(text.images) == 6 and all(len(alt) > 50 for alt in text.images)
    assert all(tag != "script" for tag, _ in text.tags)
    outside = [
        value
        for _, attributes in text.tags
        for name, value in attributes.items()
        if name in ("src", "href") and not value.startswith("data:")
    ]
    assert outside == []


def test_every_explanation_is_shown_with_its_error(guesser, made, tmp_path):
    run = replace(guesser, folder=shutil.copytree(guesser.folder, tmp_path / "run"))
    values = np.random.default_rng(0).normal(size=(9, 30))
    names = [f"mfcc_{index}" for index in range(30)]
    for part, some in (("tests", 9), ("wrong", 1), ("right", 1)):
        folder = run.folder / "explained" / part
        explain_plots.summary(values[:some], values[:some], names, part, folder / "shap")
        result = {"title": f"{part}.mp4: sad, 50%", "clip": f"{part}.mp4", "baseline": "a mean"}
        result |= {"shares": {"audio": 1.5, "video": -0.5}, "silhouette": {"emotion": 0.1}}
        result |= {"shap_clips": 9, "shap_error": 0.0321} if part == "tests" else {}
        result |= {"completeness_error": 0.0043, "steps": 64}
        (folder / "explanation.json").write_text(json.dumps(result), encoding="utf-8")
    frames, warmth = np.full((3, 32, 32, 3), 90, np.uint8), np.ones((3, 32, 32), np.float32)
    times = np.array([0.1, 0.25, 0.4])
    for part, sound in (("wrong", None), ("right", (np.zeros(8000, np.float32), 16000))):
        path = run.folder / f"explained/{part}/heat.mp4"
        explain_plots.video(frames, warmth, times, 0.5, sound, path)
    text = Text(build.of_run(run.folder, [run], {}, ""))
    words = " ".join(text.words)
    assert "the largest first; completeness error at most 3.21%" in words
    assert words.count("64 steps, completeness error 0.43%") == 2
    assert len(text.images) == len(Text(made).images) + 3
    assert sum("SHAP" in alt and "audio +1.500" in alt for alt in text.images) == 3
    videos = [attributes for tag, attributes in text.tags if tag == "video"]
    assert [item["aria-label"] for item in videos] == [
        "wrong.mp4, with heat",
        "right.mp4, with heat",
    ]
    for item, has_audio in zip(videos, (False, True)):
        (tmp_path / "film.mp4").write_bytes(base64.b64decode(item["src"].partition(",")[2]))
        info = media.probe(tmp_path / "film.mp4")
        assert bool(info.audio) == has_audio and info.duration == pytest.approx(0.5, abs=0.1)


def test_random_splits_warn(trained, tmp_path):
    run = write_run(tmp_path / "run", trained.record, protocol="random", warning="shared speakers")
    words = Text(build.of_run(run.folder, [run], {}, "")).words
    assert "shared speakers" in words and "Published results" not in words
    assert "some of them trained on" in " ".join(words)


def test_a_clip_is_played_as_the_model_has_it(clips, tmp_path):
    def decoded(shown):
        kind, data = shown.source.removeprefix("data:").split(";base64,")
        path = tmp_path / f"played.{kind.partition('/')[2]}"
        path.write_bytes(base64.b64decode(data))
        return shown.kind, media.probe(path)

    kind, info = decoded(page.player(clips[0], "both", ""))
    assert kind == "video" and info.video and info.audio and info.height <= 240
    assert info.duration == pytest.approx(media.probe(clips[0].video).duration, abs=0.1)
    kind, info = decoded(page.player(clips[0], "audio", ""))
    assert kind == "audio" and info.audio and not info.video
    kind, info = decoded(page.player(clips[0], "video", ""))
    assert kind == "video" and info.video and not info.audio
    assert page.player(replace(clips[0], audio=None, video=None), "both", "said").source is None


@pytest.fixture(scope="module")
def compared(guesser, tmp_path_factory):
    """A folder as `compare` leaves it, of one run."""
    folder = tmp_path_factory.mktemp("comparison")
    shutil.copytree(guesser.folder, folder / "cnn3d_mfcc-audio/seed-0-fold-0")
    scores = {"uar": 0.512, "war": 0.498, "top_1": 0.498, "top_5": 0.9, "loss": 1.234}
    row = {"preset": "cnn3d_mfcc", "modality": "audio", **scores}
    row |= {f"{name}_std": 0.01 for name in scores} | {"trainable_parameters": 1230216}
    table = pd.DataFrame([row | {"training_clips_per_second": 20.0, "window_ms": 6.0, "runs": 2}])
    table.to_csv(folder / "comparison.csv", index=False)
    parts = ("# Comparison", "Protocol ravdess-6fold, folds 0.", "Left out: one clip.", "| a |")
    (folder / "comparison.md").write_text("\n\n".join(parts), encoding="utf-8")
    plots.comparison(table, 0.125, "Protocol ravdess-6fold", folder)
    return folder


def test_a_comparison_is_a_page(compared, capsys):
    assert main(["report", str(compared)]) == 0
    assert "report.html" in capsys.readouterr().out
    words = " ".join(Text((compared / "report.html").read_text(encoding="utf-8")).words)
    assert (
        "cnn3d_mfcc, audio 0.512 ± 0.010 0.498 ± 0.010 0.900 ± 0.010 1.234 ± 0.010 1 230 216"
        in words
    )
    assert "Left out: one clip." in words and "HiCMAE-B" in words and "49.8" in words


def test_a_comparison_without_a_loss_is_a_page_too(compared, tmp_path):
    folder = shutil.copytree(compared, tmp_path / "older")
    table = pd.read_csv(folder / "comparison.csv").drop(columns=["loss", "loss_std"])
    table.to_csv(folder / "comparison.csv", index=False)
    assert main(["report", str(folder)]) == 0
    words = " ".join(Text((folder / "report.html").read_text(encoding="utf-8")).words)
    assert "0.900 ± 0.010 1 230 216" in words and "loss" not in words


def test_without_its_data_the_page_tells_what_is_known(guesser, tmp_path, capsys):
    folder = shutil.copytree(guesser.folder, tmp_path / "run")
    arguments = ["report", str(folder), "--data", str(tmp_path / "gone")]
    assert main([*arguments, "--output", str(tmp_path / "page.html")]) == 0
    assert "plays no clip" in capsys.readouterr().err
    assert (tmp_path / "page.html").is_file() and not (folder / "report.html").exists()
    assert main([*arguments, "--output", "page.pdf"]) == 2
    assert "must end in .html" in capsys.readouterr().err
    (folder / "metrics.json").unlink()
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


# What lies over what: the boxes of all texts that are shown, in pairs.
OVERLAPS = """() => {
  const boxes = []
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walk.nextNode()) {
    if (!walk.currentNode.data.trim()) continue
    const range = document.createRange()
    range.selectNodeContents(walk.currentNode)
    for (const box of range.getClientRects()) boxes.push([walk.currentNode.data.trim(), box])
  }
  for (const media of document.querySelectorAll('img, video, audio'))
    boxes.push([media.alt || media.ariaLabel, media.getBoundingClientRect()])
  const found = []
  for (let i = 0; i < boxes.length; i++) for (let j = 0; j < i; j++) {
    const [a, b] = [boxes[i][1], boxes[j][1]]
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left)
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
    if (wide > 1 && high > 2) found.push([boxes[i][0], boxes[j][0]])
  }
  return found
}"""


PLAYS = """one => new Promise((done, fail) => {
  one.ontimeupdate = () => one.currentTime > 0.2 && done()
  one.onerror = fail
  setTimeout(() => fail('it does not play'), 60000)
  one.muted = true
  one.play()
})"""


def look(browser, path, width, scheme="light", medium="screen"):
    """Opens a page and asserts that it is shown whole; returns the open page."""
    from axe_playwright_python.sync_playwright import Axe

    size = {"width": width, "height": 900}
    shown = browser.new_context(viewport=size, color_scheme=scheme).new_page()
    said, asked = [], []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url.split(",")[0][:80]))
    shown.goto(path.as_uri())
    shown.emulate_media(media=medium, color_scheme=scheme)
    shown.evaluate("Promise.all([...document.images].map(one => one.decode()))")
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.evaluate(OVERLAPS) == []
    if medium == "screen":
        broken = Axe().run(shown).response["violations"]
        assert [(item["id"], item["nodes"][0]["html"][:200]) for item in broken] == []
    return shown


VIEWS = [(390, "light", "screen"), (390, "dark", "screen"), (1280, "light", "screen"),
         (1280, "dark", "screen"), (700, "light", "print")]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: "-".join(map(str, view)))
def test_a_browser_shows_a_run_whole(browser, trained, clips, signals, tmp_path, view):
    run = write_run(tmp_path / "run", trained.record, LONGEST, warning="A warning, to be seen.")
    table = pd.read_csv(run.folder / "predictions.csv", dtype={"speaker": str})
    hand = {row.id: replace(clips[0], id=row.id) for row in table.itertuples()}
    path = tmp_path / "page.html"
    path.write_text(
        build.of_run(run.folder, [run], hand, "python -m emotion report RUN"), encoding="utf-8"
    )
    shown = look(browser, path, *view)
    assert "<b>bored</b>" in shown.inner_text("table")  # a label is no markup
    shown.context.close()


@pytest.mark.slow
def test_a_browser_shows_a_comparison_whole(browser, compared):
    main(["report", str(compared)])
    for view in VIEWS:
        look(browser, compared / "report.html", *view).context.close()


@pytest.mark.slow
def test_the_command_leaves_all_in_a_page_that_plays(browser, trained, corpus, signals, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "run")
    record = {**vars(trained.record), "corpus": None, "left_out": {}, "data_path": str(corpus)}
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    arguments = ["report", str(folder), "--cache", str(signals), "--workers", "0"]
    assert main(arguments) == 0
    stored = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert main(arguments) == 0  # a second time draws the page alone
    again = {path: path.stat().st_mtime_ns for path in stored}
    assert {path.name for path in stored if stored[path] != again[path]} == {"report.html"}
    shown = look(browser, folder / "report.html", 390)
    assert shown.locator("img").count() == 11  # 5 of the evaluation, 2 of all clips, 2 of two each
    videos = shown.locator("video")
    assert [videos.nth(index).get_attribute("aria-label")[-11:] for index in (0, 1)] == [
        ", with heat"
    ] * 2
    for index in (0, videos.count() - 1):
        videos.nth(index).evaluate(PLAYS)
    shown.context.close()
