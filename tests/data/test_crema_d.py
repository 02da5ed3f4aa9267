"""CREMA-D: its files, its broken ones, the crowd's votes, its folds; on real FLV files."""

import json
import wave

import numpy as np
import pytest
from videos import write_video

import train_model
from emotion import media, models
from emotion.cli.main import main
from emotion.clip import Clip, Signal
from emotion.data import corpora, splits
from emotion.data import votes as votes_of
from emotion.data.check import check
from emotion.data.corpora import crema_d
from emotion.data.corpora.crema_d import LABELS
from emotion.signals.augment import Augmentation
from emotion.training.batches import Batches

ACTORS = {"01": "1001", "02": "1019", "03": "1037"}  # of three folds
CODES = {label: code for code, label in crema_d.EMOTIONS.items()}


def touch(root, *names, content=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def votes(root, *rows, header=",FileName,VoiceVote,VoiceLevel,FaceVote,FaceLevel,MultiModalVote"):
    path = root / "processedResults" / "summaryTable.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{n},{id},N,50,N,50,{vote}" for n, (id, vote) in enumerate(rows, 1)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(clips, tmp_path_factory):
    """Path of 3 actors in six emotions as CREMA-D has them: .wav, and .flv of FLV1 and MP3."""
    root = tmp_path_factory.mktemp("CREMA-D")
    (root / "AudioWAV").mkdir()
    (root / "VideoFlash").mkdir()
    for clip in clips:
        if clip.speaker not in ACTORS or clip.label not in LABELS:
            continue
        stem = f"{ACTORS[clip.speaker]}_DFA_{CODES[clip.label]}_XX"
        samples = media.read_samples(clip.audio, 22050)
        with wave.open(str(root / "AudioWAV" / f"{stem}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(22050)
            file.writeframes((samples * 32767).astype("<i2").tobytes())
        times, frames = zip(*media.read_frames(clip.video))
        write_video(
            root / "VideoFlash" / f"{stem}.flv",
            times,
            frames[0].shape[1::-1],
            codec="flv1",
            draw=frames.__getitem__,
            sound=(samples, 22050),
            sound_codec="libmp3lame",
        )
    return root


def test_real_files_pair(folder):
    result = corpora.clips(folder)
    assert len(result) == 18 and result == corpora.clips(folder, "cremad")
    assert {clip.label for clip in result} == set(LABELS)
    clip = result[0]
    assert (clip.id, clip.label, clip.speaker) == ("1001_DFA_ANG_XX", "angry", "1001")
    assert clip.audio == folder / "AudioWAV" / "1001_DFA_ANG_XX.wav"
    assert clip.video == folder / "VideoFlash" / "1001_DFA_ANG_XX.flv"
    info = media.probe(clip.video)
    assert info.video and info.audio
    frames = [frame for _, frame in media.read_frames(clip.video)]
    assert len(frames) > 20 and np.std(frames[0]) > 10
    has_audio, has_face = (media.read_samples(path, 16000) for path in (clip.audio, clip.video))
    assert (
        abs(len(has_audio) - len(has_face)) < 0.2 * 16000
        and np.std(has_face) > 0.5 * np.std(has_audio) > 0
    )


@pytest.mark.parametrize(
    "names, audio, video",
    [
        (["a/1001_DFA_ANG_XX.WAV", "b/1001_DFA_ANG_XX.Flv"], 0, 1),
        (["VideoMP4/1001_DFA_ANG_XX.mp4"], 0, 0),
        (["AudioWAV/1001_DFA_ANG_XX.wav"], 0, None),
        (["AudioMP3/1001_DFA_ANG_XX.mp3", "VideoFlash/1001_DFA_ANG_XX.flv"], 1, 1),
        (["VideoFlash/1001_DFA_ANG_XX.flv", "VideoFlash/1001_DFA_ANG_XX.mp4"], 0, 0),
    ],
)
def test_arrangements(tmp_path, names, audio, video):
    (clip,) = corpora.clips(touch(tmp_path, *names), "cremad")
    assert clip.audio == tmp_path / names[audio]
    assert clip.video == (None if video is None else tmp_path / names[video])
    assert clip.info == {
        "channel": "speech",
        "intensity": "unspecified",
        "statement": "DFA",
        "intended": "angry",
        "label_target": "intended",
    }


@pytest.mark.parametrize(
    "name",
    [
        "1000_DFA_ANG_XX.wav",
        "1092_DFA_ANG_XX.wav",
        "1001_DFA_CAL_XX.wav",
        "1001_ABC_ANG_XX.wav",
        "1001_DFA_ANG.wav",
        "1001_DFA_ANG_X.wav",
        "1001_DFA_ANG_XX (1).wav",
        "1001_DFA_ANG_XX.mp3",
        "1001_DFA_ANG_XX.txt",
        "",
    ],
)
def test_parse_refuses(name):
    assert crema_d.parse(name) is None


def test_the_misspelt_sound_finds_its_picture(tmp_path):
    touch(tmp_path, "AudioWAV/1040_ITH_SAD_X.wav", "VideoFlash/1040_ITH_SAD_XX.flv")
    (clip,) = corpora.clips(tmp_path)
    assert clip.id == "1040_ITH_SAD_XX" and clip.audio.suffix == ".wav" and clip.video


def test_what_is_guessed(tmp_path):
    assert corpora.guess(touch(tmp_path / "a", "audiowav/x.wav")) == "cremad"
    assert corpora.guess(tmp_path / "a" / "audiowav") == "cremad"
    assert corpora.guess(touch(tmp_path / "b", "Actor_01/x.wav")) == "ravdess"
    assert corpora.guess(tmp_path / "none") == "ravdess"


def test_broken_clips_are_left_out_by_name(tmp_path):
    for id in crema_d.BROKEN:
        touch(tmp_path, f"AudioWAV/{id}.wav", f"VideoFlash/{id}.flv")
    with pytest.raises(ValueError, match="No CREMA-D recording .*known to be broken: 4 .*git lfs"):
        corpora.clips(tmp_path)
    touch(tmp_path, "AudioWAV/1076_MTI_HAP_XX.wav")
    assert [clip.id for clip in corpora.clips(tmp_path)] == ["1076_MTI_HAP_XX"]
    (line,) = corpora.left_out(tmp_path)
    assert line.startswith("left out, known to be broken: 4 (1064_IEO_DIS_MD: ")
    for id in ("1064_TIE_SAD_XX", "1076_MTI_NEU_XX", "1076_MTI_SAD_XX: no sound"):
        assert id in line


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="No CREMA-D recording to use found in .*AudioWAV"):
        corpora.clips(tmp_path, "cremad")
    with pytest.raises(FileNotFoundError, match="not a folder.*CREMA-D"):
        corpora.clips(tmp_path / "none", "cremad")
    with pytest.raises(ValueError, match="intended, crowd, votes. Received: 'face'"):
        crema_d.clips(tmp_path, "face")


def test_the_crowd(tmp_path):
    ids = [f"1001_{sentence}_ANG_XX" for sentence in ("DFA", "IOM", "ITH", "ITS")]
    touch(tmp_path, *(f"AudioWAV/{id}.wav" for id in ids))
    votes(tmp_path, (ids[0], "S"), (ids[1], "A:D"), (ids[2], "A"), ("1091_WSI_SAD_XX", "S"))
    sad, angry = corpora.clips(tmp_path, "cremad-crowd")
    assert (sad.id, sad.label, sad.info["intended"]) == (ids[0], "sad", "angry")
    assert (angry.id, angry.label) == (ids[2], "angry")
    assert sad.info["label_target"] == angry.info["label_target"] == "crowd"
    assert corpora.left_out(tmp_path, "cremad-crowd") == [
        "left out, the crowd's vote is a tie: 1",
        "left out, summaryTable.csv has no vote: 1",
    ]
    assert len(corpora.clips(tmp_path)) == 4 and corpora.left_out(tmp_path) == []


@pytest.mark.parametrize(
    "vote, label", [(code[0], label) for code, label in crema_d.EMOTIONS.items()]
)
def test_letters_of_votes(tmp_path, vote, label):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav")
    votes(tmp_path, ("1001_DFA_ANG_XX", vote))
    assert [clip.label for clip in corpora.clips(tmp_path, "cremad-crowd")] == [label]


def test_a_missing_or_wrong_table_of_votes(tmp_path, capsys):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav")
    assert train_model.main(["--data", str(tmp_path), "--corpus", "cremad-crowd"]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "summaryTable.csv does not exist" in text
    assert "--corpus cremad for the intended" in text
    votes(tmp_path, ("1001_DFA_ANG_XX", "A:Q"))
    with pytest.raises(ValueError, match="row 2: the vote must be one of .* Received: 'A:Q'"):
        corpora.clips(tmp_path, "cremad-crowd")
    votes(tmp_path, header="a,b")
    with pytest.raises(ValueError, match="FileName, MultiModalVote. Received: a, b"):
        corpora.clips(tmp_path, "cremad-crowd")
    votes(tmp_path, ("1001_DFA_ANG_XX", "A:D"))
    with pytest.raises(ValueError, match="No CREMA-D recording to use .*is a tie: 1"):
        corpora.clips(tmp_path, "cremad-crowd")


def write_counts(folder, *rows):
    """Rows of (number, id, votes for anger, disgust, fear, happy, neutral, sad)."""
    lines = [f'"{number}",{",".join(map(str, counts))},"{id}"' for number, id, *counts in rows]
    path = folder / "tabulatedVotes.csv"
    path.write_text(
        "\n".join(['"","A","D","F","H","N","S","fileName"', *lines]) + "\n", encoding="utf-8"
    )


def test_votes_are_training_targets_for_what_the_model_is_shown(tmp_path):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1001_IOM_SAD_XX.wav")
    rows = [(f"{k}00001", "1001_DFA_ANG_XX", 3 * k, 0, 0, 0, 1, 0) for k in (1, 2, 3)]
    write_counts(tmp_path, *rows)
    clips = corpora.clips(tmp_path, "cremad-votes")
    assert [clip.label for clip in clips] == ["angry", "sad"]
    assert {clip.info["label_target"] for clip in clips} == {"intended"}
    labels = ("neutral", "sad", "angry")
    for modality, part in (("audio", 3 / 4), ("video", 6 / 7), ("both", 9 / 10)):
        expected = [[1 - part, 0, part], [0, 1, 0]]
        np.testing.assert_allclose(votes_of.targets(clips, labels, modality), expected, rtol=1e-6)
    assert votes_of.targets(clips, labels, None).tolist() == [[0, 0, 1], [0, 1, 0]]
    write_counts(tmp_path, ("400001", "1001_DFA_ANG_XX", 1, 1, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="row 2: its number must begin with 1, 2 or 3"):
        corpora.clips(tmp_path, "cremad-votes")


def test_votes_train_and_labels_are_tested(tmp_path):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav")
    write_counts(tmp_path, ("100001", "1001_DFA_ANG_XX", 1, 0, 0, 0, 3, 0))
    clips, preset = corpora.clips(tmp_path, "cremad-votes"), models.preset("face_voice")

    def silent(_):
        return Signal(None, 0, None, None, 1.0)

    arguments = (clips, preset.only("audio"), ("neutral", "angry"), 1, silent)
    assert Batches(*arguments, Augmentation())[0][1].tolist() == [[0.75, 0.25]]
    assert Batches(*arguments)[0][1].tolist() == [[0, 1]]


def test_expected_counts():
    assert sum(len(crema_d.expected("speech", actor)) for actor in crema_d.ACTORS) == 7442 + 20 - 4


def test_check_of_good_files(folder, capsys):
    assert main(["check", "--data", str(folder)]) == 0
    text = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[1] == "speaker neutral happy sad angry fearful disgust all"
    assert lines[2:6] == [
        "1001 1 1 1 1 1 1 6", "1019 1 1 1 1 1 1 6", "1037 1 1 1 1 1 1 6", "all 3 3 3 3 3 3 18"
    ]  # fmt: skip
    assert "modalities: sound and picture 18" in lines
    assert "partial download: 3 of 91 speakers: expect results near chance" in lines
    assert any(line.startswith("speaker 1019 lacks takes: 76 (") for line in lines)
    assert lines[-1] == "18 clips, 36 files, none with a problem."


def test_check_names_what_is_wrong(tmp_path):
    touch(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav", content=b"version https://git-lfs.github.com/")
    touch(tmp_path, "AudioWAV/angry.wav", "AudioWAV/1076_MTI_SAD_XX.wav", "AudioMP3/a.mp3")
    touch(tmp_path, "VideoFlash/1001_DFA_ANG_XX.flv")
    text, problems = check(tmp_path)
    assert problems == 3
    assert "1001_DFA_ANG_XX.wav: it only stands for a file of git lfs; run `git lfs pull`" in text
    assert "misnamed (CREMA-D names are like 1001_DFA_ANG_XX.wav): 1" in text
    assert "left out, known to be broken: 1 (1076_MTI_SAD_XX: no sound)" in text
    assert text.endswith("1 clips, 3 files, 3 with a problem.")


def test_folds():
    def corpus(actors):
        return [
            Clip(f"{actor}_{code}", label, actor, info={"channel": "speech"})
            for actor in actors
            for code, label in crema_d.EMOTIONS.items()
        ]

    whole = corpus(crema_d.ACTORS)
    assert splits.default_protocol(whole) == "cremad-5fold"
    tested = [splits.split(whole, "cremad-5fold", fold).speakers["test"] for fold in range(5)]
    assert [(part[0], part[-1]) for part in tested] == [
        ("1001", "1018"), ("1019", "1036"), ("1037", "1054"), ("1055", "1072"), ("1073", "1091")
    ]  # fmt: skip
    assert sum(tested, ()) == crema_d.ACTORS
    part = corpus(["1001", "1040", "1091"])
    assert splits.default_protocol(part) == "cremad-5fold"
    assert splits.fold_count(part, "cremad-5fold") == [0, 2, 4]
    split = splits.split(part, "cremad-5fold", 2)
    assert split.speakers == {"train": ("1001",), "validation": ("1091",), "test": ("1040",)}
    assert len(split.absent) == 88
    assert splits.default_protocol(corpus(crema_d.ACTORS[:36])) == "speaker-kfold"
    with pytest.raises(ValueError, match="for the speakers 1001-1091; speaker '01' is none"):
        splits.split(corpus(["01"]), "cremad-5fold")


@pytest.mark.slow
def test_trains_and_evaluates(folder, signals, tmp_path, capsys):
    ids = [clip.id for clip in corpora.clips(folder)]
    letter = {id: id.split("_")[2][0] for id in ids}
    letter["1001_DFA_SAD_XX"] = "D:S"
    letter["1037_DFA_HAP_XX"] = "N"
    table = votes(folder, *letter.items())
    common = ["--data", folder, "--epochs", 1, "--batch-size", 6, "--modality", "both",
              "--cache", signals, "--face-detector", "haar", "--workers", 0]  # fmt: skip
    measured = {}
    try:
        for target, more in {"intended": [], "crowd": ["--corpus", "cremad-crowd"]}.items():
            run = tmp_path / target
            assert train_model.main([str(a) for a in (*common, *more, "--run", run)]) == 0
            measured[target] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
            assert (
                json.loads((run / "run.json").read_text(encoding="utf-8"))["label_target"] == target
            )
            assert measured[target]["label_target"] == target
            assert measured[target]["protocol"] == "cremad-5fold"
            assert measured[target]["labels"] == list(LABELS)
            assert measured[target]["speakers"] == ["1001"]
        text = capsys.readouterr().err
        assert text.count("left out, the crowd's vote is a tie: 1\n") == 1
        assert measured["intended"]["clips"] == 6 and measured["crowd"]["clips"] == 5
        assert (
            main(["evaluate", *map(str, sorted(tmp_path.iterdir())), "--cache", str(signals)]) == 0
        )
        text = capsys.readouterr().out
        assert "6 clips of 1 speakers, cremad-5fold, fold 0" in text and "5 clips of 1" in text
    finally:
        table.unlink()
