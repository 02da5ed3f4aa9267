"""Annotation: what is followed, drawn, written and said; the recogniser is a stub."""

import csv
import json
import os
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from films import film, onset, tone

import run_inference
from emotion import annotate, faces, media
from emotion.overlay import COLOURS, Face

LABELS = ("neutral", "happy", "sad")
NTSC = np.arange(90) * 1001 / 30000


class Stub:
    """Says "happy" where it hears and sees, "sad" where it only hears, else "neutral"."""

    labels, window, sample_rate, crop_size, crop_margin = LABELS, 1.2, 16000, 32, 0.2

    def __init__(self, detector=None, modality="both"):
        self.preset, self.spec = SimpleNamespace(modality=modality), SimpleNamespace(given=())
        self.detector = detector or faces.Detector("haar")
        self.signals = []

    def predict(self, signals):
        self.signals += signals
        which = [(s.samples is not None) * (1 if s.frames is not None else 2) for s in signals]
        return np.eye(3, dtype=np.float32)[which] * 0.7 + 0.1


def white_square(frame):
    """A detector of one bright patch."""
    rows, columns = np.nonzero(frame.min(axis=2) > 180)
    if len(rows) < 50:
        return np.zeros((0, 5), np.float32)
    box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1, 1)
    return np.array([box], np.float32)


def scene(present, step=2):
    """draw(i): a white square that moves to the right, where `present(i)`."""

    def draw(i):
        image = np.full((240, 320, 3), 60, np.uint8)
        if present(i):
            image[60:140, 20 + step * i : 100 + step * i] = 255
        return image

    return draw


def moving(tmp_path, present=lambda i: True, times=NTSC, **options):
    return film(tmp_path / "in.mp4", times, size=(320, 240), draw=scene(present), **options)


def coloured(frame):
    """Mask of what is drawn: strong colour on a grey scene."""
    return frame.max(axis=2).astype(int) - frame.min(axis=2) > 60


def annotated(path, **options):
    output = path.with_name("out.mp4")
    return output, annotate.annotate_video(path, output, Stub(white_square, **options))


def test_windows_hold_what_was_seen_and_heard(tmp_path):
    path = moving(tmp_path, sound=(tone(3, clicks=(1.5,)), 16000))
    stub = Stub(white_square)
    timeline = annotate.analyse(path, stub, window=1.0, hop=0.5)
    starts = [prediction.start for prediction in timeline.predictions]
    assert starts == pytest.approx([0, 0.5, 1, 1.5, 2], abs=1e-6)
    assert [track.id for track in timeline.tracks] == [1]
    for start, signal in zip(starts, stub.signals, strict=True):
        assert len(signal.samples) == 16000 and signal.duration == pytest.approx(1)
        assert signal.frames.shape[1:] == (32, 32, 3) and 5 <= len(signal.frames) <= 7
        assert len(signal.times) == len(signal.frames)
        assert 0 <= signal.times[0] and signal.times[-1] < 1 and (np.diff(signal.times) > 0).all()
        if 0.2 < 1.5 - start < 0.8:
            assert onset(signal.samples, 16000) == pytest.approx(1.5 - start, abs=0.005)


def test_a_short_recording_is_one_window(tmp_path):
    path = moving(tmp_path, times=NTSC[:20])
    (prediction,) = annotate.analyse(path, Stub(white_square)).predictions
    assert (prediction.start, prediction.end) == (0, pytest.approx(20 * 1001 / 30000, abs=0.01))
    assert prediction.seen and not prediction.heard


@pytest.mark.parametrize(("window", "hop"), [(0, 1), (2, 3), (2, 0), (-1, 1), (2, float("nan"))])
def test_refuses_a_wrong_window_or_hop(tmp_path, window, hop):
    with pytest.raises(ValueError, match="Received"):
        annotate.analyse(tmp_path / "any.mp4", Stub(white_square), window, hop)


def test_sound_outlasting_the_picture_is_predicted(tmp_path):
    path = moving(tmp_path, times=NTSC[:45], sound=(tone(4), 16000))
    timeline = annotate.analyse(path, Stub(white_square))
    assert timeline.duration == pytest.approx(4, abs=0.07)
    assert [p.label for p in timeline.predictions][0] == "happy"
    assert timeline.predictions[-1].label == "sad" and timeline.predictions[-1].track is None


