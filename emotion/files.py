"""Atomic writes and locks."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from emotion import __version__

if TYPE_CHECKING:
    import pandas as pd

parts: set[Path] = set()  # what is being written now
_FORMULA = tuple("=+-@\t\r")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what an OSError says of a full disk


@contextmanager
def locked(folder: str | Path, instead: str = "choose another --run") -> Iterator[None]:
    """Locks a run against writes by other processes for the duration of the block.

    The kernel frees the lock of a process that is killed; the file that it leaves does no harm.
    Within a thread, blocks of one folder may lie in each other.

    Args:
        folder: str or Path of the run; made where it is not there.
        instead: str, what a user may do if another process has it.

    Raises:
        BlockingIOError: another process has it.
    """
    folder = Path(folder)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "run.lock", blocking=False, is_singleton=True)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise BlockingIOError(
            f"{folder} is being trained by another process; wait for it or {instead}."
        ) from None
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # before the release: after it the file may be another's
                os.unlink(lock.lock_file)
        lock.release()
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path; the file is renamed to `path` when the block ends.

    Where the block raises, nothing of it stays.

    Args:
        path: str or Path; its folder exists.

    Yields:
        Path beside it, hidden, with the same suffix.
    """
    path = Path(path)
    writer = f"{os.getpid()}-{threading.get_ident()}"
    part = path.with_name(f".{path.stem}.{writer}.part{path.suffix}")
    parts.add(part)
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        if error.errno in FULL:  # which does not say what could not be written
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)
        parts.discard(part)


def read_arrays(path: str | Path, *names: str) -> list[np.ndarray]:
    """Reads arrays of an .npz; nothing in it is run.

    Args:
        path: str or Path.
        names: str, what the arrays are called.

    Returns:
        list of array.

    Raises:
        ValueError: the file is damaged, or lacks one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except Exception as error:  # NumPy parses a header of Python: damage has many names
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} must be an .npz with the arrays {', '.join(names)} ({reason}); fetch it again."
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes into a file that has its name once it is whole; makes its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as part:
        part.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, values: dict) -> None:
    """Writes a dict as JSON as `write_text` does, with the version of this program in it."""
    write_text(path, json.dumps({"version": __version__, **values}, indent=1))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as `write_text` does, with texts that no spreadsheet takes for formulas.

    Names of files, clips and classes come from others: what begins with = + - @ or a tab gets an
    apostrophe in front (https://owasp.org/www-community/attacks/CSV_Injection). `read_csv` takes it
    away again.
    """
    write_text(path, _mapped(table, without_formula).to_csv(index=False))


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Reads what `write_csv` wrote; the options are those of pandas.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    import pandas as pd

    try:
        return _mapped(pd.read_csv(path, **options), _unquoted)
    except ValueError as error:  # of the decoder and the parser alike
        raise ValueError(f"{path} is damaged ({error}); restore it, or make it anew.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads what `write_json` wrote; raises as `read_csv`."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it, or make it anew.") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged (it holds no object); restore it, or make it anew.")
    return values


@contextmanager
def undamaged(folder: Path) -> Iterator[None]:
    """Raises ValueError where a block finds something else than it needs in the files of a run."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if str(folder) in str(error):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(
            f"a file of {folder} is damaged or of another version ({reason}); "
            "`emotion evaluate` writes its metrics.json and predictions.csv anew."
        ) from error


def _mapped(table, function):
    """Applies a function to each text of a table, and to the names of its columns."""
    others = table.select_dtypes(exclude=["number", "bool"]).columns
    texts = {name: table[name].map(function) for name in others}
    return table.assign(**texts).rename(columns=function)


def without_formula(value: Any) -> Any:
    """Returns a value that a spreadsheet shows and does not compute."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def _unquoted(value):
    if isinstance(value, str) and value[:1] == "'" and value[1:2] in _FORMULA:
        return value[1:]
    return value
