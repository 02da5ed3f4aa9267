"""Reads the arrays of a PyTorch state dict without PyTorch.

`torch.save` writes a zip: NAME/data.pkl, a pickle in which each tensor names the storage that
holds its numbers, and NAME/data/KEY, the bytes of a storage. A pickle is a program. The one that
reads it here can build numbers, strings, containers and descriptions of tensors and nothing else;
whatever else a file asks for is refused by name before it is looked up, and before a storage is
read. No entry of the zip is written to disk.

Files of PyTorch before 1.6 are no zips and are refused, with the command that converts them.
"""

from __future__ import annotations

import math
import pickle
import shlex
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from emotion.clip import Arrays

_LEGACY = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # the number such a file begins with
_CONVERT = (
    "import sys, torch; p = sys.argv[1]; "
    "torch.save(torch.load(p, map_location='cpu', weights_only=True), p)"
)
# PyTorch's types of storages to NumPy's, without the byte order.
_TYPES = {
    "BFloat16Storage": "u2",  # the upper half of a float32
    "BoolStorage": "u1",
    "ByteStorage": "u1",
    "CharStorage": "i1",
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "IntStorage": "i4",
    "LongStorage": "i8",
    "ShortStorage": "i2",
}
# What reading a damaged zip or pickle raises; the manual of pickle says that the list has no end.
_DAMAGE = (
    zipfile.BadZipFile, pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError,
    MemoryError, OSError, OverflowError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


def read(path: Path) -> Arrays:
    """Reads the arrays of a state dict, running nothing that is in the file.

    Args:
        path: Path of a file of `torch.save`: a state dict, or a dict with one as its `state_dict`.

    Returns:
        dict of str to float32 array; other types are converted, as `Tensor.float` does.

    Raises:
        ValueError: the file is older than PyTorch 1.6, damaged, holds no state dict, or asks to
            run something.
    """
    with open(path, "rb") as file:
        if _LEGACY in file.read(32):
            raise ValueError(
                f"{path} has the format of PyTorch before 1.6, which PyTorch alone reads; use a "
                "safetensors file, or convert it where PyTorch is installed: "
                f'python -c "{_CONVERT}" {shlex.quote(str(path))}'
            )
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path.stat().st_size)
    except _Refused as refused:
        raise ValueError(
            f"{path} asks for {refused}, which weights have no use for; nothing of it was run. "
            "Use a safetensors file, or a PyTorch file that holds a state dict alone."
        ) from None
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{path} must be a whole PyTorch file of tensors and no other objects ({reason}); "
            "download it again, or use a safetensors file."
        ) from None


class _Refused(pickle.UnpicklingError):
    pass


class _Storage(NamedTuple):
    type: str
    key: str
    count: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


class _State(dict):
    """Stands for OrderedDict; what a pickle would set as its attributes is dropped."""

    def __setstate__(self, state):
        pass


class _StandIn:
    """A function that a pickle can call and not change."""

    __slots__ = ("_function",)

    def __init__(self, function):
        self._function = function

    def __call__(self, *args):
        return self._function(*args)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("it sets attributes of a function")


_STAND_INS = {
    ("collections", "OrderedDict"): _StandIn(_State),
    ("torch._utils", "_rebuild_tensor_v2"): _StandIn(lambda *args: _Tensor(*args[:4])),
    ("torch._utils", "_rebuild_parameter"): _StandIn(lambda tensor, *ignored: tensor),
    **{("torch", name): name for name in _TYPES},
}


class _Unpickler(pickle.Unpickler):
    """Builds numbers, strings, containers and descriptions of tensors."""

    def find_class(self, module, name):
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise _Refused(repr(f"{module}.{name}")[:200]) from None

    def persistent_load(self, record):
        kind, type_, key, _, count = record  # the fourth is the device it was on
        if kind != "storage":
            raise pickle.UnpicklingError(f"a persistent object of kind {kind!r}")
        return _Storage(type_, key, count)


def _read(archive, size):
    entries, names = archive.infolist(), archive.namelist()
    # Stored entries that share no bytes take no more memory than the file takes on disk.
    if any(e.compress_type for e in entries) or sum(e.file_size for e in entries) > size:
        raise ValueError("its entries are compressed or overlap")
    root = names[0].partition("/")[0] if names else ""
    with archive.open(f"{root}/data.pkl") as file:
        content = _Unpickler(file).load()
    state = content.get("state_dict", content)
    if not state or not all(isinstance(key, str) for key in state):
        raise ValueError("it holds no state dict")
    order = f"{root}/byteorder"  # an entry since PyTorch 2.1
    order = ">" if order in names and archive.read(order) == b"big" else "<"
    storages = {}

    def numbers(storage):
        if storage not in storages:
            raw = archive.read(f"{root}/data/{storage.key}")
            storages[storage] = _numbers(raw, storage, order)
        return storages[storage]

    return {name: _array(tensor, numbers, size) for name, tensor in state.items()}


def _numbers(raw, storage, order):
    numbers = np.frombuffer(raw, order + _TYPES[storage.type])
    if len(numbers) != storage.count:
        raise ValueError(f"a storage of {storage.count} numbers has {len(numbers)}")
    if storage.type == "BFloat16Storage":
        return (numbers.astype("u4") << 16).view("f4")
    return (numbers != 0 if storage.type == "BoolStorage" else numbers).astype("f4", copy=False)


def _array(tensor, find, size):
    if not isinstance(tensor, _Tensor) or not isinstance(tensor.storage, _Storage):
        raise ValueError("it holds no state dict of tensors alone")
    storage, offset, shape, strides = tensor
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise ValueError(f"a tensor of shape {shape} and strides {strides}")
    if 0 in shape:
        return np.zeros(shape, "f4")
    numbers = find(storage)
    # In Python's integers: the sums of NumPy's own check can overflow.
    end = offset + sum((n - 1) * stride for n, stride in zip(shape, strides)) + 1
    if end > len(numbers) or math.prod(shape) > max(len(numbers), size):  # strides may be 0
        raise ValueError(f"a tensor of shape {shape} in a storage of {len(numbers)} numbers")
    width = numbers.itemsize
    return np.ndarray(shape, "f4", numbers, width * offset, [width * n for n in strides])
