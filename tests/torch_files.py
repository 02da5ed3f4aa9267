"""Files as torch.save writes them, put together by hand: the tests run without PyTorch."""

import struct
import zipfile

import numpy as np

STORAGES = {"f4": "Float", "f2": "Half", "f8": "Double", "i8": "Long", "i4": "Int", "b1": "Bool"}


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value):
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + raw


def pair(*parts):
    return b"(" + b"".join(parts) + b"t"


def name(dotted):
    module, _, attribute = dotted.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def call(dotted, *arguments):
    return name(dotted) + pair(*arguments) + b"R"


def tensor(key, kind, count, shape, strides, offset=0):
    storage = pair(
        text("storage"), name(f"torch.{kind}Storage"), text(key), text("cpu"), number(count)
    )
    sizes = (pair(*map(number, numbers)) for numbers in (shape, strides))
    hooks = call("collections.OrderedDict")
    return call(
        "torch._utils._rebuild_tensor_v2", storage + b"Q", number(offset), *sizes, b"\x89", hooks
    )


def mapping(items):
    parts = [text(key) + value for key, value in items.items()]
    return call("collections.OrderedDict") + b"(" + b"".join(parts) + b"u"


def pack(path, pickled, storages=(), order=b"little", root="archive", **settings):
    """Writes a zip around a pickle's opcodes; `storages` is a dict of key to bytes."""
    with zipfile.ZipFile(path, "w", **settings) as archive:
        archive.writestr(f"{root}/data.pkl", b"\x80\x02" + pickled + b".")
        archive.writestr(f"{root}/byteorder", order)
        for key, raw in dict(storages).items():
            archive.writestr(f"{root}/data/{key}", raw)
        archive.writestr(f"{root}/version", b"3\n")


def save(path, state, wrap=lambda pickled: pickled, root="archive"):
    """Writes a state dict of str to array; `wrap` makes the opcodes of a checkpoint of its own."""
    storages, tensors = {}, {}
    for key, (label, array) in enumerate(state.items()):
        storages[str(key)] = np.ascontiguousarray(array).tobytes()
        strides = [stride // array.itemsize for stride in np.ascontiguousarray(array).strides]
        kind = STORAGES[array.dtype.str[1:]]
        tensors[label] = tensor(str(key), kind, array.size, array.shape, strides[: array.ndim])
    pack(path, wrap(mapping(tensors)), storages, root=root)
