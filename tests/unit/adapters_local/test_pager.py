from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.pager import MAX_TEXT, FilePager
from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from pathlib import Path


def pages(pager: FilePager) -> list[tuple[str, str]]:
    return [(line.incident, line.message) for line in pager.lines()]


def test_each_message_of_an_incident_is_delivered_once(tmp_path: Path) -> None:
    pager = FilePager(tmp_path / "new" / "pages.jsonl")
    assert pages(pager) == []
    for at in (1.0, 2.0):
        pager.page("i1", "attack\nhere", at=at)
        pager.page("i1", "contained", at=at)
        FilePager(pager.path).page("i2", "attack\nhere", at=at)
    wanted = [("i1", "attack\nhere"), ("i1", "contained"), ("i2", "attack\nhere")]
    assert pages(pager) == wanted
    assert [line.at for line in pager.lines()] == [1.0, 1.0, 1.0]
    assert len(pager.path.read_bytes().splitlines()) == 3


def test_concurrent_pages_are_delivered_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda n: FilePager(tmp_path / "p").page("i", f"m{n % 4}", at=0.0), range(32))
        )
    assert sorted(pages(FilePager(tmp_path / "p"))) == [("i", f"m{n}") for n in range(4)]


def test_a_torn_line_and_junk_do_not_stop_a_page(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(b'junk\n\xff\n{"at":1}\n{"at":0.0,"incident":"i","mess')
    FilePager(path).page("i", "m", at=0.0)
    assert pages(FilePager(path)) == [("i", "m")]


def test_a_long_message_is_cut_and_still_delivered_once(tmp_path: Path) -> None:
    pager = FilePager(tmp_path / "p")
    for _ in range(2):
        pager.page("i", "x" * (MAX_TEXT + 1), at=0.0)
    assert pages(pager) == [("i", "x" * MAX_TEXT)]


def test_a_full_disk_leaves_no_part_of_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pager = FilePager(tmp_path / "p")
    pager.page("i", "first", at=0.0)
    before = pager.path.read_bytes()

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(EnvironmentFault, match="disk full"):
            pager.page("i", "second", at=0.0)
    assert pager.path.read_bytes() == before
    pager.page("i", "second", at=0.0)
    assert pages(pager) == [("i", "first"), ("i", "second")]
