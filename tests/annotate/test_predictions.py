"""Transcript: predictions as CSV, JSON and WebVTT."""

import base64
import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stub import LABELS, NTSC, Stub, moving, scene, white_square
from videos import tone, write_video

from emotion import media
from emotion.annotate import predictions
from emotion.annotate.render import annotate_video
from emotion.clip import Prediction
from emotion.faces.tracking import Track
from emotion.inference.timeline import Timeline, analyse
from emotion.media.decode import Info

TYPES = {
    **dict.fromkeys(("start", "end", "x1", "y1", "x2", "y2", "confidence", *LABELS), "float64"),
    **{"track": "Int64", "has_audio": "bool", "has_face": "bool"},
}


def said(*rows, labels=LABELS, probabilities=(0.1, 0.7, 0.2)):
    """A Timeline with a prediction for each (start, end, track), of two faces that stay."""
    shares = np.array(probabilities, np.float32)
    result = [
        Prediction(start, end, labels, shares, track != 2, track is not None, track)
        for start, end, track in rows
    ]
    box, times = np.array([[10.0, 20, 30, 40]] * 20), np.arange(20) / 2
    tracks = [Track(id, np.arange(20), box + 100 * id) for id in (1, 2)]
    return Timeline(Info(Path("in.mp4"), 10, True, True), labels, 10.0, times, tracks, result)


def written(timeline, path):
    predictions.write_predictions(timeline, path)
    return path


def cues(path):
    """List of (start, end, text) of a .vtt, which is checked for the grammar of what we write."""
    head, *blocks = path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    result = []
    for block in blocks:
        first, *rest = block.split("\n")
        if first.startswith("NOTE "):
            assert "-->" not in first and not rest
            continue
        times = [pd.Timedelta(time).total_seconds() for time in first.split(" --> ")]
        assert times[0] < times[1] and len(rest) == 1 and "<" not in rest[0]
        result.append((*times, rest[0]))
    assert [cue[0] for cue in result] == sorted(cue[0] for cue in result)
    return result


def test_pandas_reads_the_documented_types(tmp_path):
    path = moving(tmp_path, lambda i: i < 40, sound=(tone(3), 16000))
    timeline = analyse(path, Stub(white_square))
    table = pd.read_csv(written(timeline, tmp_path / "p.csv"), dtype={"track": "Int64"})
    assert list(table) == [*predictions.COLUMNS, *LABELS]
    assert {name: str(table[name].dtype) for name in TYPES} == TYPES
    assert pd.api.types.is_string_dtype(table["label"])
    assert table["track"].isna().any() and (table["track"] == 1).any()
    np.testing.assert_allclose(table[list(LABELS)].sum(axis=1), 1, atol=1e-3)
    alone = table[table["track"].isna()]
    assert alone["has_audio"].all() and not alone["has_face"].any() and alone["x1"].isna().all()
    middle = (table["start"] + table["end"])[0] / 2
    assert table["x1"][0] == pytest.approx(20 + 60 * middle, abs=8)


def test_the_three_forms_hold_the_same_rows(tmp_path):
    timeline = said((0, 3, 1), (0, 3, 2), (1, 4, None))
    csv, record, vtt = (
        written(timeline, tmp_path / f"p.{kind}") for kind in ("csv", "json", "vtt")
    )
    rows = json.loads(record.read_text(encoding="utf-8"))["windows"]
    table = pd.read_csv(csv, dtype={"track": "Int64"}).astype(object)
    assert table.where(table.notna(), None).to_dict("records") == rows
    notes = [
        line[5:]
        for line in vtt.read_text(encoding="utf-8").splitlines()
        if line.startswith("NOTE ")
    ]
    assert [json.loads(note) for note in notes] == rows
    assert rows[1]["track"] == 2 and not rows[1]["has_audio"] and rows[1]["x1"] == 210


def test_one_cue_a_person_is_shown_at_a_time(tmp_path):
    windows = [(0, 3), (1, 4), (2, 5), (7, 10)]
    timeline = said(*((*window, id) for window in windows for id in (1, 2)))
    result = cues(written(timeline, tmp_path / "p.vtt"))
    spans = [(0, 2), (2, 3), (3, 5), (7, 10)]
    assert [(*cue[:2], cue[2][0]) for cue in result] == [
        (*span, id) for span in spans for id in ("1", "2")
    ]
    assert result[0][2] == "1: happy 70 %" and result[1][2] == "2: happy 70 % (picture alone)"


