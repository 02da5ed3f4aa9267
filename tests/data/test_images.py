"""Corpora of still images: their layouts, equal images, splits, and training on them."""

import csv

import cv2
import numpy as np
import pytest

from emotion.cli.main import main
from emotion.clip import Clip, MediaError
from emotion.data import corpora, splits, votes
from emotion.data.check import check
from emotion.data.corpora import fer2013, images
from emotion.signals.cache import SignalCache, Spec, decode

rng = np.random.default_rng(0)
FACES = rng.integers(0, 256, (60, 48, 48), np.uint8)
NUMBERS = np.arange(60) % 7


def write_csv(path, faces=FACES, numbers=NUMBERS, usages=None):
    usages = usages or ["Training"] * 40 + ["PublicTest"] * 10 + ["PrivateTest"] * 10
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("emotion", " Usage", " pixels"))
        for face, number, usage in zip(faces, numbers, usages):
            writer.writerow((number, usage, " ".join(map(str, face.ravel()))))
    return path


def write_arrays(folder, faces=FACES, numbers=NUMBERS):
    folder.mkdir(exist_ok=True)
    np.savez(folder / "train.npz", images=faces[:40], labels=numbers[:40])
    np.savez(folder / "validation.npz", images=faces[40:], labels=numbers[40:])
    return folder


def write_folders(root, parts=("train", "test"), faces=FACES, labels=("happy", "sad")):
    for index, face in enumerate(faces):
        folder = root.joinpath(parts[index % 3 == 0] if parts else "", labels[index % len(labels)])
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{index:03d}.png"), face)
    return root


def test_the_challenge_s_table_has_its_labels_and_roles(tmp_path):
    path = write_csv(tmp_path / "icml_face_data.csv")
    assert corpora.guess(path) == corpora.guess(tmp_path) == "fer2013"
    clips = corpora.clips(path)
    assert len(clips) == 50 and not any("private" in clip.id for clip in clips)
    assert {clip.label for clip in clips if clip.index % 7 == 6} == {"neutral"}
    split = splits.split(clips, splits.default_protocol(clips))
    assert split.protocol == "fer2013" and len(split.test) == 10
    assert split.validation and len(split.train) + len(split.validation) == 40
    private = corpora.clips(path, "fer2013-private")
    assert splits.default_protocol(private) == "fer2013-private"
    assert sum(clip.split == "test" for clip in private) == 10
    frames = decode(clips[3], Spec(None, 48)).frames
    assert np.array_equal(frames[0, ..., 0], FACES[clips[3].index])


def test_the_votes_of_fer_plus_belong_to_the_rows_of_the_csv(tmp_path):
    path = write_csv(tmp_path / "fer2013.csv")
    with pytest.raises(FileNotFoundError, match="fer2013new.csv does not exist"):
        corpora.clips(path, "fer2013-votes")
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = [f"Training,x,{k},2,0,0,0,0,0,5,0,0" for k in range(len(NUMBERS))]
    table = tmp_path / "fer2013new.csv"
    table.write_text("\n".join([f"Usage,Image name,{names}", *rows]), encoding="utf-8")
    clips = corpora.clips(path, "fer2013-votes")
    for clip in clips:
        expected = [clip.index / (clip.index + 2), 2 / (clip.index + 2)]
        shares = votes.targets([clip], (*fer2013.LABELS,), "video")[0]
        chosen = [shares[fer2013.LABELS.index(name)] for name in ("neutral", "happy")]
        np.testing.assert_allclose(chosen, expected, rtol=1e-6)
    assert len(clips) == len(corpora.clips(path, "fer2013"))
    table.write_text("\n".join([f"Usage,Image name,{names}", *rows[:45]]), encoding="utf-8")
    with pytest.raises(ValueError, match="a row for each"):
        corpora.clips(path, "fer2013-votes")


def test_arrays_name_their_classes_in_alphabetical_order(tmp_path):
    clips = corpora.clips(write_arrays(tmp_path / "fer"))
    assert {
        clip.label for clip in clips if clip.id.startswith("train") and clip.index % 7 == 4
    } == {"neutral"}
    assert len({clip.speaker for clip in clips}) == 60


@pytest.mark.parametrize(
    "form, expected", [("table", "row 4"), ("usage", "Usage"), ("arrays", "labels")]
)
def test_a_broken_form_is_named(tmp_path, form, expected):
    if form == "arrays":
        folder = tmp_path / "fer"
        folder.mkdir()
        np.savez(folder / "train.npz", images=FACES, labels=NUMBERS[:5])
        np.savez(folder / "validation.npz", images=FACES, labels=NUMBERS)
    else:
        numbers = [0, 1, 9] if form == "table" else [0, 1, 2]
        usages = ["Training"] * 2 + ["Training" if form == "table" else "Test"]
        folder = write_csv(tmp_path / "fer2013.csv", FACES[:3], numbers, usages)
    with pytest.raises(ValueError, match=expected):
        corpora.clips(folder)


def test_a_split_does_not_depend_on_the_form(tmp_path):
    order = [fer2013._CSV.index(label) for label in fer2013.LABELS]
    numbers = [order[number] for number in NUMBERS]
    usages = ["Training"] * 40 + ["PublicTest"] * 20
    table = corpora.clips(write_csv(tmp_path / "fer2013.csv", FACES, numbers, usages))
    arrays = corpora.clips(write_arrays(tmp_path / "fer"))
    parts = [
        {(clip.speaker, clip.label, clip.split) for clip in clips} for clips in (table, arrays)
    ]
    assert parts[0] == parts[1]