def test_a_run_of_one_modality_uses_that_alone(tmp_path):
    path = moving(tmp_path, sound=(tone(3), 16000))
    (deaf,) = {p.heard for p in annotate.analyse(path, Stub(white_square, "video")).predictions}
    blind = Stub(white_square, "audio")
    blind.detector = None
    (seen,) = {p.seen for p in annotate.analyse(path, blind).predictions}
    assert not deaf and not seen
    with pytest.raises(media.MediaError, match="has no sound"):
        annotate.analyse(moving(tmp_path), blind)


@pytest.mark.parametrize("times", [NTSC, np.cumsum(np.tile([0.02, 0.05, 0.033], 30))])
def test_output_keeps_timestamps_duration_and_sound(tmp_path, times):
    path = moving(tmp_path, times=times, sound=(tone(3, 44100, clicks=(1.0,)), 44100))
    output, _ = annotated(path)
    before, after = ([time for time, _ in media.read_frames(file)] for file in (path, output))
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert media.probe(output).duration == pytest.approx(media.probe(path).duration, abs=1 / 30)
    one, two = (media.read_samples(file, 44100) for file in (path, output))
    assert onset(two, 44100) == pytest.approx(onset(one, 44100), abs=0.002)


def test_box_follows_the_face_and_goes_with_it(tmp_path):
    # There from frame 20 to 55, gone, and back from 70 on.
    output, timeline = annotated(
        moving(tmp_path, lambda i: 20 <= i < 55 or i >= 70, sound=(tone(3), 16000))
    )
    assert {track.id for track in timeline.tracks} <= {1, 2}
    for i, (_, frame) in enumerate(media.read_frames(output)):
        inside = coloured(frame[55:145])
        if 24 <= i < 50 or i >= 74:
            left = np.flatnonzero(inside[40:70].mean(axis=0) > 0.7)  # columns that are an edge
            assert np.abs(left - (20 + 2 * i)).min() <= 6, i
        elif i < 16 or 59 < i < 66:
            assert not inside.any(), i


def test_a_face_seen_once_is_not_followed(tmp_path):
    path = moving(tmp_path, lambda i: i in (40, 41, 42))
    timeline = annotate.analyse(path, Stub(white_square))
    assert timeline.tracks == [] and timeline.predictions == []


def test_notes_say_what_is_missing(tmp_path):
    _, timeline = annotated(moving(tmp_path, lambda i: i < 50))
    describe = annotate.scenes(timeline)
    assert describe(1.0)[1] == "no sound: from the picture alone"
    assert describe(2.9) == ([], "no face")
    _, timeline = annotated(moving(tmp_path, lambda i: False, sound=(tone(3), 16000)))
    (face,), note = annotate.scenes(timeline)(1.0)
    assert face.box is None and face.name == "no face: from sound alone" and note is None


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (320, 240), (240, 320), (161, 121)])
@pytest.mark.parametrize(
    "box", [(0.4, 0.3, 0.6, 0.7), (-0.1, -0.1, 0.2, 0.3), (0.7, 0.6, 1.1, 1.2)]
)
def test_draw_frame_is_pure_and_marks_box_and_card(size, box):
    frame = np.full((size[1], size[0], 3), 90, np.uint8)
    face = Face(np.array(box) * (*size, *size), "1", LABELS, np.array([0.1, 0.7, 0.2]))
    drawn = annotate.draw_frame(frame, [face], "no sound: from the picture alone")
    assert (frame == 90).all() and drawn.shape == frame.shape
    assert (drawn == COLOURS[1]).all(axis=2).sum() > 20
    assert (drawn.min(axis=2) < 60).mean() > 0.02  # the card
    np.testing.assert_array_equal(
        drawn, annotate.draw_frame(frame, [face], "no sound: from the picture alone")
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (16, 9), (40, 30)])
def test_draws_on_frames_too_small_for_a_card(size):
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    face = Face(np.array([0, 0, *size], float), "1", LABELS, np.array([0.1, 0.7, 0.2]))
    assert annotate.draw_frame(frame, [face], "no face").shape == frame.shape


