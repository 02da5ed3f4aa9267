"""The report on a data folder."""

import wave

import pytest
from videos import tone, write_video

from emotion.data import corpora
from emotion.data.check import check
from emotion.data.corpora import ravdess


def sound(path, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600 * channels))
    return path


def actor(root, number):
    for take in ravdess.expected("speech", number):
        sound(root / f"Actor_{number}" / f"03-{take}.wav")


def test_table_and_partial_download(tmp_path):
    actor(tmp_path, "01")
    actor(tmp_path, "12")
    (tmp_path / "Actor_12" / "03-01-05-02-01-02-12.wav").unlink()
    text, problems = check(tmp_path)
    lines = text.splitlines()
    assert problems == 0
    assert lines[1].split() == ["speaker", *ravdess.RAVDESS, "all"]
    assert " ".join(lines[2].split()) == "01 4 8 8 8 8 8 8 8 60"
    assert " ".join(lines[3].split()) == "12 4 8 8 8 7 8 8 8 59"
    assert " ".join(lines[4].split()) == "all 8 16 16 16 15 16 16 16 119"
    assert len({len(line) for line in lines[1:5]}) == 1
    assert "modalities: sound only 119" in lines
    assert "partial download: 2 of 24 speakers: expect results near chance" in lines
    assert "speaker 12 lacks takes: 1 (01-05-02-01-02-12)" in lines
    assert "absent: 02, 03, 04" in text and "speaker 01 lacks" not in text


def test_problems_are_named_and_counted(tmp_path):
    good = sound(tmp_path / "03-01-01-01-01-01-01.wav")
    sound(tmp_path / "copy" / good.name)
    sound(tmp_path / "angry.wav")
    (tmp_path / "03-01-02-01-01-01-01.wav").touch()
    (tmp_path / "01-01-03-01-01-01-01.mp4").write_bytes(good.read_bytes()[:100])
    sound(tmp_path / "02-01-04-01-01-01-01.mp4")  # no picture in it
    text, problems = check(tmp_path)
    assert problems == 4
    assert "misnamed (RAVDESS names are like 03-01-05-02-01-02-12.wav): 1" in text
    assert "03-01-02-01-01-01-01.wav: it is empty (0 bytes); fetch it again." in text
    assert "02-01-04-01-01-01-01.mp4: it has no picture" in text
    assert "more than one copy, the first by path is used: 1 (03-01-01-01-01-01-01)" in text
    assert text.endswith("3 clips, 6 files, 4 with a problem.")


def test_files_of_another_corpus_are_not_misnamed(tmp_path):
    sound(tmp_path / "03-01-01-01-01-01-01.wav")
    sound(tmp_path / "CREMA-D/AudioWAV/1001_DFA_ANG_XX.wav")
    sound(tmp_path / "CREMA-D/AudioMP3/1001_DFA_ANG_XX.mp3")
    text, problems = check(tmp_path)
    assert problems == 0 and "of another corpus: 2 (CREMA-D, `--corpus cremad`)" in text
    assert text.endswith("1 clips, 1 files, none with a problem.")
    text, problems = check(tmp_path / "CREMA-D/AudioMP3")
    assert problems == 0 and "of another corpus: 1 (CREMA-D" in text


def test_nothing_but_misnamed_files(tmp_path):
    sound(tmp_path / "angry.wav")
    text, problems = check(tmp_path)
    assert problems == 1 and "angry.wav" in text


def test_song_has_a_separate_table(tmp_path):
    sound(tmp_path / "03-01-01-01-01-01-01.wav")
    sound(tmp_path / "03-02-01-01-01-01-01.wav")
    text, _ = check(tmp_path)
    assert text.startswith("speech:") and "\nsong:" in text and "of 23" in text


def test_a_video_named_as_sound_counts_as_in_training(tmp_path):
    for take in ("02-05-01-02-01-01", "02-04-01-02-01-01"):
        sound(tmp_path / f"audios/Actor_01/03-{take}.wav")
        folder = tmp_path / "videos/Actor_01"
        folder.mkdir(parents=True, exist_ok=True)
        write_video(folder / f"03-{take}.mp4", [0, 0.04], sound=(tone(0.1), 16000))
    text, problems = check(tmp_path)
    assert text.startswith("song:") and "speech" not in text and problems == 0
    assert "modalities: sound and picture 2" in text and "more than one copy" not in text
    assert text.endswith("2 clips, 4 files, none with a problem.")
    assert len(corpora.clips(tmp_path)) == 2
    (folder / f"03-{take}.mp4").write_bytes(b"damaged")
    text, problems = check(tmp_path)
    assert problems == 1 and f"03-{take}.mp4 is not media" in text
    assert "modalities: sound and picture 1, sound only 1" in text


@pytest.mark.parametrize("corpus", [None, "ravdess"])
def test_what_training_leaves_out_is_said(tmp_path, corpus):
    sound(tmp_path / "03-01-01-01-01-01-01.wav")
    sound(tmp_path / "03-02-01-01-01-01-01.wav")
    text, _ = check(tmp_path, corpus)
    assert corpora.left_out(tmp_path, corpus)[0] in text.splitlines()
    assert "left out" not in check(tmp_path, "ravdess-all")[0]


def test_manifest(tmp_path):
    sound(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    (tmp_path / "m.csv").write_text(
        "label,speaker,audio,channel\nsad,x,a.wav,left\ncalm,y,b.wav,\n",
        encoding="utf-8",
    )
    text, problems = check(tmp_path / "m.csv")
    assert problems == 1 and "b.wav" in text and "2 clips, 2 files" in text
    assert "24" not in text.replace(str(tmp_path), "")


def test_nothing_there(tmp_path):
    with pytest.raises(ValueError, match="No RAVDESS recording"):
        check(tmp_path)


def test_real_corpus(data):
    text, problems = check(data / "ravdess")
    assert problems == 0
    assert "modalities: sound and picture 3, sound only 1197" in text
    assert "speakers: 20 of 24, absent: 21, 22, 23, 24" in text
    assert "partial download" not in text and text.endswith(
        "1200 clips, 1203 files, none with a problem."
    )
