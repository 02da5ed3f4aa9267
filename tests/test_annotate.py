"""Annotation: what is drawn and written of a video; the recogniser is a stub."""

import numpy as np
import pytest
from films import onset, tone
from stub import NTSC, Stub, moving, white_square

from emotion import annotate, media


def coloured(frame):
    """Mask of what is drawn: strong colour on a grey scene."""
    return frame.max(axis=2).astype(int) - frame.min(axis=2) > 60


def annotated(path, **options):
    output = path.with_name("out.mp4")
    return output, annotate.annotate_video(path, output, Stub(white_square, **options))


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


def test_notes_say_what_is_missing(tmp_path):
    _, timeline = annotated(moving(tmp_path, lambda i: i < 50))
    describe = annotate.scenes(timeline)
    assert describe(1.0)[1] == "no sound: from the picture alone"
    assert describe(2.9) == ([], "no face")
    _, timeline = annotated(moving(tmp_path, lambda i: False, sound=(tone(3), 16000)))
    (face,), note = annotate.scenes(timeline)(1.0)
    assert face.box is None and face.name == "no face: from sound alone" and note is None
