from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local import files
from hauberk.core.errors import DataError, EnvironmentFault

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which every second byte is one too many."""
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        if len(data) < 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", write)


def no_fsync(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    files.write_file(path, b"one")
    files.write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    files.write_file(path, b"old")
    monkeypatch.setattr(os, "fsync", no_fsync)
    with pytest.raises(EnvironmentFault, match="disk full"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_size_limit_of_the_process_is_a_full_disk(tmp_path: Path) -> None:
    script = f"""
import resource
from pathlib import Path
from hauberk.adapters.local.files import write_file
from hauberk.core.errors import EnvironmentFault
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_file(Path({str(tmp_path)!r}) / "file", b"x" * 5000)
except EnvironmentFault as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "disk full" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_block_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with files.new_file(tmp_path / "file") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_create_file_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.create_file(path, b"first")
    assert not files.create_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_read_file_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.read_file(path, limit=3) is None
    path.write_bytes(b"abc")
    assert files.read_file(path, limit=3) == b"abc"
    with pytest.raises(DataError, match="larger than 2"):
        files.read_file(path, limit=2)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (b"a\nb\n", b"a\nb\n"),
        (b"a\nb", b"a\n"),
        (b"torn", b""),
        (b"a\n" + b"x" * 10000, b"a\n"),
        (b"x" * 10000, b""),
        (b"x" * 5000 + b"\n" + b"y" * 5000, b"x" * 5000 + b"\n"),
    ],
)
def test_drop_torn_line(tmp_path: Path, content: bytes, kept: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(content)
    with path.open("r+b") as file:
        files.drop_torn_line(file.fileno())
    assert path.read_bytes() == kept


@pytest.mark.usefixtures("full_disk")
def test_append_lines_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"old\n")
    with path.open("r+b") as file, pytest.raises(OSError, match="No space"):
        files.append_lines(file.fileno(), b"a" * 30 + b"\n" + b"b" * 5)
    assert path.read_bytes() == b"old\n" + b"a" * 30 + b"\n"
    with path.open("r+b") as file, pytest.raises(OSError, match="No space"):
        files.append_lines(file.fileno(), b"c" * 40)
    assert path.read_bytes() == b"old\n" + b"a" * 30 + b"\n"


def test_a_folder_that_may_not_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentFault, match="the system refused"):
        files.make_folder(tmp_path / "file" / "below")
