"""Presence: a model for both is not trained on black frames, and what is lacking is told."""

import json
import shutil

import numpy as np
import pytest

import train_model
from emotion import media, models
from emotion.clip import Clip
from emotion.report import build
from emotion.run import load_run
from emotion.signals import presence
from emotion.signals.cache import Facts

BOTH, NO_FACE = Facts(3.0, True, True), Facts(3.0, True, False)


def counted(preset, facts, **files):
    clips = [Clip(str(i), "happy", "1", **files) for i in range(len(facts))]
    return presence.count(preset, clips, dict(zip((clip.id for clip in clips), facts)))


def test_what_files_should_hold_and_do_not_is_counted(tmp_path):
    preset = models.preset("cnn3d_mfcc")
    facts = [BOTH, NO_FACE, NO_FACE, Facts(reason="damaged")]
    sound, face = counted(preset, facts, audio=tmp_path, video=tmp_path)
    assert (sound.expected, sound.lacking) == (3, ())
    assert (face.expected, face.lacking) == (3, ("1", "2"))
    (line,) = presence.lines(preset, [sound, face])
    assert line == "no face found in 2 of 3 clips: 1, 2"


def test_a_third_may_lack_a_modality_and_no_more(tmp_path):
    preset = models.preset("cnn3d_mfcc")
    files = {"audio": tmp_path, "video": tmp_path}
    presence.check(preset, counted(preset, [BOTH] * 4 + [NO_FACE] * 2, **files))
    with pytest.raises(ValueError, match="no face was found in 3 of 6 clips .*--modality audio"):
        presence.check(preset, counted(preset, [BOTH] * 3 + [NO_FACE] * 3, **files))
    silent = Facts(3.0, False, True)
    with pytest.raises(ValueError, match="no sound was found in 6 of 6 clips .*--modality video"):
        presence.check(preset, counted(preset, [silent] * 6, **files))
    presence.check(preset.only("audio"), counted(preset.only("audio"), [NO_FACE] * 3, **files))


def test_a_preset_that_drops_modalities_on_purpose_is_exempt_and_says_so(tmp_path):
    preset = models.preset("efficientface_late_transformer")
    files = {"audio": tmp_path, "video": tmp_path}
    counts = counted(preset, [BOTH] + [NO_FACE] * 5, **files)
    presence.check(preset, counts)
    assert "5 of 6 clips (it trains with missing modalities" in presence.lines(preset, counts)[0]
    with pytest.raises(ValueError, match="6 of 6 clips have no file for the face"):
        presence.check(preset, counted(preset, [NO_FACE] * 6, audio=tmp_path))


@pytest.fixture
def faceless(corpus, tmp_path):
    """Makes a copy of the corpus with grey pictures in place of a share of the faces."""

    def faceless(share):
        root = tmp_path / "data"
        shutil.copytree(corpus, root)
        films = sorted(root.rglob("*.mp4"))
        for path in films[:: round(1 / share)]:
            with media.VideoWriter(path, rate=10) as writer:
                for index in range(20):
                    writer.write(np.full((96, 96, 3), 128, np.uint8), index / 10)
        return root, len(films[:: round(1 / share)]), len(films)

    return faceless


@pytest.mark.slow
def test_half_of_the_faces_unfindable_is_refused_with_the_count(faceless, tmp_path, capsys):
    root, lost, every = faceless(1 / 2)
    run = tmp_path / "run"
    options = ["--data", root, "--run", run, "--cache", tmp_path / "c", "--face-detector", "haar"]
    assert train_model.main([*map(str, options), "--workers", "0"]) == 2
    text = capsys.readouterr().err
    assert f"no face was found in {lost} of {every} clips" in text and "--modality audio" in text
    assert not run.exists()


@pytest.mark.slow
def test_a_tenth_trains_and_is_reported_on_screen_in_the_record_and_in_the_report(
    faceless, tmp_path, capsys
):
    root, lost, every = faceless(1 / 10)
    folder = tmp_path / "run"
    options = ["--data", root, "--run", folder, "--cache", tmp_path / "c", "--epochs", 1]
    assert train_model.main([*map(str, options), "--face-detector", "haar"]) == 0
    assert f"no face found in {lost} of {every} clips" in capsys.readouterr().err
    lacking = json.loads((folder / "run.json").read_text(encoding="utf-8"))["lacking"]
    assert len(lacking["video"]) == lost and lacking["audio"] == []
    page = build.of_run(folder, [load_run(folder)], {}, "")
    assert f"sound 0; face {lost}" in page
