from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hauberk.adapters.local.log_home import existing_log, log_keys, sealed_log
from hauberk.adapters.local.sealed import SealedLog, read_head
from hauberk.core.errors import EnvironmentFault, Untrusted, UserError
from hauberk.faces.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "payload-of-a-client"


def fact(n: int, tenant: str = "acme") -> tuple[str, bytes]:
    return tenant, json.dumps({"principal": "ann", "number": n, "text": SECRET}).encode()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A log of three groups of four entries, of two tenants."""
    log = sealed_log(tmp_path)
    for group in range(3):
        facts = [fact(4 * group + n, ("acme", "beta")[n % 2]) for n in range(4)]
        log.commit(facts, at=float(group))
    log.close()
    return tmp_path


def file_of(state: Path) -> Path:
    (path,) = (state / "log").glob("*.log")
    return path


def flaws(state: Path) -> list[tuple[str, str, int]]:
    return [
        (f.fault, f.where.partition(":")[2], f.entry) for f in existing_log(state).audit().flaws
    ]


def rewrite(state: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path = file_of(state)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))


def test_what_is_written_is_read_back_and_sound(state: Path) -> None:
    log = existing_log(state)
    assert [(one.n, one.tenant, (one.facts or {})["number"]) for one in log.read()] == [
        (n + 1, ("acme", "beta")[n % 2], n) for n in range(12)
    ]
    audit = log.audit()
    assert (audit.count, audit.sealed, audit.flaws) == (12, 12, [])
    assert [one.n for one in log.read(after=10)] == [11, 12]


def test_nothing_is_readable_without_the_keys(state: Path) -> None:
    for path in state.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
            assert path.stat().st_mode & 0o077 == 0 or path.suffix == ".pub", path
    assert b"acme" not in file_of(state).read_bytes()


# Lines 1-4 are entries, 5 a checkpoint, 6-9 entries, 10 a checkpoint, 11-14 entries, 15 the last.
def swap(a: int, b: int) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        lines[a - 1], lines[b - 1] = lines[b - 1], lines[a - 1]
        return lines

    return change


def flip(number: int, field: str) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        value = json.loads(lines[number - 1])
        text = value[field]
        value[field] = text[:9] + ("A" if text[9] != "A" else "B") + text[10:]
        if field == "link":
            value[field] = text[:9] + ("0" if text[9] != "0" else "1") + text[10:]
        lines[number - 1] = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        return lines

    return change


CASES: list[tuple[str, Callable[[list[bytes]], list[bytes]], tuple[str, str, int]]] = [
    ("flip a box", flip(7, "box"), ("altered", "7", 6)),
    ("flip a link", flip(7, "link"), ("altered", "7", 6)),
    ("flip a key's id", flip(7, "key"), ("altered", "7", 6)),
    ("drop an entry", lambda ls: ls[:6] + ls[7:], ("missing", "7", 6)),
    ("drop the first entry", lambda ls: ls[1:], ("missing", "1", 1)),
    ("drop a group", lambda ls: ls[:5] + ls[10:], ("missing", "6", 5)),
    ("drop a checkpoint", lambda ls: ls[:4] + ls[5:], ("altered", "5", 5)),
    ("swap entries", swap(7, 8), ("missing", "7", 6)),
    ("repeat an entry", lambda ls: [*ls[:7], ls[6], *ls[7:]], ("order", "8", 6)),
    ("spoil a line", lambda ls: [*ls[:6], b"{}\n", *ls[7:]], ("unreadable", "7", 6)),
    ("cut a group", lambda ls: ls[:10], ("truncated", "10", 9)),
    ("cut the last checkpoint", lambda ls: ls[:14], ("unsealed", "14", 9)),
    ("cut within a group", lambda ls: ls[:12], ("unsealed", "12", 9)),
    ("cut everything", lambda _: [], ("truncated", "", 1)),
]


@pytest.mark.parametrize(("change", "flaw"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_was_done_to_it_is_found_and_located(
    state: Path,
    change: Callable[[list[bytes]], list[bytes]],
    flaw: tuple[str, str, int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rewrite(state, change)
    found = flaws(state)
    assert found[0] == flaw
    assert run(["log", "verify", "--state", str(state)]) == 1
    assert flaw[0] in capsys.readouterr().out


def test_one_change_is_one_flaw(state: Path) -> None:
    for field in ("box", "link"):
        before = file_of(state).read_bytes()
        rewrite(state, flip(7, field))
        assert len(flaws(state)) == 1
        file_of(state).write_bytes(before)


def test_no_letter_of_the_last_checkpoint_may_change(state: Path) -> None:
    path = file_of(state)
    good = path.read_bytes()
    start = good.rindex(b'\n{"count"') + 1
    missed = []
    for place in range(start, len(good) - 1):
        data = bytearray(good)
        data[place] ^= 1 << place % 5
        path.write_bytes(data)
        if not flaws(state):
            missed.append(place - start)
    assert missed == []


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_is_missed(state: Path, place: int, bit: int) -> None:
    path = file_of(state)
    good = path.read_bytes()
    data = bytearray(good)
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    try:
        assert flaws(state)
    finally:
        path.write_bytes(good)


def test_a_chain_made_anew_lacks_the_signature(state: Path, tmp_path_factory: object) -> None:
    """Whoever can write here, but has not the signing key, rebuilds all links in vain."""
    other = state / "forger"
    log = sealed_log(other)
    for group in range(3):
        log.commit([fact(n) for n in range(4)], at=float(group))
    log.close()
    file_of(state).write_bytes(file_of(other).read_bytes())
    assert {flaw[0] for flaw in flaws(state)} == {"forged"}


def test_a_head_kept_elsewhere_shows_a_cut_with_its_traces_removed(state: Path) -> None:
    kept = (state / "log" / "head.json").read_bytes()
    head = read_head(kept, where="kept")
    rewrite(state, lambda lines: lines[:10])
    (state / "log" / "head.json").unlink()
    assert flaws(state) == []
    found = existing_log(state).audit(head=head).flaws
    assert [(f.fault, f.entry) for f in found] == [("truncated", 9)]


def test_a_log_that_was_cut_is_not_written_on(state: Path) -> None:
    rewrite(state, lambda lines: lines[:10])
    with pytest.raises(Untrusted, match="entry 8, but had come to 12"):
        sealed_log(state).open()


def test_a_torn_group_is_cut_off_and_the_chain_goes_on(state: Path) -> None:
    path = file_of(state)
    with path.open("ab") as file:
        file.write(path.read_bytes()[:700])  # a group that a killed writer did not finish
    log = sealed_log(state)
    assert log.open() == 12
    assert log.commit([fact(12)], at=9.0) == 13
    log.close()
    assert flaws(state) == []


def test_segments_are_one_chain(tmp_path: Path) -> None:
    log = sealed_log(tmp_path)
    log = SealedLog(log.folder, log_keys(tmp_path), log._signer, segment_bytes=2000)
    for n in range(20):
        log.commit([fact(n)], at=0.0)
    log.close()
    paths = sorted((tmp_path / "log").glob("*.log"))
    assert len(paths) > 3
    assert flaws(tmp_path) == []
    paths[-1].write_bytes(b"")  # begun, and killed before its first group
    (tmp_path / "log" / "head.json").unlink()
    log = sealed_log(tmp_path)
    before = log.open()
    assert log.commit([fact(0)], at=0.0) == before + 1
    log.close()
    assert flaws(tmp_path) == []
    paths[1].unlink()
    assert flaws(tmp_path)[0][0] == "missing"


def test_two_writers_are_one_too_many(state: Path) -> None:
    log = sealed_log(state)
    log.open()
    with pytest.raises(EnvironmentFault, match="another process"):
        sealed_log(state).open()
    log.close()


def test_rotation_keeps_everything_readable(state: Path) -> None:
    keys = log_keys(state)
    first = keys.current("acme").id
    assert keys.rotate("acme") != first
    old_master = (state / "keys" / "log" / "master.key").read_bytes()
    assert run(["log", "rotate", "--state", str(state)]) == 0
    assert (state / "keys" / "log" / "master.key").read_bytes() != old_master
    log = sealed_log(state)
    log.commit([fact(12)], at=3.0)
    log.close()
    numbers = [(one.facts or {})["number"] for one in existing_log(state).read()]
    assert numbers == list(range(13))
    assert flaws(state) == []


def test_a_rotation_that_was_killed_is_finished_by_the_next(state: Path) -> None:
    from hauberk.access.envelope import new_key

    folder = state / "keys" / "log"
    (folder / "master.next").write_bytes(new_key())
    (folder / "master.next").chmod(0o600)
    log_keys(state).rotate_master()
    assert all(one.facts for one in existing_log(state).read())


def test_an_erased_tenant_is_unreadable_for_good_and_the_chain_stands(state: Path) -> None:
    log = sealed_log(state)
    log.commit([fact(12, "beta")], at=3.0)
    assert run(["log", "erase", "beta", "--yes", "--state", str(state)]) == 0
    log.commit([fact(13, "beta")], at=4.0)  # the writer that knew the old key makes another
    log.close()
    opened = {one.n: one.facts for one in existing_log(state).read()}
    assert [n for n, facts in opened.items() if facts is None] == [2, 4, 6, 8, 10, 12, 13]
    assert (opened[14] or {})["number"] == 13
    assert flaws(state) == []
    with pytest.raises(UserError):
        log_keys(state).erase("nobody")


def test_show_opens_entries_of_one_principal(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["log", "show", "--state", str(state), "--tenant", "beta", "--format", "json"]) == 0
    shown = capsys.readouterr().out
    assert shown.count('"beta"') == 6
    assert "acme" not in shown
    assert run(["log", "show", "--state", str(state), "--principal", "eve"]) == 0
    assert "ann" not in capsys.readouterr().out


WRITER = """
import sys
from pathlib import Path
from hauberk.adapters.local.log_home import sealed_log
log, n = sealed_log(Path(sys.argv[1])), 0
while True:
    count = log.commit([("acme", b'{"n":%d}' % (n + i)) for i in range(20)], at=0.0)
    n += 20
    print(count, flush=True)
"""


def test_a_killed_writer_loses_at_most_the_group_it_was_writing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(5)]
            time.sleep(0.03)
            os.kill(process.pid, signal.SIGKILL)
            told += [int(line) for line in process.stdout.read().split("\n")[:-1] if line]
        log = sealed_log(tmp_path)
        count = log.open()
        log.close()
        assert count in (told[-1], told[-1] + 20)
        assert flaws(tmp_path) == []
