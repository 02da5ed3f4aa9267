"""Finds, downloads and reads files of published weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.numpy import load_file

from emotion.encoders import torch_file

if TYPE_CHECKING:
    from emotion.clip import Arrays

NAMES = ("model.safetensors", "pytorch_model.bin")  # of weights in a folder; the first is preferred


def find(source: str | Path, wanted: Sequence[tuple[str, ...]]) -> list[Path]:
    """Finds files of published weights, fetching them where they are on the hub.

    Args:
        source: str or Path of a folder, or an id of the hub at $HF_ENDPOINT, such as
            "facebook/wav2vec2-base", where there is no such folder. What was fetched is kept.
        wanted: list of tuples of str; of each, the first file that is there is taken.

    Returns:
        list of Path.

    Raises:
        OSError: there is none of them, or the hub cannot be reached.
    """
    folder = Path(source)
    if folder.is_dir():
        return [_first(folder, names) for names in wanted]
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", str(source)) or folder.suffix in READERS:
        raise FileNotFoundError(
            f"encoder weights must be a file, a folder or an id of the hub such as "
            f"facebook/wav2vec2-base. Received: {source}, which is none."
        )
    return [_fetch(folder.as_posix(), names) for names in wanted]


def read(path: Path) -> Arrays:
    """Reads the arrays of a file, running nothing that is in it.

    Args:
        path: Path, .safetensors, or a PyTorch file: .bin, .pt, .pth or .pth.tar (`torch_file`).

    Returns:
        dict of str to array.

    Raises:
        ValueError: it cannot be read, or asks to run something.
    """
    if path.suffix not in READERS:
        raise ValueError(f"weights must be one of {', '.join(READERS)}. Received: {path}.")
    return READERS[path.suffix](path)


def _first(folder, names):
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise FileNotFoundError(
            f"{folder} must hold {' or '.join(names)}; download it there, or name another folder."
        )
    return paths[0]


def _fetch(repository, names):
    from huggingface_hub import constants, errors, hf_hub_download

    reason = "it has no such file"
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except errors.RemoteEntryNotFoundError:
            continue
        except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
            error = error.__cause__ or error
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            break
    raise ConnectionError(
        f"{repository}'s {' or '.join(names)} cannot be had from {constants.ENDPOINT} ({reason}); "
        "download config.json and the weights elsewhere and give their folder to --encoder-weights."
    )


def _read_safetensors(path):
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError):
        raise ValueError(
            f"{path} cannot be read: it must be a whole safetensors file of float32 or float16 "
            "arrays; download it anew."
        ) from None


READERS = {
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".bin", ".pt", ".pth", ".tar"), torch_file.read),  # also .pth.tar
}