def test_folders_of_classes_with_and_without_splits(tmp_path):
    clips = corpora.clips(write_folders(tmp_path / "a"), "images")
    split = splits.split(clips, splits.default_protocol(clips))
    assert split.protocol == "images" and len(split.test) == 20 and split.validation
    flat = corpora.clips(write_folders(tmp_path / "b", ()), "images")
    assert len(flat) == 60 and splits.default_protocol(flat) == "speaker-kfold"
    assert {clip.label for clip in flat} == {"happy", "sad"}
    with pytest.raises(ValueError, match="CLASS"):
        corpora.clips(tmp_path / "b" / "happy", "images")
    with pytest.raises(ValueError, match="--corpus images"):
        corpora.clips(tmp_path / "a", "fer2013")


def test_equal_names_and_equal_images_of_two_roles(tmp_path):
    for place in ("train/sad/a.png", "train/sad/a.bmp", "val/sad/b.png", "test/sad/c.png"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), FACES[len(path.stem) * (path.suffix == ".bmp")])
    clips = corpora.clips(tmp_path, "images")  # but for their names, the .png files are equal
    assert [clip.id for clip in clips] == ["test/sad/c.png", "train/sad/a.bmp"]
    assert corpora.left_out(tmp_path, "images")[0].startswith("2 images")


def test_a_table_in_another_encoding_is_no_fer2013(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_bytes("label,speaker,audio\nfröhlich,a,b.wav\n".encode("latin-1"))
    assert not fer2013.laid_out(path)
    with pytest.raises(ValueError, match="not a CSV in UTF-8"):
        corpora.clips(path)


def test_equal_images_never_lie_in_two_roles(tmp_path):
    faces, numbers = FACES.copy(), NUMBERS.copy()
    faces[1], numbers[1] = faces[0], 3  # two labels
    faces[41] = faces[5]  # equal to a test image
    faces[7], numbers[7] = faces[6], numbers[6]  # twice in training
    folder = write_arrays(tmp_path / "fer", faces, numbers)
    clips = corpora.clips(folder)
    ids = {clip.id for clip in clips}
    assert ids.isdisjoint({"train-00000", "train-00001", "train-00005"})
    assert {"train-00006", "train-00007", "test-00001"} <= ids
    lines = corpora.left_out(folder)
    assert lines[0].startswith("2 training images") and lines[1].startswith("1 images")
    split = splits.split(clips, "fer2013")
    roles = [{clip.speaker for clip in getattr(split, role)} for role in splits.ROLES]
    assert not roles[0] & roles[1] and not roles[0] & roles[2] and not roles[1] & roles[2]
    text, problems = check(folder)
    assert problems == 0 and "equal images in train: 4" in text
    assert "equal images in test and train: 2" in text and "several labels: 4" in text


def test_a_damaged_image_is_a_problem(tmp_path, capsys):
    root = write_folders(tmp_path / "images")
    broken = next(root.glob("train/*/*.png"))
    broken.write_bytes(b"no image")
    assert main(["check", "--data", str(root), "--corpus", "images"]) == 1
    assert str(broken) in capsys.readouterr().out
    with pytest.raises(MediaError, match="not an image"):
        decode(Clip("a", "happy", "b", video=broken), Spec(None, 48))


def test_an_image_is_a_crop_of_one_frame(tmp_path):
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), np.full((90, 60, 3), (10, 20, 30), np.uint8))
    clip = Clip("face", "happy", "image-0", video=path)
    signal = SignalCache(Spec(16000, 32), tmp_path / "cache").load(clip)
    assert signal.samples is None and signal.has_face and signal.duration == 1
    assert signal.frames.shape == (1, 32, 32, 3) and signal.frames[0, 5, 5].tolist() == [30, 20, 10]


@pytest.mark.slow
def test_a_run_is_trained_on_images(tmp_path, capsys):
    faces = np.stack([np.full((48, 48), 60 + 120 * (i % 2), np.uint8) for i in range(60)])
    faces += rng.integers(0, 40, faces.shape, np.uint8)
    root = write_folders(tmp_path / "images", faces=faces)
    options = ["--data", root, "--corpus", "images", "--modality", "video", "--epochs", "2"]
    options += ["--run", tmp_path / "run", "--cache", tmp_path / "cache", "--workers", "0"]
    assert main(["train", *map(str, options)]) == 0
    shown = capsys.readouterr()
    assert "20 images, speakers unknown" in shown.out
    assert "clips of" not in shown.out and "train 3" in shown.err
    assert main(["evaluate", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]) == 0


def test_the_real_corpus(data):
    root = data / "fer2013"
    clips = corpora.clips(root)
    counts = [sum(clip.split == role for clip in clips) for role in splits.ROLES]
    assert counts == [25449, 2826, 3589] and len(fer2013.listed(root)) == 28709 + 3589
    assert {clip.label for clip in clips} == set(fer2013.LABELS)
    assert images.described(9, {clip.speaker for clip in clips}) == "9 images, speakers unknown"
