"""PyTorch files: what torch.save writes is read, what is damaged or would run is refused unread."""

import os
import sys
import zipfile

import numpy as np
import pytest

from emotion.encoders import checkpoint, torch_file
from tests.torch_files import call, mapping, name, number, pack, pair, save, tensor, text

SIX = np.arange(6, dtype="<f4")


def refused(path, reason):
    with pytest.raises(ValueError, match=reason) as error:
        torch_file.read(path)
    message = str(error.value)
    print(message)
    assert "\n" not in message and message.startswith(str(path)) and len(message) < 700
    return message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pytorch_model.bin"


@pytest.fixture(autouse=True)
def no_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # where it is installed, it is not imported


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".pth.tar"])
def test_a_state_dict_is_read(suffix, tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / f"weights{suffix}"
    state = {
        "a": rng.normal(size=(3, 4, 5)).astype("f4"),
        "half": rng.normal(size=7).astype("f2"),
        "double": rng.normal(size=(2, 2)),
        "count": np.array(12345),
        "int": np.arange(3, dtype="i4"),
        "flags": np.array([True, False, True]),
        "empty": np.zeros((0, 3), "f4"),
    }
    save(path, state, root="weights")
    result = checkpoint.read(path)
    assert result.keys() == state.keys()
    for label, array in state.items():
        assert result[label].dtype == np.float32
        np.testing.assert_array_equal(result[label], array.astype("f4"))


def test_a_training_checkpoint_gives_its_state_dict(path):
    more = {
        "epoch": number(7),
        "arch": text("efficientface"),
        "best": tensor("9", "Float", 1, (), ()),
    }
    save(path, {"a": SIX}, lambda state: mapping({**more, "state_dict": state}))
    assert list(torch_file.read(path)) == ["a"]


def test_attributes_of_a_state_dict_and_parameters_are_read_past(path):
    # state_dict() carries `_metadata` as an attribute; a Parameter wraps its tensor.
    part = call(
        "torch._utils._rebuild_parameter", tensor("0", "Float", 6, (6,), (1,)), b"\x88",
        call("collections.OrderedDict"),
    )  # fmt: skip
    state = mapping({"a": part}) + b"}" + text("items") + text("other") + b"sb"
    pack(path, state, {"0": SIX.tobytes()})
    np.testing.assert_array_equal(torch_file.read(path)["a"], SIX)


def test_shapes_strides_and_offsets_are_those_of_the_file(path):
    views = {
        "turned": tensor("0", "Float", 6, (3, 2), (1, 3)),
        "last": tensor("0", "Float", 6, (2,), (1,), offset=4),
        "overlapping": tensor("0", "Float", 6, (2, 4), (2, 1)),
        "repeated": tensor("0", "Float", 6, (3, 2), (0, 1), offset=1),
        "scalar": tensor("0", "Float", 6, (), (), offset=5),
    }
    pack(path, mapping(views), {"0": SIX.tobytes()})
    result = {label: array.tolist() for label, array in torch_file.read(path).items()}
    assert result == {
        "turned": [[0, 3], [1, 4], [2, 5]],
        "last": [4, 5],
        "overlapping": [[0, 1, 2, 3], [2, 3, 4, 5]],
        "repeated": [[1, 2]] * 3,
        "scalar": 5,
    }


def test_bfloat16_and_the_other_byte_order_are_read(path):
    stored = np.array([1.0, -2.5, 3.140625, np.inf], "<f4")  # exact in 8 bits of mantissa
    upper = (stored.view("<u4") >> 16).astype("<u2")
    for order, raw in ((b"little", upper), (b"big", upper.astype(">u2"))):
        pack(
            path,
            mapping({"a": tensor("0", "BFloat16", 4, (4,), (1,))}),
            {"0": raw.tobytes()},
            order,
        )
        np.testing.assert_array_equal(torch_file.read(path)["a"], stored)
    pack(
        path,
        mapping({"a": tensor("0", "Float", 6, (6,), (1,))}),
        {"0": SIX.astype(">f4").tobytes()},
        b"big",
    )
    np.testing.assert_array_equal(torch_file.read(path)["a"], SIX)


@pytest.mark.parametrize("dotted", [
    "posix.system", "os.system", "builtins.eval", "builtins.getattr", "torch.load",
    "torch.jit._script.unpackage_script_module", "numpy.core.multiarray.scalar", "pickle.loads",
    "__main__.RecorderMeter", "torch._utils.os.system", "collections.OrderedDict.__class__",
    "emotion.encoders.torch_file._read",
])  # fmt: skip
def test_what_a_file_would_run_is_refused_unread(dotted, path, tmp_path, monkeypatch):
    marker, read = tmp_path / "ran", []
    for module in (os, os.sys.modules["posix"]):
        monkeypatch.setattr(module, "system", lambda *_: marker.touch())
    bad = call(dotted, text(f"touch {marker}"))
    state = mapping({"a": tensor("0", "Float", 6, (6,), (1,)), "b": bad})
    pack(path, state, {"0": SIX.tobytes()})
    monkeypatch.setattr(torch_file, "_numbers", lambda *arguments: read.append(arguments))
    message = refused(path, f"asks for '{dotted}'.*nothing of it was run")
    assert not marker.exists() and not read and "use a safetensors file" in message.lower()


def test_a_name_is_refused_however_it_is_asked_for(path):
    module, attribute = text("posix"), text("system")
    for pickled in (
        module + attribute + b"\x93" + pair(text("true")) + b"R",  # STACK_GLOBAL
        b"(" + text("true") + b"iposix\nsystem\n",  # INST
        b"(" + name("posix.system") + text("true") + b"o",  # OBJ
        name("posix.system") + pair() + b"\x81",  # NEWOBJ
    ):
        pack(path, pickled)
        refused(path, "asks for 'posix.system'")
    pack(path, text("a\x1b[2J\nb") + attribute + b"\x93")
    assert "\x1b" not in refused(path, "asks for")


def test_a_pickle_cannot_change_the_reader(path):
    for dotted in (
        "torch._utils._rebuild_tensor_v2",
        "collections.OrderedDict",
        "torch.FloatStorage",
    ):
        state = b"(N}" + text("__defaults__") + pair(number(1)) + b"st"
        pack(path, name(dotted) + state + b"b")
        refused(path, "must be a whole PyTorch file")
    save(path, {"a": SIX})
    assert torch_file.read(path)["a"].tolist() == SIX.tolist()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"count": 7, "shape": (7,)}, "storage of 7 numbers has 6"),
        ({"count": 2**62, "shape": (2,)}, "has 6"),
        ({"shape": (7,)}, r"shape \(7,\) in a storage of 6"),
        ({"offset": 1}, "in a storage of 6"),
        ({"offset": -1}, "of shape"),
        ({"strides": (2,)}, "in a storage of 6"),
        ({"strides": (-1,), "offset": 5}, "of shape"),
        ({"shape": (5,), "strides": (2**60,)}, "in a storage of 6"),  # 0 in 64 bits
        ({"shape": (10**12,), "strides": (0,)}, "in a storage of 6"),
        ({"shape": (2, 3)}, "of shape"),
        ({"shape": (-6,)}, "of shape"),
        ({"key": "1"}, "no item named"),
        ({"key": "../../../etc/hostname"}, "no item named"),
        ({"kind": "Double"}, "has 3"),
        ({"kind": "Long", "count": 3, "shape": (4,)}, "in a storage of 3"),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(changed, reason, path):
    whole = {"key": "0", "kind": "Float", "count": 6, "shape": (6,), "strides": (1,)}
    pack(path, mapping({"a": tensor(**{**whole, **changed})}), {"0": SIX.tobytes()})
    refused(path, reason)