def test_planes_and_rgb_show_the_same():
    frame = np.full((240, 320, 3), 120, np.uint8)
    face = Face(np.array([60, 60, 140, 160.0]), "1", LABELS, np.array([0.1, 0.7, 0.2]))
    picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
    annotate.paint(media.planes(picture), [face], None, {}, {})
    difference = np.abs(
        picture.to_ndarray(format="rgb24").astype(int) - annotate.draw_frame(frame, [face])
    )
    assert difference.mean() < 4


def test_cards_of_two_faces_do_not_meet():
    frame = np.full((720, 1280, 3), 90, np.uint8)
    shares = np.array([0.1, 0.7, 0.2])
    boxes = [np.array([300, 200, 460, 400.0]), np.array([700, 200, 860, 400.0])]
    both = [Face(box, str(i), LABELS, shares) for i, box in enumerate(boxes)]
    alone = [(annotate.draw_frame(frame, [face]) != frame).any(axis=2) for face in both]
    together = (annotate.draw_frame(frame, both) != frame).any(axis=2)
    assert together.sum() >= 0.99 * (alone[0].sum() + alone[1].sum())


# name: what is printed of it, or the reason on stderr. Faces are those the Haar cascade finds.
TABLE = {
    "av1_no_audio.mkv": (0, "no face; predictions: none"),
    "cover_art.mp3": (2, "has sound only"),
    "empty.webm": (2, "is empty (0 bytes)"),
    "face_appears_hevc_vfr.mov": (0, "from sound"),
    "face_leaves_hevc_vfr.mov": (0, "from sound"),
    "failing_audio.mp4": (0, "from sound"),
    "grid_mpeg1_mp2.mpg": (0, "1 face; predictions: 6 from sound and face"),
    "grid_mpeg1_mp2_b.mpg": (0, "1 face; predictions: 6 from sound and face"),
    "h264_10bit.mp4": (0, "no face; predictions: none"),
    "hevc_10bit.mp4": (0, "no face; predictions: none"),
    "multi_face.jpg": (2, "is a still image"),
    "nasa_8khz_audio.mp4": (0, "from sound alone"),
    "no_duration_vp9.webm": (0, "from sound"),
    "no_face.mp4": (0, "no face; predictions: 8 from sound alone"),
    "one_face.mp4": (0, "1 face; predictions:"),
    "one_face_short.mp4": (0, "1 face; predictions:"),
    "one_pixel.mp4": (0, "no face; predictions: none"),
    "openface_output.csv": (2, "is not media"),
    "rotated_180_vfr_mono.mp4": (0, "from sound alone"),
    "sine.wav": (2, "has sound only"),
    "single_face.jpg": (2, "is a still image"),
}
SLOW = ("one_face.mp4", "face_appears_hevc_vfr.mov", "face_leaves_hevc_vfr.mov")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """run(*arguments) -> (exit code, stdout, lines of stderr that are no progress bar)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_inference, "load", lambda folder, weights: Stub())

    def run(*arguments):
        code = run_inference.main(["--model", "any", *map(str, arguments)])
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if "run_inference" in line or "Trace" in line]
        return code, out, lines

    return run


def test_the_table_names_every_file(data):
    assert {path.name for path in (data / "media").iterdir()} == set(TABLE)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in TABLE],
)
def test_command_on_every_kind_of_file(data, command, tmp_path, name):
    expected, text = TABLE[name]
    path = data / "media" / name
    code, out, errors = command("--video_path", path)
    assert code == expected
    if code == 2:
        assert len(errors) == 1 and text in errors[0] and name in errors[0]
        assert os.listdir(tmp_path) == []
        return
    assert text in out and errors == []
    assert os.listdir(tmp_path) == [f"{path.stem}_annotated.mp4"]
    before, after = media.probe(path), media.probe(tmp_path / f"{path.stem}_annotated.mp4")
    assert after.audio == before.audio and after.rotation == 0
    assert (after.width, after.height) == (max(2, before.width), max(2, before.height))
    if before.duration:
        assert after.duration == pytest.approx(before.duration, abs=float(1 / before.rate) + 1e-6)
    assert sum(1 for _ in media.read_frames(after.path, size=(2, 2))) == sum(
        1 for _ in media.read_frames(path, size=(2, 2))
    )


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_command_writes_predictions_of_sound(data, command, tmp_path, suffix):
    table = tmp_path / f"sine.{suffix}"
    code, out, errors = command(
        "--video_path", data / "media/sine.wav", "--predictions", table, "--window", 2, "--hop", 1
    )
    assert code == 0 and errors == [] and "3 from sound alone" in out
    assert os.listdir(tmp_path) == [table.name]
    if suffix == "csv":
        rows = list(csv.DictReader(table.open(encoding="utf-8")))
        assert rows[1]["start"] == "1.0" and rows[1]["heard"] == "True" and rows[1]["track"] == ""
    else:
        rows = json.loads(table.read_text())["windows"]
        assert rows[1]["start"] == 1.0 and rows[1]["heard"] is True and rows[1]["track"] is None
    assert [row["label"] for row in rows] == ["sad"] * 3
    assert sum(float(rows[0][label]) for label in LABELS) == pytest.approx(1, abs=1e-3)


def test_predictions_say_where_the_face_is(tmp_path):
    timeline = annotate.analyse(moving(tmp_path), Stub(white_square))
    annotate.write_predictions(timeline, tmp_path / "p.csv")
    row = list(csv.DictReader((tmp_path / "p.csv").open(encoding="utf-8")))[1]
    middle = (float(row["start"]) + float(row["end"])) / 2
    assert float(row["x1"]) == pytest.approx(20 + 60 * middle, abs=8)
    assert (row["track"], row["label"], row["confidence"]) == ("1", "neutral", "0.8")


def test_command_refuses_in_one_line(data, command, tmp_path, monkeypatch):
    clip = moving(tmp_path)
    content = clip.read_bytes()
    for arguments, reason in (
        (("--video_path", clip, "--output", clip), "another file"),
        (("--video_path", clip, "--output", "out.avi"), "must end in .mp4"),
        (("--video_path", clip, "--predictions", "p.txt"), ".csv or .json"),
        (("--video_path", clip, "--output", "nowhere/out.mp4"), "cannot be written"),
        (("--video_path", clip, "--hop", "9"), "`hop` must be"),
        (("--video_path", "missing.mp4"), "missing.mp4"),
        (("--video_path", tmp_path), "is not a file"),
    ):
        code, _, errors = command(*arguments)
        assert code == 2 and len(errors) == 1 and reason in errors[0], arguments
    monkeypatch.setattr(run_inference, "RUNS", tmp_path / "runs")
    assert run_inference.main(["--video_path", str(clip)]) == 2
    assert os.listdir(tmp_path) == ["in.mp4"] and clip.read_bytes() == content


def test_command_takes_the_newest_run(tmp_path, monkeypatch, capsys):
    for age, name in ((200, "old"), (100, "new"), (0, "unfinished")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").touch()
        if name != "unfinished":
            (tmp_path / name / "model.keras").touch()
            os.utime(tmp_path / name / "model.keras", (1e9 - age, 1e9 - age))
    monkeypatch.setattr(run_inference, "RUNS", tmp_path)
    assert run_inference.newest() == tmp_path / "new"
    assert "new" in capsys.readouterr().out


def test_real_face_is_boxed_tightly(data, tmp_path):
    path = data / "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4"
    timeline = annotate.analyse(path, Stub())
    (track,) = timeline.tracks
    frame = next(iter(media.read_frames(path)))[1]
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    x1, y1, x2, y2 = track.boxes.mean(axis=0)
    assert abs((x1 + x2) / 2 - 640) < 40 and 200 < x2 - x1 < 420
    assert gray[int(y1) : int(y2), int(x1) : int(x2)].mean() < 200  # the background is white
    assert len(track.indices) == len(timeline.times) == pytest.approx(20, abs=3)
