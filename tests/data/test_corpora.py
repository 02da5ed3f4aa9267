"""Listing the clips of RAVDESS, in every arrangement its users have, and of a manifest."""

import csv
import random

import pytest
import videos

import train_model
from emotion import media
from emotion.clip import MediaError
from emotion.data import corpora, splits
from emotion.data.corpora import manifest, ravdess
from emotion.run import load_run

SPEECH = "01-05-02-01-02-12"  # angry, strong, kids, second time, actor 12
SONG = "02-03-01-02-01-07"


def touch(root, *names, content=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def test_a_synthetic_corpus_below_is_not_ravdess(tmp_path):
    touch(tmp_path, f"03-{SPEECH}.wav", f"drawn/videos/02-{SPEECH}.mp4", "drawn/synthetic.json")
    assert [clip.video for clip in ravdess.clips(tmp_path)] == [None]
    assert [clip.audio for clip in ravdess.clips(tmp_path / "drawn")] == [None]


@pytest.mark.parametrize(
    "names, audio, video",
    [
        (
            [f"audios/Actor_12/03-{SPEECH}.wav", f"videos/Actor_12/01-{SPEECH}.mp4"],
            f"audios/Actor_12/03-{SPEECH}.wav",
            f"videos/Actor_12/01-{SPEECH}.mp4",
        ),
        (
            [
                f"Audio_Speech_Actors_01-24/Actor_12/03-{SPEECH}.wav",
                f"Video_Speech_Actor_12/Actor_12/01-{SPEECH}.mp4",
                f"Video_Speech_Actor_12/Actor_12/02-{SPEECH}.mp4",
            ],
            f"Audio_Speech_Actors_01-24/Actor_12/03-{SPEECH}.wav",
            f"Video_Speech_Actor_12/Actor_12/01-{SPEECH}.mp4",
        ),
        ([f"01-{SPEECH}.mkv", f"02-{SPEECH}.mp4"], f"01-{SPEECH}.mkv", f"01-{SPEECH}.mkv"),
        ([f"02-{SPEECH}.mp4", f"03-{SPEECH}.flac"], f"03-{SPEECH}.flac", f"02-{SPEECH}.mp4"),
        ([f"02-{SPEECH}.FLV"], None, f"02-{SPEECH}.FLV"),
        ([f"03-{SPEECH}.ogg"], f"03-{SPEECH}.ogg", None),
        ([f"01-{SPEECH}.wav", f"01-{SPEECH}.avi"], f"01-{SPEECH}.wav", f"01-{SPEECH}.avi"),
        ([f"a/03-{SPEECH}.wav", f"b/03-{SPEECH}.wav"], f"a/03-{SPEECH}.wav", None),
    ],
)
def test_ravdess_arrangements(tmp_path, names, audio, video):
    for order in (names, names[::-1]):
        folder = tmp_path / str(order is names)
        (clip,) = ravdess.clips(touch(folder, *order))
        assert clip.id == SPEECH and clip.speaker == "12" and clip.label == "angry"
        assert clip.audio == (audio and folder / audio)
        assert clip.video == (video and folder / video)
        assert clip.info == {
            "channel": "speech",
            "intensity": "strong",
            "statement": "kids",
            "repetition": "2",
            "sex": "female",
        }


def picture(path, sound=False):
    """Writes a small film of three frames, with or without sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return videos.write_video(
        path, [0, 0.04, 0.08], sound=(videos.tone(0.12), 16000) if sound else None
    )


def sound(path):
    """Writes a file that holds sound alone, whatever its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    media.write_sound(str(path), videos.tone(0.2), 16000)
    return path


@pytest.mark.parametrize("take", [SONG, SPEECH])
@pytest.mark.parametrize("separate_sound", [True, False])
def test_a_video_named_as_sound_is_the_picture(tmp_path, take, separate_sound):
    has_audio = touch(tmp_path, f"audios/Actor_01/03-{take}.wav") / f"audios/Actor_01/03-{take}.wav"
    has_face = picture(tmp_path / f"videos/Actor_01/03-{take}.mp4", separate_sound)
    (clip,) = corpora.clips(tmp_path)
    assert (clip.id, clip.audio, clip.video) == (take, has_audio, has_face)
    has_audio.unlink()
    (clip,) = corpora.clips(tmp_path)
    assert (clip.audio, clip.video) == (has_face if separate_sound else None, has_face)


def test_sound_in_a_video_container_stays_sound(tmp_path):
    path = sound(tmp_path / f"audios/03-{SPEECH}.mp4")
    (clip,) = corpora.clips(tmp_path)
    assert (clip.audio, clip.video) == (path, None)
    has_face = picture(tmp_path / f"videos/03-{SPEECH}.mp4", sound=True)  # of the same name
    (clip,) = corpora.clips(tmp_path)
    assert (clip.audio, clip.video) == (path, has_face)
    path.rename(tmp_path / f"videos/03-{SPEECH}.wav")
    (clip,) = corpora.clips(tmp_path)
    assert (clip.audio.suffix, clip.video) == (".wav", has_face)


@pytest.mark.parametrize("modality", ["01", "02"])
def test_a_video_named_as_picture_is_the_picture_and_none_is_opened(
    tmp_path, monkeypatch, modality
):
    touch(tmp_path, f"{modality}-{SPEECH}.mp4", f"03-{SPEECH}.mp4")
    monkeypatch.setattr(ravdess.decode, "open_file", lambda *_, **__: pytest.fail("opened"))
    (clip,) = corpora.clips(tmp_path)
    assert clip.audio == tmp_path / f"03-{SPEECH}.mp4"
    assert clip.video == tmp_path / f"{modality}-{SPEECH}.mp4"


def test_a_video_named_as_sound_that_cannot_be_opened_is_listed(tmp_path):
    touch(tmp_path, f"03-{SPEECH}.wav", f"03-{SPEECH}.mp4")
    (clip,) = corpora.clips(tmp_path)
    assert (clip.audio.suffix, clip.video.suffix) == (".wav", ".mp4")
    with pytest.raises(MediaError, match=f"03-{SPEECH}.mp4 is not media"):
        media.probe(clip.video)
    picture(clip.video)  # mended: looked at anew
    clip.audio.unlink()
    (clip,) = corpora.clips(tmp_path)
    assert (clip.audio, clip.video) == (None, tmp_path / f"03-{SPEECH}.mp4")


def test_real_takes_under_the_names_of_the_first_design(data, tmp_path):
    for kind in ("audios", "videos"):
        (tmp_path / kind / "Actor_01").mkdir(parents=True)
    for emotion, source in (("01", "01-01-01-01-01-01-01"), ("05", "01-01-07-02-02-01-01")):
        name = f"Actor_01/03-02-{emotion}-01-02-01-01"
        real = data / "ravdess"
        (tmp_path / f"videos/{name}.mp4").symlink_to(real / f"videos/Actor_01/{source}.mp4")
        sound = real / f"audios/Actor_01/03{source[2:]}.flac"
        (tmp_path / f"audios/{name}.flac").symlink_to(sound)
    clips = corpora.clips(tmp_path)
    assert [clip.label for clip in clips] == ["neutral", "angry"]
    assert all(clip.info["channel"] == "song" for clip in clips)
    assert all(clip.audio.suffix == ".flac" and clip.video.suffix == ".mp4" for clip in clips)


def test_song_is_guessed_where_there_is_no_speech(tmp_path):
    touch(tmp_path, f"03-{SONG}.wav", "02-06-01-01-01-07.wav")
    touch(tmp_path, f"03-{SPEECH}.wav", content=b"")  # as if it were not there
    assert corpora.guess(tmp_path) == "ravdess-song" and corpora.left_out(tmp_path) == []
    assert [clip.id for clip in corpora.clips(tmp_path)] == [SONG]
    with pytest.raises(ValueError, match="No RAVDESS speech .*only song .takes: 1.; use .*-song`"):
        corpora.clips(tmp_path, "ravdess")
    touch(tmp_path, f"03-{SPEECH}.wav")
    assert corpora.guess(tmp_path) == "ravdess"
    assert [clip.id for clip in corpora.clips(tmp_path)] == [SPEECH]
    (line,) = corpora.left_out(tmp_path)
    assert line.startswith("left out of training, song takes: 1 (")
    assert "`--corpus ravdess-song`" in line and "`--corpus ravdess-all`" in line
    assert corpora.left_out(tmp_path, "ravdess") == [line]
    assert corpora.left_out(tmp_path, "ravdess-song") == []
    assert corpora.left_out(tmp_path, "ravdess-all") == []
    (tmp_path / f"03-{SONG}.wav").unlink()
    assert corpora.guess(tmp_path) == "ravdess" and corpora.left_out(tmp_path) == []
    with pytest.raises(ValueError, match="No RAVDESS song .*only speech .takes: 1.; use .*avdess`"):
        corpora.clips(tmp_path, "ravdess-song")


@pytest.mark.slow
def test_song_trains_by_the_default_command_and_stays_song(
    corpus, signals, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for path in [*corpus.rglob("*.wav"), *corpus.rglob("*.mp4")]:
        if (name := ravdess.parse(path)).emotion <= "06":  # both get number 03, and song's 02
            link = tmp_path / "dataset" / path.parent.relative_to(corpus)
            link.mkdir(parents=True, exist_ok=True)
            (link / f"03-02-{'-'.join(name[2:])}{path.suffix}").symlink_to(path)
    options = ["--epochs", "1", "--workers", "0", "--cache", str(signals), "--run", "run"]
    assert train_model.main([*options, "--face-detector", "haar"]) == 0
    assert "left out" not in capsys.readouterr().err
    run = load_run("run")
    assert run.labels == ravdess.RAVDESS[:6] and run.preset.modality == "both"
    assert run.record.corpus == "ravdess-song" and run.record.corpus_guessed
    clips = [clip for role in splits.ROLES for clip in getattr(run.data()[0], role)]
    assert len(clips) == 30 and all(clip.audio and clip.video for clip in clips)
    touch(tmp_path / "dataset", f"03-{SPEECH}.wav")  # speech comes later: the run stays what it is
    assert corpora.guess("dataset") == "ravdess"
    for root in (None, "dataset"):
        run.refuse_other(run.data(root)[0])
    touch(tmp_path / "other", "AudioWAV/1001_DFA_ANG_XX.wav")
    split, _ = run.data("other")  # of another folder it is guessed anew
    assert split.corpus == "cremad" and [clip.label for clip in split.test] == ["angry"]


def test_channels(tmp_path):
    touch(tmp_path, f"03-{SPEECH}.wav", f"03-{SONG}.wav")
    assert [clip.id for clip in ravdess.clips(tmp_path)] == [SPEECH]
    assert [clip.id for clip in ravdess.clips(tmp_path, "song")] == [SONG]
    assert [clip.id for clip in corpora.clips(tmp_path, "ravdess-all")] == [SPEECH, SONG]
    with pytest.raises(ValueError, match="speech, song or all. Received: 'sung'"):
        ravdess.clips(tmp_path, "sung")


@pytest.mark.parametrize(
    "name",
    [
        "03-01-09-01-01-01-01.wav",
        "03-01-01-01-01-01-25.wav",
        "04-01-01-01-01-01-01.wav",
        "03-02-07-01-01-01-01.wav",  # disgust was not sung
        "02-01-01-01-01-01-01.wav",  # the picture alone is no sound
        f"03-{SPEECH} (1).wav",
        f"03-{SPEECH}.txt",
        f"03-{SPEECH}",
        "angry.mp4",
        "",
    ],
)
def test_parse_refuses(name):
    assert ravdess.parse(name) is None


def test_what_is_passed_over(tmp_path):
    touch(tmp_path, f"__MACOSX/03-{SPEECH}.wav", f"._03-{SPEECH}.wav", f".old/03-{SPEECH}.wav")
    touch(tmp_path, "notes.txt", f"03-{SPEECH}.csv", "angry.wav")
    touch(tmp_path, f"a/03-{SPEECH}.wav", f"01-{SONG}.mp4", content=b"")
    with pytest.raises(ValueError, match="No RAVDESS recording .* download ravdess"):
        ravdess.clips(tmp_path, "all")
    touch(tmp_path, f"b/03-{SPEECH}.wav")
    (clip,) = ravdess.clips(tmp_path)
    assert clip.audio == tmp_path / "b" / f"03-{SPEECH}.wav"
    assert tmp_path / "angry.wav" in ravdess.files(tmp_path)


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path / "elsewhere", f"03-{SPEECH}.wav")
    (tmp_path / ".data").mkdir()  # only what is below the root may not be hidden
    (tmp_path / ".data" / "audios").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(tmp_path / ".data")
    assert len(ravdess.files(tmp_path / ".data")) == 1


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a folder.*download ravdess"):
        corpora.clips(tmp_path / "none")
    with pytest.raises(ValueError, match="must be one of ravdess,"):
        corpora.clips(tmp_path, "emodb")


def test_expected_counts():
    assert sum(len(ravdess.expected("speech", actor)) for actor in ravdess.ACTORS) == 1440
    assert sum(len(ravdess.expected("song", actor)) for actor in ravdess.ACTORS) == 1012


def test_real_corpus(data):
    clips = corpora.clips(data / "ravdess")
    assert len(clips) == 1200 and len({clip.speaker for clip in clips}) == 20
    assert {clip.id for clip in clips if clip.speaker == "05"} == ravdess.expected("speech", "05")
    (clip,) = [clip for clip in clips if clip.id == "01-08-02-01-01-19"]
    assert clip.audio.suffix == ".flac" and clip.video.suffix == ".mp4"
    assert clip.label == "surprised" and clip.info["sex"] == "male"


def write(folder, text, files=("a.wav", "b.wav", "c.mp4")):
    touch(folder, *files)
    path = folder / "my.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_manifest(tmp_path):
    path = write(
        tmp_path,
        "\ufefflabel,speaker,audio,video,id,split,age\n"
        "sad, anna ,a.wav,c.mp4,,train,31\n"
        'happy,"Ö, Bo",,c.mp4,two,test,\n',
    )
    first, second = corpora.clips(path)
    assert (first.id, first.label, first.speaker, first.split) == ("c", "sad", "anna", "train")
    assert (first.audio, first.video) == (tmp_path / "a.wav", tmp_path / "c.mp4")
    assert first.info == {"age": "31"}
    assert (second.id, second.speaker) == ("two", "Ö, Bo")
    assert second.audio == second.video == tmp_path / "c.mp4"


@pytest.mark.parametrize(
    "text, message",
    [
        ("label,audio\nsad,a.wav\n", "column `speaker`. Received: label, audio"),
        ("label;speaker;audio\n", "column `label`"),
        ("", "column `label`. Received: none"),
        ("label,speaker,file\nsad,x,a.wav\n", "`audio`, `video` or both. Received"),
        ("label,speaker,audio\n", "has no rows"),
        ("label,speaker,audio\nsad,x,a.wav\n\n,x,b.wav\n", "row 4: `label` must not be empty"),
        ("label,speaker,audio\nsad,,a.wav\n", "row 2: `speaker` must not be empty"),
        ("label,speaker,audio,video\nsad,x,,\n", "row 2: `audio`, `video` or both must"),
        ("label,speaker,audio\nsad,x,z.wav\n", "row 2: .*z.wav does not exist"),
        ("label,speaker,audio\nsad,x,a.wav\nsad,y,a.wav\n", "row 3: the id 'a' is that of row 2"),
        ("label,speaker,audio,split\nsad,x,a.wav,dev\n", "row 2: `split` must.*Received: 'dev'"),
        (
            "label,speaker,audio,split\nsad,x,a.wav,train\nsad,x,b.wav,test\n",
            "row 3: speaker 'x' is in split 'test' here and in 'train'",
        ),
        (
            "label,speaker,audio,split\nsad,x,a.wav,train\nsad,y,b.wav,\n",
            "row 3: `split` is empty but",
        ),
        ("label,speaker,audio\nsad,x,a.wav,more\n", "row 2: every cell needs a named column"),
        ("label,speaker,audio,\nsad,x,a.wav,\n", "row 2: every cell needs a named column"),
        ("label,speaker,audio,age\nsad,x,a.wav\n", "row 2: it must have 4 cells.* and has 3"),
        ("label,speaker,audio\nsa\0d,x,a.wav\n", "my.csv is not a CSV in UTF-8 .*NUL"),
        ("label,speaker,audio\nsad,x,a.wav" + "x" * 200_000, "my.csv is not a CSV .*limit"),
    ],
)
def test_manifest_errors(tmp_path, text, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        manifest.clips(write(tmp_path, text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_manifest_in_another_encoding_is_one_line(tmp_path, encoding):
    path = write(tmp_path, "")
    path.write_text("label,speaker,audio\nsad,Jörg,a.wav\n", encoding=encoding)
    for corpus in (None, "manifest"):
        with pytest.raises(ValueError, match="my.csv is not a CSV in UTF-8") as error:
            corpora.clips(path, corpus)
        assert "\n" not in str(error.value)


def test_manifest_columns_may_have_spaces(tmp_path):
    (clip,) = manifest.clips(write(tmp_path, "label, speaker, audio\nsad, x, a.wav\n"))
    assert (clip.speaker, clip.audio) == ("x", tmp_path / "a.wav")


def test_manifest_order_does_not_matter(tmp_path):
    rows = [{"label": "sad", "speaker": "x", "audio": f"{i}.wav"} for i in range(9)]
    touch(tmp_path, *(row["audio"] for row in rows))
    random.Random(0).shuffle(rows)
    with open(tmp_path / "m.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert [clip.id for clip in corpora.clips(tmp_path / "m.csv")] == list("012345678")


def test_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        corpora.clips(tmp_path / "none.csv")