def test_a_zip_that_grows_is_refused(path, monkeypatch):
    zeros = {"0": bytes(1 << 24)}
    state = mapping({"a": tensor("0", "Float", 1 << 22, (1 << 22,), (1,))})
    pack(path, state, zeros, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(zipfile.ZipFile, "read", None)  # nothing is unpacked
    refused(path, "compressed")


def test_entries_that_share_their_bytes_are_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"}.")
        archive.writestr("archive/data/0", bytes(1 << 12))
        for key in range(1, 9):
            entry = zipfile.ZipInfo(f"archive/data/{key}")
            first = archive.NameToInfo["archive/data/0"]
            for label in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(entry, label, getattr(first, label))
            archive.filelist.append(entry)
    refused(path, "overlap")


def test_an_entry_with_a_path_is_written_nowhere(path, tmp_path):
    save(path, {"a": SIX})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside", b"")
        archive.writestr("/tmp/emotion-outside", b"")
    before = sorted(tmp_path.parent.rglob("*"))
    assert list(torch_file.read(path)) == ["a"]
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_legacy_file_is_refused_with_the_command_that_converts_it(tmp_path):
    path = tmp_path / "a b.bin"
    path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.")
    message = refused(path, "before 1.6.*safetensors.*python -c .*weights_only=True")
    assert message.endswith(f"'{path}'")


def test_a_file_that_is_damaged_or_no_state_dict_says_so(path):
    save(path, {"a": SIX})
    whole = path.read_bytes()
    at = whole.index(SIX.tobytes())
    for content in (
        b"",
        b"PK\x03\x04",
        whole[:-30],
        whole[:100],
        whole[:at] + b"\xff" + whole[at + 1 :],
    ):
        path.write_bytes(content)
        refused(path, "must be a whole PyTorch file of tensors.*download it again")
    for pickled in (
        b"", b"N", b"]", b"}", pair(), text("a"), mapping({"a": number(1)}), b"\x00", b"(" * 9,
        mapping({"state_dict": number(1)}), mapping({"a": text("b") + b"Q"}),
        b"}" + number(1) + tensor("0", "Float", 6, (6,), (1,)) + b"s",
        b"}" + text("a") + call("torch._utils._rebuild_tensor_v2", *[text("a")] * 4) + b"s",
        b"}" + text("a") + call("torch._utils._rebuild_tensor_v2") + b"s",
    ):  # fmt: skip
        pack(path, pickled, {"0": SIX.tobytes()})
        refused(path, "must be a whole PyTorch file")
    with zipfile.ZipFile(path, "w"):
        pass
    refused(path, "must be a whole PyTorch file")