@pytest.fixture
def early(tmp_path):
    """Path of a film as browsers record: its sound begins 0.3 s before its first frame."""
    options = {"codec": "libvpx", "sound_codec": "libopus", "draw": scene(lambda i: True)}
    sound = tone(3.3, 48000), 48000
    return write_video(tmp_path / "e.webm", NTSC, (320, 240), sound=sound, video_at=0.3, **options)


def test_cues_count_from_the_first_timestamp_as_players_do(early, tmp_path):
    timeline = annotate_video(early, tmp_path / "e.mp4", Stub(white_square), 1.0, 1.0)
    result, table = (written(timeline, tmp_path / name) for name in ("e.vtt", "e.csv"))
    assert pd.read_csv(table)["start"].tolist() == [0, 1, 2]
    assert [start for start, *_ in cues(result)] == pytest.approx([0.3, 1.3, 2.3], abs=0.01)
    infos = [media.probe(path) for path in (early, tmp_path / "e.mp4")]
    assert [info.origin - info.start for info in infos] == pytest.approx([0.3, 0.3], abs=0.02)


def test_a_label_cannot_break_out_of_its_cue(tmp_path):
    labels = ("a & <b>\n\n00:00.000 --> 00:09.000", "c")
    result = cues(
        written(said((0, 3, None), labels=labels, probabilities=(1, 0)), tmp_path / "p.vtt")
    )
    text = "a &amp; &lt;b&gt; 00:00.000 --&gt; 00:09.000 100 % (sound alone)"
    assert result == [(0, 3, text)]


def test_nothing_predicted_is_still_a_file(tmp_path):
    assert cues(written(said(), tmp_path / "p.vtt")) == []
    assert len(pd.read_csv(written(said(), tmp_path / "p.csv"))) == 0


def test_refuses_other_suffixes_and_the_input(tmp_path):
    with pytest.raises(ValueError, match=r"\.csv, \.json or \.vtt.*p\.txt"):
        predictions.write_predictions(said(), tmp_path / "p.txt")
    with pytest.raises(ValueError, match="must not replace"):
        predictions.check_predictions(tmp_path / "in.csv", tmp_path / "in.csv")


SHOWN = """() => new Promise((done, fail) => {
  const [video, track] = ['video', 'track'].map((name) => document.querySelector(name))
  track.onerror = () => fail('the subtitles cannot be read')
  const text = (cue) => cue.getCueAsHTML().textContent
  video.onseeked = () => done([...track.track.activeCues].map(text))
  const seek = () => { video.currentTime = 1.5 }
  track.readyState === HTMLTrackElement.LOADED ? seek() : track.addEventListener('load', seek)
  setTimeout(() => fail(`nothing happened: ${track.readyState}, ${video.error?.message}`), 20000)
})"""


def _answer(route, kind, body):
    route.fulfill(content_type=kind, body=body)


def test_a_browser_shows_the_cues_of_the_moment(browser, tmp_path):
    video = moving(tmp_path, lambda i: i < 40, sound=(tone(3), 16000)).read_bytes()
    video = f"data:video/mp4;base64,{base64.b64encode(video).decode()}"  # one that can be sought in
    labels = ("neutral", "<i>sad</i> & --> late", "happy")
    timeline = said((0.0, 1.0, 1), (1.0, 2.0, 1), (1.0, 2.0, 2), (2.0, 3.0, 1), labels=labels)
    subtitles = written(timeline, tmp_path / "in.vtt").read_bytes()
    page = browser.new_page()
    text = f'<video src="{video}"><track kind="subtitles" src="/in.vtt" default></video>'
    for name, kind, body in (("", "text/html", text), ("in.vtt", "text/vtt", subtitles)):
        page.route(f"http://recording.test/{name}", partial(_answer, kind=kind, body=body))
    page.goto("http://recording.test/")
    first, second = page.evaluate(SHOWN)
    assert "<i>sad</i> & --> late" in first and "70 %" in first and first != second
    page.close()
