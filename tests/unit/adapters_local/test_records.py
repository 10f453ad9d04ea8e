from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.records import RecordLog
from hauberk.core.errors import DataError, EnvironmentFault
from hauberk.testing.store_checks import make_record

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.record import Record


def records(first: int, last: int) -> list[Record]:
    return [make_record(seq) for seq in range(first, last + 1)]


def seqs(log: RecordLog, after: int = 0, limit: int = 10**6) -> list[int]:
    return [record.seq for record in log.read(after, limit)]


def test_records_are_read_as_written_across_segments(tmp_path: Path) -> None:
    log = RecordLog(tmp_path, segment_bytes=500)
    for start in range(1, 41, 4):
        log.append(records(start, start + 3))
    assert len(list(tmp_path.glob("*.jsonl"))) > 3
    assert RecordLog(tmp_path).read(0, 100) == records(1, 40)
    assert log.last_seq() == RecordLog(tmp_path).last_seq() == 40


def test_an_absent_folder_is_an_empty_log(tmp_path: Path) -> None:
    log = RecordLog(tmp_path / "absent")
    assert (log.read(0, 10), log.last_seq()) == ([], 0)


def test_the_oldest_segments_are_dropped(tmp_path: Path) -> None:
    log = RecordLog(tmp_path, segment_bytes=1, segments=3)
    slow = RecordLog(tmp_path)
    log.append(records(1, 2))
    assert seqs(slow, 0, 1) == [1]
    for seq in range(3, 20):
        log.append([make_record(seq)])
    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    assert seqs(slow, 1) == seqs(RecordLog(tmp_path), 1) == [17, 18, 19]


@pytest.mark.parametrize("batch", [[5], [4], [6, 6], [7, 6], [0]])
def test_numbers_go_up(tmp_path: Path, batch: list[int]) -> None:
    log = RecordLog(tmp_path)
    log.append(records(1, 5))
    with pytest.raises(DataError, match="after record"):
        log.append([make_record(seq) for seq in batch])
    assert seqs(RecordLog(tmp_path)) == [1, 2, 3, 4, 5]


def test_a_torn_last_line_waits_and_is_cut_by_the_next_writer(tmp_path: Path) -> None:
    log = RecordLog(tmp_path)
    log.append(records(1, 3))
    log.close()
    [segment] = tmp_path.glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"id":"torn","seq":4,')
    reader = RecordLog(tmp_path)
    assert seqs(reader) == [1, 2, 3]
    assert (reader.last_seq(), reader.damaged) == (3, 0)
    RecordLog(tmp_path).append(records(4, 6))
    assert seqs(reader, 3) == [4, 5, 6]
    assert reader.damaged == 0


@pytest.mark.parametrize("junk", [b"\x00" * 300, b"{}", b'{"seq":4}', b"[" * 5000, b"\xff\xfe"])
def test_a_damaged_line_is_passed_over_and_counted(tmp_path: Path, junk: bytes) -> None:
    log = RecordLog(tmp_path)
    log.append(records(1, 3))
    log.close()
    [segment] = tmp_path.glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(junk + b"\n")
    log.append(records(5, 6))
    reader = RecordLog(tmp_path)
    assert seqs(reader) == [1, 2, 3, 5, 6]
    assert seqs(reader, 6) == []
    assert reader.damaged == 1


def test_a_reader_goes_on_from_any_position(tmp_path: Path) -> None:
    log = RecordLog(tmp_path, segment_bytes=700)
    for seq in range(1, 31):
        log.append([make_record(seq)])
    reader = RecordLog(tmp_path)
    for after in (0, 29, 3, 3, 17, 30, 12):
        assert seqs(reader, after, 4) == list(range(after + 1, min(after + 4, 30) + 1))
    assert reader.read(0, 0) == []


def test_reading_on_touches_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RecordLog(tmp_path)
    log.append(records(1, 500))
    reader = RecordLog(tmp_path)
    reader.read(0, 500)
    parsed: list[int] = []
    real = RecordLog._parse

    def counted(self: RecordLog, line: bytes, after: int) -> Record | None:
        parsed.append(after)
        return real(self, line, after)

    monkeypatch.setattr(RecordLog, "_parse", counted)
    log.append(records(501, 502))
    assert seqs(reader, 500) == [501, 502]
    assert len(parsed) == 2


def test_there_is_one_writer(tmp_path: Path) -> None:
    log = RecordLog(tmp_path)
    log.append(records(1, 1))
    other = RecordLog(tmp_path)
    with pytest.raises(EnvironmentFault, match="another process writes"):
        other.append(records(2, 2))
    log.close()
    other.append(records(2, 2))
    del other
    log.append(records(3, 3))
    assert seqs(RecordLog(tmp_path)) == [1, 2, 3]


def test_a_full_disk_keeps_whole_lines_and_writing_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, reader = RecordLog(tmp_path), RecordLog(tmp_path)
    log.append(records(1, 2))
    assert seqs(reader) == [1, 2]
    real, left = os.write, [400]

    def write(descriptor: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        data = data[: left[0]]
        left[0] -= len(data)
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(EnvironmentFault, match="disk full"):
        log.append(records(3, 50))
    kept = log.last_seq()
    assert 2 < kept < 50
    assert seqs(reader, 2) == list(range(3, kept + 1))
    monkeypatch.setattr(os, "write", real)
    log.append(records(60, 61))
    assert seqs(reader, kept) == [60, 61]


WRITE = """
import sys
from pathlib import Path
from hauberk.adapters.local.records import RecordLog
from hauberk.testing.store_checks import make_record
log = RecordLog(Path(sys.argv[1]), segment_bytes=5000)
print("ready", flush=True)
for start in range(1, 10**9, 7):
    log.append([make_record(seq) for seq in range(start, start + 7)])
"""


def test_a_reader_follows_a_writer_that_is_killed(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    reader, found = RecordLog(tmp_path), [0]
    while found[-1] < 300:
        found += seqs(reader, found[-1], 11)
    writer.kill()
    writer.wait(10)
    writer.stdout.close()
    while batch := seqs(reader, found[-1], 500):
        found += batch
    assert found == list(range(found[-1] + 1))
    log = RecordLog(tmp_path)
    log.append(records(log.last_seq() + 1, log.last_seq() + 1))
    assert seqs(reader, found[-1]) == [found[-1] + 1]
