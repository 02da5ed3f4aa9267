"""Tables of features: read exactly, joined by take, and never run."""

import codecs
import os
import pickle
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import train_model
from emotion import models
from emotion.clip import Clip, MediaError
from emotion.data import corpora, feature_tables
from emotion.data.check import check
from emotion.experiments import train
from emotion.features import MeanMfccSeries
from emotion.signals import cache
from emotion.signals.cache import SignalCache, Spec

STEM = "01-01-05-02-01-02-12"
ID = "01-05-02-01-02-12"
HEADER = ",".join(feature_tables.ACTION_UNITS)


def row(seed=0):
    return np.random.default_rng(seed).normal(size=294)


def write(folder, content, name="t.pkl", protocol=4):
    path = folder / name
    path.write_bytes(
        content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol)
    )
    return path


def by_numpy_1(data, protocol):
    """The bytes NumPy 1 would have written: its modules are called numpy.core, one letter less."""
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        old = name.replace(b"_core", b"core")
        data = data.replace(b"\x8c" + bytes([len(name)]) + name, b"\x8c" + bytes([len(old)]) + old)
        data = data.replace(name, old)
    if protocol >= 4:  # one frame, which says how long it is
        data = data[:3] + (len(data) - 11).to_bytes(8, "little") + data[11:]
    return data


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("numpy", [1, 2])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "float32"])
def test_pickles_of_any_protocol_and_numpy(tmp_path, protocol, numpy, dtype):
    content = {STEM: row().astype(dtype), "02-" + STEM[3:]: row(1), "anna": row(2).tolist()}
    data = pickle.dumps(content, protocol=protocol)
    data = by_numpy_1(data, protocol) if numpy == 1 else data
    assert (b"numpy._core" in data) == (numpy == 2)
    result = feature_tables.read(write(tmp_path, data))
    assert list(result) == [ID, "anna"]  # both files of the take are one clip; the first is taken
    assert result[ID]["action_units"].shape == (1, 35)
    both = np.concatenate([result[ID]["action_units"][0], result[ID]["mean_mfcc_series"]])
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both, content[STEM].astype(np.float32))


def test_other_forms_of_numbers(tmp_path):
    content = {
        "slice": np.asfortranarray(np.stack([row(), row(1)]))[0],
        "scalars": [np.float64(1.5), *row()[1:]],
        np.str_("name"): row(3),
    }
    result = feature_tables.read(write(tmp_path, content))
    assert result["scalars"]["action_units"][0, 0] == 1.5
    np.testing.assert_array_equal(
        result["slice"]["mean_mfcc_series"], row()[35:].astype(np.float32)
    )
    assert "name" in result


class Runs:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(marker):
    touch = f"open({str(marker)!r}, 'w').close()"
    raw = f"c{{}}\n(S{touch!r}\ntR.".format  # protocol 0: module, function, one string
    return {
        "system": (Runs(os.system, f"touch {marker}"), "posix.system"),
        "eval": (Runs(eval, touch), "builtins.eval"),
        "exec": (Runs(exec, touch), "builtins.exec"),
        "a file written": (Runs(open, str(marker), "wb"), "io.open"),
        "popen": (Runs(subprocess.Popen, ["touch", str(marker)]), "subprocess.Popen"),
        "in a dict": ({STEM: [1.0, Runs(eval, touch)]}, "builtins.eval"),
        "in an array": ({STEM: np.array([Runs(eval, touch)], object)}, "builtins.eval"),
        "by numpy": (raw("numpy.f2py\ncompile").encode(), "numpy.f2py.compile"),
        "by python 2": (raw("__builtin__\neval").encode(), "__builtin__.eval"),
        "dotted": (raw("numpy\ndtype.__class__").encode(), "numpy.dtype.__class__"),
        "import": (raw("antigravity\nfly").encode(), "antigravity.fly"),
    }


@pytest.mark.parametrize("name", payloads(""))
def test_what_a_pickle_would_run_is_refused_by_name_and_not_run(tmp_path, name):
    marker = tmp_path / "ran"
    payload, named = payloads(marker)[name]
    path = write(tmp_path, payload)
    if name == "a file written":  # it is a real one
        pickle.loads(path.read_bytes()).close()
        assert marker.exists()
        marker.unlink()
    with pytest.raises(ValueError, match=f"t.pkl asks for `{named}`.*nothing of it was run") as e:
        feature_tables.read(path)
    assert not marker.exists() and "\n" not in str(e.value)


def test_stand_ins_do_no_more_than_their_name(tmp_path):
    rot = write(tmp_path, {STEM: Runs(codecs.encode, "abc", "rot13")})  # no codec is looked up
    with pytest.raises(ValueError, match="must hold an array of numbers"):
        feature_tables.read(rot)
    objects = write(tmp_path, {STEM: np.array([{}] * 294, object)})
    with pytest.raises(ValueError, match="t.pkl"):
        feature_tables.read(objects)


