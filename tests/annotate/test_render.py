"""Annotation: what is drawn and written of a video; the recogniser is a stub."""

import av
import numpy as np
import pytest
from scipy.io import wavfile
from stub import LABELS, NTSC, Stub, moving, white_square
from videos import onset, tone

from emotion import media
from emotion.annotate import render
from emotion.clip import Prediction
from emotion.faces.crop import STEP
from emotion.faces.tracking import Track
from emotion.inference.timeline import Timeline


def coloured(frame):
    """Mask of what is drawn: strong colour on a grey scene."""
    return frame.max(axis=2).astype(int) - frame.min(axis=2) > 60


def annotated(path, **options):
    output = path.with_name("out.mp4")
    return output, render.annotate_video(path, output, Stub(white_square, **options))


@pytest.mark.parametrize("times", [NTSC, np.cumsum(np.tile([0.02, 0.05, 0.033], 30))])
def test_output_keeps_timestamps_duration_and_sound(tmp_path, times):
    path = moving(tmp_path, times=times, sound=(tone(3, 44100, clicks=(1.0,)), 44100))
    output, _ = annotated(path)
    before, after = ([time for time, _ in media.read_frames(file)] for file in (path, output))
    np.testing.assert_allclose(after, before, atol=1e-5)
    assert media.probe(output).duration == pytest.approx(media.probe(path).duration, abs=1 / 30)
    item, two = (media.read_samples(file, 44100) for file in (path, output))
    assert onset(two, 44100) == pytest.approx(onset(item, 44100), abs=0.002)


@pytest.mark.parametrize("late", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["wav", "m4a"])
def test_the_output_has_the_sound_of_the_other_file(tmp_path, kind, late):
    path = moving(tmp_path, sound=(tone(3, clicks=(2.0,)), 16000), video_at=late)
    sound = tmp_path / f"s.{kind}"
    if kind == "wav":
        wavfile.write(sound, 44100, np.stack([tone(3, 44100, (1.0,)), 0 * tone(3, 44100)], axis=1))
    else:  # AAC, which is copied
        with av.open(str(sound), "w", format="ipod") as container:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            frame = av.AudioFrame.from_ndarray(tone(3, 44100, (1.0,))[None], "fltp", "mono")
            frame.sample_rate, frame.pts = 44100, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    output = tmp_path / "out.mp4"
    render.annotate_video(path, output, Stub(white_square), sound=sound)
    samples = media.read_samples(output, 44100)
    assert len(samples) == pytest.approx(3 * 44100, abs=0.1 * 44100)
    loud = samples if kind == "m4a" else 2 * samples  # one channel of two, which both stay
    assert onset(loud, 44100) == pytest.approx(1.0, abs=0.005)
    assert np.abs(samples[round(1.5 * 44100) :]).max() < 0.1  # its own is not heard
    with av.open(str(output)) as container:
        assert container.streams.audio[0].channels == (1 if kind == "m4a" else 2)


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
            late = max(0, i - 85)  # after the last look, at frame 85, the box stays where it was
            assert np.abs(left - (20 + 2 * i)).min() <= 6 + 2 * late, i
        elif i < 16 or 59 < i < 66:
            assert not inside.any(), i


def test_notes_say_what_is_missing(tmp_path):
    _, timeline = annotated(moving(tmp_path, lambda i: i < 50))
    describe = render.scenes(timeline)
    assert describe(1.0)[1] == "from the picture alone"
    assert describe(2.9) == ([], "no face")
    _, timeline = annotated(moving(tmp_path, lambda i: False, sound=(tone(3), 16000)))
    (face,), note = render.scenes(timeline)(1.0)
    assert face.box is None and face.name == "no face: from sound alone" and note is None


def timeline_of(predictions, tracks=(), seconds=20.0):
    """A Timeline looked at every STEP, of (start, end, track, label) and of (id, looks)."""
    times = np.arange(0, seconds, STEP)
    tracks = [Track(id, np.array(looks), np.zeros((len(looks), 4))) for id, looks in tracks]
    shares = {label: np.eye(3, dtype=np.float32)[i] for i, label in enumerate(LABELS)}
    result = [
        Prediction(start, end, LABELS, shares[label], True, track is not None, track)
        for start, end, track, label in predictions
    ]
    return Timeline(None, LABELS, seconds, times, tracks, result)


def test_the_summary_names_the_emotion_of_a_person():
    windows = [(0, 6, 1, "sad"), (6, 12, 1, "happy"), (12, 20, 1, "happy")]
    text = render.summary(timeline_of(windows, [(1, range(120))]))
    assert text == "person 1: happy, 14 of 20 s\n1 face; predictions: 3 from sound and face"


def test_the_summary_names_each_person_and_the_sound_between():
    # Person 1 is there for the first half, person 2 from second 2 on until 5; then sound alone.
    windows = [(0, 2, 1, "neutral"), (2, 10, 1, "sad"), (2, 5, 2, "happy"), (10, 20, None, "sad")]
    timeline = timeline_of(windows, [(1, range(60)), (2, range(12, 30))])
    assert render.summary(timeline).splitlines() == [
        "person 1: sad, 6.4 of 9.9 s",  # nearest centres: 1 and 6 s
        "person 2: happy, 3.0 of 3.0 s",
        "sound: sad, 10 of 10 s",
        "2 faces; predictions: 3 from sound and face, 1 from sound alone",
    ]


def test_the_summary_of_sound_alone_and_of_nothing():
    windows = [(0, 3, None, "sad"), (2, 5, None, "happy"), (4, 7, None, "sad")]
    assert render.summary(timeline_of(windows, (), 7.0)) == (
        "sound: sad, 5.0 of 7.0 s\nno face; predictions: 3 from sound alone"
    )
    nothing = render.summary(timeline_of([], [], 5.0))
    assert nothing == "no face; predictions: none (neither speech nor face)"


@pytest.mark.parametrize("seed", range(5))
def test_the_summary_counts_what_is_drawn(seed):
    rng, span = np.random.default_rng(seed), 12.0
    tracks = [(id, np.sort(rng.choice(70, rng.integers(2, 40), replace=False))) for id in (1, 2, 3)]
    windows = [
        (start, start + 1.5, track, LABELS[rng.integers(3)])
        for start in np.arange(0, span - 1.5, 0.5)
        for track in (1, 2, None)
        if rng.random() < 0.7
    ]
    timeline = timeline_of(windows, tracks, span)
    describe, drawn = render.scenes(timeline), {}
    moments = np.arange(0.005, span, 0.01)
    for moment in moments:
        for face in describe(moment)[0]:
            name = "sound" if face.box is None else f"person {face.name}"
            label = face.labels and face.labels[int(face.probabilities.argmax())]
            drawn.setdefault(name, []).append(label)
    result = render.lasting(timeline)
    assert [item[0] for item in result] == sorted({name for name in drawn if any(drawn[name])})
    for name, label, lasted, total in result:
        assert lasted == pytest.approx(drawn[name].count(label) / 100, abs=0.1)
        assert total == pytest.approx(len(drawn[name]) / 100, abs=0.1)
        assert lasted >= max(map(drawn[name].count, filter(None, drawn[name]))) / 100 - 0.1
