"""Files: written whole or not at all, and locked against other processes."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock


@contextmanager
def locked(folder, instead="choose another --run"):
    """Keeps every other process from writing into a run while the block runs.

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


def write_text(path, text):
    """Writes a file that appears under its name only when it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
