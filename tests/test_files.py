"""Files: whole or not at all, readable by those whom the umask lets, harmless in a spreadsheet."""

import csv
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from emotion import files

ROOT = Path(__file__).parents[1]


def test_texts_of_others_are_no_formulas(tmp_path):
    table = pd.DataFrame(
        {
            "id": ["=cmd()", "+1", "-a", "@x", "\tx", "'=a", "plain", "", None],
            "=column": [-1.5, 2, 3, 4, 5, 6, 7, 8, 9],
        }
    )
    files.write_csv(tmp_path / "a.csv", table)
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "'=column"] and rows[0] == ["'=cmd()", "-1.5"]
    assert not any(row[0].startswith(tuple("=+-@\t")) for row in rows)
    read = files.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert read["id"].tolist()[:7] == ["=cmd()", "+1", "-a", "@x", "\tx", "=a", "plain"]
    assert read["=column"].tolist() == table["=column"].tolist()


@pytest.mark.parametrize("umask, mode", [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_file_has_the_mode_of_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        files.write_text(tmp_path / "new" / "a.txt", "±")
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == mode
    assert (tmp_path / "new").stat().st_mode & 0o777 == mode | (mode & 0o444) >> 2


def test_a_full_disk_is_named(tmp_path):
    with pytest.raises(OSError, match="a.txt") as failure:
        with files.atomic_write(tmp_path / "a.txt") as part:
            part.write_text("half", encoding="utf-8")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert failure.value.errno == errno.ENOSPC and list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_parts(trained, data, tmp_path, number):
    output = tmp_path / "out"
    command = [sys.executable, "-m", "emotion", "annotate", data / "media", "--output", output]
    process = subprocess.Popen(
        [*command, "--model", trained.folder, "--workers", "1"], stderr=subprocess.PIPE, text=True,
        cwd=ROOT, encoding="utf-8",
    )  # fmt: skip
    while not list(output.glob(".*.part.mp4")):
        assert process.poll() is None
    process.send_signal(number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "stopped" in error and "Traceback" not in error
    assert not list(output.glob(".*"))
