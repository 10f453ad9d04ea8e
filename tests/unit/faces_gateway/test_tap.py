from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from hauberk.adapters.local.records import RecordLog
from hauberk.core.errors import EnvironmentFault
from hauberk.core.record import Record
from hauberk.faces.gateway.quarantine import Quarantine
from hauberk.faces.gateway.tap import Tap
from hauberk.testing.gateway_fakes import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from hauberk.testing.gateway_bench import Bench


def record(name: str = "r", outcome: str = "pass") -> Record:
    return msgspec.convert(
        {
            "id": name,
            "seq": 0,
            "at": 1.0,
            "principal": "alice",
            "digest": "sha256:0",
            "route": "primary",
            "outcome": outcome,
            "label": 3,
        },
        Record,
    )


def run(tap: Tap) -> None:
    tap.start()
    tap.close()


def test_records_are_numbered_without_a_gap_and_flushed_at_the_end(tmp_path: Path) -> None:
    for start in (0, 5000):  # a second gateway goes on where the first ended
        log = RecordLog(tmp_path)
        tap = Tap(log, capacity=10_000)
        for number in range(0, 5000, 10):
            tap.put([record(str(start + number + i)) for i in range(10)], {})
        run(tap)
        log.close()
    read = RecordLog(tmp_path).read(0, 20_000)
    assert [r.seq for r in read] == list(range(1, 10_001))
    assert [r.id for r in read] == [str(i) for i in range(10_000)]


def test_a_full_queue_drops_what_comes_next_and_counts_it() -> None:
    log = MemoryLog()
    dropped: list[int] = []
    tap = Tap(log, capacity=5, dropped=dropped.append)
    tap.put([record(str(i)) for i in range(3)], {})
    tap.put([record(str(i)) for i in range(3, 9)], {})
    tap.put([record("late")], {})
    assert dropped == [4, 1]
    run(tap)
    assert [r.id for r in log.records] == ["0", "1", "2", "3", "4"]


class Stuck(MemoryLog):
    """A log whose disk does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.leave = threading.Event(), threading.Event()

    def append(self, records: Sequence[Record]) -> None:
        self.entered.set()
        self.leave.wait(10)
        super().append(records)


def test_a_stuck_disk_holds_no_request_up() -> None:
    log = Stuck()
    dropped: list[int] = []
    tap = Tap(log, capacity=100, dropped=dropped.append)
    tap.start()
    tap.put([record()], {})
    assert log.entered.wait(5)
    begun = time.perf_counter()
    for _ in range(200):
        tap.put([record()], {})
    assert time.perf_counter() - begun < 0.5
    assert sum(dropped) == 100
    log.leave.set()
    tap.close()
    assert len(log.records) == 101


def test_closing_gives_a_stuck_disk_up_and_counts_the_loss() -> None:
    log = Stuck()
    dropped: list[int] = []
    tap = Tap(log, capacity=100, dropped=dropped.append)
    tap.start()
    tap.put([record()], {})
    assert log.entered.wait(5)
    tap.put([record(), record()], {})
    tap.close(0.05)
    assert dropped == [2]
    log.leave.set()


def test_a_full_disk_loses_records_and_not_the_tap() -> None:
    log = MemoryLog()
    dropped: list[int] = []
    failed: list[str] = []
    tap = Tap(log, capacity=100, dropped=dropped.append, failed=failed.append)
    tap.put([record("lost"), record("lost")], {})
    log.fail = True
    tap.start()
    deadline = time.monotonic() + 5
    while not dropped and time.monotonic() < deadline:
        time.sleep(0.005)
    log.fail = False
    tap.put([record("kept")], {})
    tap.close()
    assert dropped == [2]
    assert failed == ["disk full"]
    assert [(r.seq, r.id) for r in log.records] == [(1, "kept")]


def test_a_half_written_batch_is_counted_as_what_it_is() -> None:
    class Half(MemoryLog):
        def append(self, records: Sequence[Record]) -> None:
            if len(records) > 1:
                super().append(records[:1])
                raise EnvironmentFault("disk full")
            super().append(records)

    log = Half()
    dropped: list[int] = []
    tap = Tap(log, capacity=100, dropped=dropped.append)
    tap.put([record(str(i)) for i in range(4)], {})
    run(tap)
    assert dropped == [3]
    assert tap.last_seq == 1


def test_flagged_inputs_are_kept_with_their_records_and_without_pickles(
    bench: Bench, rows: NDArray[np.float32], tmp_path: Path
) -> None:
    bench.infer(rows)
    flagged = [r for r in bench.records() if r.outcome == "flag"]
    folder = tmp_path / "state" / "quarantine"
    files = sorted(folder.glob("*"))
    assert [int(file.stem) for file in files] == [r.seq for r in flagged]
    assert files
    assert folder.stat().st_mode & 0o777 == 0o700
    for file, told in zip(files, flagged, strict=True):
        assert file.stat().st_mode & 0o777 == 0o600
        with np.load(file, allow_pickle=False) as kept:
            np.testing.assert_array_equal(kept["x"], rows[told.seq - 1])
            assert msgspec.json.decode(kept["record"].tobytes(), type=Record) == told


def test_the_quarantine_keeps_the_newest(tmp_path: Path) -> None:
    x = np.zeros((1, 2), np.float32)
    for start in (1, 4):  # it knows what an earlier process kept
        quarantine = Quarantine(tmp_path / "q", limit=4)
        for seq in range(start, start + 3):
            quarantine.keep(msgspec.structs.replace(record(), seq=seq), x)
    assert sorted(int(path.stem) for path in (tmp_path / "q").iterdir()) == [3, 4, 5, 6]


def test_a_quarantine_that_fails_loses_no_record() -> None:
    class Broken:
        def keep(self, record: Record, x: NDArray[np.float32]) -> None:
            raise EnvironmentFault("disk full")

    log = MemoryLog()
    failed: list[str] = []
    tap = Tap(log, capacity=100, keeper=Broken(), failed=failed.append)
    x = np.zeros((1,), np.float32)
    tap.put([record(), record()], {0: x, 1: x})
    run(tap)
    assert len(log.records) == 2
    assert failed == ["disk full"]


def test_inputs_waiting_for_the_quarantine_are_bounded() -> None:
    kept: list[int] = []

    class Counting:
        def keep(self, record: Record, x: NDArray[np.float32]) -> None:
            kept.append(record.seq)

    log = MemoryLog()
    tap = Tap(log, capacity=10_000, keeper=Counting())
    x = np.zeros((1,), np.float32)
    for _ in range(1000):
        tap.put([record()], {0: x})
    run(tap)
    assert len(log.records) == 1000
    assert kept == list(range(1, 257))