@pytest.mark.parametrize(
    "content, message",
    [
        (pickle.dumps({STEM: row()})[:-100], "not a whole pickle"),
        (pickle.dumps({STEM: row()})[:40], "not a whole pickle"),
        (b"", "not a whole pickle"),
        (b"clip,AU01_r\n", "not a whole pickle"),
        (b"\x80\x05]\x94(\x8c", "not a whole pickle"),
        ([row()], "must hold a dict"),
        ({7: row()}, "must hold a dict"),
        ({}, "no clips"),
        ({STEM: row()[:293]}, rf"'{STEM}' must hold 294.*shape \(293,\)"),
        ({STEM: np.stack([row()] * 2)}, r"shape \(2, 294\)"),
        ({STEM: np.full(294, np.nan)}, "NaN"),
        ({STEM: "happy"}, "array of numbers"),
        ({STEM: None}, "294"),
        ({STEM: [10**400] * 294}, "array of numbers"),
        ({STEM: {"au": 1}}, "array of numbers"),
        ({STEM: np.zeros(294, "datetime64[s]")}, "not a whole pickle .an array of type '.?M8"),
    ],
)
def test_a_bad_pickle_is_one_line(tmp_path, capsys, content, message):
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=message) as error:
        feature_tables.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert train_model.main(["--data", str(path)]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and "Traceback" not in text


def units(*values):
    return ",".join(str(value) for value in (*values, *[0] * (35 - len(values))))


def test_csv_of_means(tmp_path):
    text = f"\ufeffclip, {HEADER.replace(',', ', ')},note\n{STEM},{units(1.5, 2)},\n"
    path = write(tmp_path, text.encode(), "t.csv")
    result = feature_tables.read(path)
    assert list(result) == [ID] and list(result[ID]) == ["action_units"]
    assert result[ID]["action_units"][0, :3].tolist() == [1.5, 2, 0]
    assert corpora.guess(path) == "table"


def test_csv_of_frames_keeps_frames_with_a_face(tmp_path):
    rows = "".join(f"{i},{i / 30}, {i % 2},{units(i)}\n" for i in range(6))
    path = write(tmp_path, f"frame, timestamp, success, {HEADER}\n{rows}".encode(), f"{STEM}.csv")
    assert feature_tables.read(path)[ID]["action_units"][:, 0].tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    "text, message",
    [
        (f"clip,{HEADER[7:]}\n", "lacks 1 of the columns.*: AU01_r;"),
        (f"name,{HEADER}\nx,{units()}\n", "lacks.*: clip;"),
        (f"frame,{HEADER}\n", "lacks.*: success;"),
        (f"clip,{HEADER}\n", "no clips"),
        (f"clip,{HEADER}\nx,{units('high')}\n", "row 2: `AU01_r` must be a number.*'high'"),
        (f"clip,{HEADER}\nx,{units('nan')}\n", "row 2: `AU01_r` must be a number"),
        (f"clip,{HEADER}\nx,1,2\n", "row 2: it must have 36 cells.*has 3"),
        (f"clip,{HEADER}\nx,{units()}\nx,{units()}\n", "row 3: 'x' is there twice"),
        (f"frame,success,{HEADER}\n1,0,{units()}\n", "no face"),
        (f"frame,success,face_id,{HEADER}\n1,1,0,{units()}\n1,1,1,{units()}\n", "2 faces"),
        ("clip,\x00\n", "t.csv"),
        ("", "lacks 36 of the columns"),
    ],
)
def test_a_bad_csv_is_one_line(tmp_path, text, message):
    path = write(tmp_path, text.encode(), "t.csv")
    with pytest.raises(ValueError, match=message) as error:
        feature_tables.read(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.pkl does not exist"):
        feature_tables.read(tmp_path / "none.pkl")
    with pytest.raises(ValueError, match="must be a .pkl, .csv or .npz"):
        feature_tables.read(write(tmp_path, b"x", "t.txt"))
    with pytest.raises(ValueError, match="not a CSV in UTF-8"):
        feature_tables.read(write(tmp_path, b"clip,\xff\n", "t.csv"))
    with pytest.raises(ValueError, match="no CSV of OpenFace"):
        feature_tables.join([], tmp_path / "..")


def test_a_table_is_read_once_and_again_when_it_changed(tmp_path, monkeypatch):
    path = write(tmp_path, {STEM: row()})
    first = feature_tables.values(path, ID)
    assert feature_tables.values(path, STEM) is first
    write(tmp_path, {STEM: row(1), "b": row()})
    assert not np.array_equal(
        feature_tables.values(path, ID)["action_units"], first["action_units"]
    )
    with pytest.raises(ValueError, match="t.pkl has no clip 'zoe'"):
        feature_tables.values(path, "zoe")


def test_clips_of_a_table(tmp_path):
    path = write(tmp_path, {STEM: row(), "01-01-01-01-01-01-01": row()})
    first, second = corpora.clips(path)
    assert (second.id, second.label, second.speaker) == (ID, "angry", "12")
    assert second.info["sex"] == "female" and second.table == path and second.audio is None
    text, problems = check(path)
    assert "modalities: values of a table 2" in text and "2 clips, 0 files" in text
    assert problems == 0
    with pytest.raises(ValueError, match="the label of 'anna' is unknown"):
        corpora.clips(write(tmp_path, {"anna": row()}))
    with pytest.raises(ValueError, match="the label of '01-09-.* is unknown"):
        corpora.clips(write(tmp_path, {"01-01-09-01-01-01-01": row()}))


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_join_ignores_the_modality(clips, tmp_path, kind):
    stem = f"02-{clips[0].id}"
    if kind == "file":
        path = place = write(tmp_path, {stem: row(), "unknown": row()})
    else:
        path = tmp_path
        text = f"frame,success,{HEADER}\n1,1,{units(3)}\n"
        place = write(tmp_path, text.encode(), f"{stem}.csv")
    joined = feature_tables.join(clips, path)
    assert [clip.table for clip in joined] == [place] + [None] * (len(clips) - 1)
    message = train._joined(path, joined)
    assert f"values of 1 of {len(clips)} clips; none of {clips[1].id}, " in message
    with pytest.raises(ValueError, match="values of none of the clips.*name them alike"):
        feature_tables.join(clips[1:], path)


def test_signal_of_values_alone(tmp_path):
    path = write(tmp_path, {STEM: row()})
    spec = models.preset("action_unit_bilstm").spec("none")
    clip = Clip(ID, "angry", "12", table=path)
    for signal in (cache.decode(clip, spec), SignalCache(spec, tmp_path / "c").load(clip)):
        assert signal.samples is None and signal.frames is None and signal.duration > 0
        assert signal.has_audio and signal.has_face
    assert not list((tmp_path / "c").glob("*"))
    assert not signal.without("audio").has_audio and signal.without("audio").has_face
    assert signal.without("video").has_audio and not signal.without("video").has_face
    with pytest.raises(MediaError, match="no action units"):
        cache.decode(replace(clip, table=None), replace(spec, sample_rate=None))
    with pytest.raises(MediaError, match="t.pkl: no sound in it"):
        cache.decode(clip, Spec(16000, None))


def test_specs_ask_for_sound_and_faces_only_where_they_are_needed():
    both = models.preset("mfcc_action_units")
    assert both.faces is None and both.spec("none").size is None
    assert both.spec("none").sample_rate == 16000 and both.spec("none").table_features == (
        "action_units",
    )
    assert both.only("video").spec("none").sample_rate is None
    assert both.only("audio").spec("none").table_features == ()
    assert models.preset("cnn3d_mfcc").spec("haar").table_features == ()


def test_real_tables(data):
    table = feature_tables.read(data / "ravdess/au_mfcc.pkl")
    means = feature_tables.read(data / "ravdess/action_units.csv")
    assert len(table) == len(means) == 1200 and table.keys() == means.keys()
    with open(data / "ravdess/au_mfcc.pkl", "rb") as file:
        raw = pickle.load(file)  # noqa: S301
    for stem, array in raw.items():
        result = table[feature_tables.clip_id(stem)]
        assert np.array_equal(result["action_units"][0], array[:35].astype(np.float32))
        assert np.array_equal(result["mean_mfcc_series"], array[35:].astype(np.float32))
    (frames,) = feature_tables.read(data / "media/openface_output.csv").values()
    assert frames["action_units"].shape == (100, 35)
    assert frames["action_units"][0, 0] == np.float32(0.6773)
    assert set(np.unique(frames["action_units"][:, 17:])) <= {0, 1}
    clips = corpora.clips(data / "ravdess", features=data / "ravdess/action_units.csv")
    assert all(clip.table for clip in clips)
    assert {c.id for c in corpora.clips(data / "ravdess/au_mfcc.pkl")} == {c.id for c in clips}


def test_the_series_from_the_original_sound_is_the_published_one(data):
    path = data / "ravdess/videos/Actor_01/01-01-01-01-01-01-01.mp4"
    series = MeanMfccSeries()
    published = feature_tables.values(data / "ravdess/au_mfcc.pkl", path.stem)["mean_mfcc_series"]
    sound = cache.decode(Clip("a", "", "", audio=path), Spec(series.sample_rate, None))
    computed = series(sound)
    assert np.corrcoef(computed, published)[0, 1] > 0.999
    assert np.abs(computed - published).mean() < 0.3  # of values between -50 and 0
