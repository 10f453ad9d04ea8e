"""What every store, ledger, journal and source of records must hold; for authors of adapters too.

Each suite maps a name to a check; a check takes a function that opens the same thing again at each
call, as a second process would, and raises AssertionError where the thing falls short::

    @pytest.mark.parametrize("check", store_checks().values(), ids=store_checks())
    def test_my_store(check, tmp_path):
        check(lambda: MyStore(tmp_path))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from hauberk.core.digest import digest_bytes, digest_json
from hauberk.core.errors import HauberkError, UserError
from hauberk.core.ports import Entry, Journal, Ledger, RecordSource, Store
from hauberk.core.record import Record

StoreCheck = Callable[[Callable[[], Store]], None]
LedgerCheck = Callable[[Callable[[], Ledger]], None]
JournalCheck = Callable[[Callable[[], Journal]], None]
SourceCheck = Callable[[Callable[[Sequence[Record]], RecordSource]], None]


def store_checks() -> dict[str, StoreCheck]:
    """The checks of a :class:`hauberk.core.ports.Store`; each wants an empty one."""
    return {
        "gives-back": _store_gives_back,
        "put-twice-is-once": _store_put_twice,
        "keeps-files": _store_files,
        "unknown-is-an-error": _store_unknown,
        "concurrent-puts": _store_concurrent,
    }


def ledger_checks() -> dict[str, LedgerCheck]:
    """The checks of a :class:`hauberk.core.ports.Ledger`; each wants an empty one."""
    return {
        "chains": _ledger_chains,
        "filters": _ledger_filters,
        "key-is-once": _ledger_key,
        "refuses-what-is-not-json": _ledger_bad_body,
        "concurrent-appends": _ledger_concurrent,
    }


def journal_checks() -> dict[str, JournalCheck]:
    """The checks of a :class:`hauberk.core.ports.Journal`; each wants an empty one."""
    return {"keeps-turns": _journal_turns, "keeps-one-snapshot": _journal_snapshot}


def source_checks() -> dict[str, SourceCheck]:
    """The checks of a :class:`hauberk.core.ports.RecordSource`, made from given records."""
    return {"reads-on": _source_reads_on, "empty": _source_empty}


def make_record(seq: int) -> Record:
    """A plausible record with that number."""
    return Record(
        id=f"r{seq}",
        seq=seq,
        at=1000.0 + seq,
        principal="ann",
        digest=digest_bytes(b"model"),
        route="primary",
        outcome="pass",
        label=seq % 10,
        p_value=1 / (seq + 1),
        features=(0.5, float(seq)),
    )


def _expect(*, holds: bool, that: str) -> None:
    if not holds:
        raise AssertionError(that)


def _refuses(action: Callable[[], object], kind: type[HauberkError], that: str) -> None:
    try:
        action()
    except kind:
        return
    raise AssertionError(that)


def _store_gives_back(make: Callable[[], Store]) -> None:
    for data in (b"", b"\x00", bytes(range(256)) * 5000):
        digest = make().put(data)
        _expect(holds=digest == digest_bytes(data), that="a blob is known by its SHA-256")
        _expect(holds=digest in make(), that="a blob that was put is there")
        _expect(holds=make().get(digest) == data, that="get gives the bytes that were put")
        _expect(holds=make().path(digest).read_bytes() == data, that="path holds the bytes")


def _store_put_twice(make: Callable[[], Store]) -> None:
    store = make()
    first = store.put(b"once")
    _expect(holds=store.put(b"once") == first == make().put(b"once"), that="put twice is put once")
    _expect(holds=make().get(first) == b"once", that="put twice keeps the bytes")


def _store_files(make: Callable[[], Store]) -> None:
    store = make()
    source = store.path(store.put(b"from a file"))
    _expect(
        holds=make().put_file(source) == digest_bytes(b"from a file"),
        that="put_file has the digest of the content",
    )
    _refuses(lambda: store.put_file(source.with_name("absent")), UserError, "put_file wants a file")


def _store_unknown(make: Callable[[], Store]) -> None:
    digest = digest_bytes(b"never put")
    _expect(holds=digest not in make(), that="a blob that was never put is not there")
    _refuses(lambda: make().path(digest), UserError, "path of an unknown digest is an error")
    _refuses(lambda: make().get(digest), UserError, "get of an unknown digest is an error")
    for text in ("", "sha256:", "../../etc/passwd", "sha256:" + "A" * 64, "sha256:../" + "a" * 61):
        _refuses(lambda text=text: make().path(text), UserError, f"{text!r} is no digest")  # type: ignore[misc]


def _store_concurrent(make: Callable[[], Store]) -> None:
    data = b"same" * 10000
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda _: make().put(data), range(16)))
    _expect(holds=digests == {digest_bytes(data)}, that="concurrent puts agree")
    _expect(holds=make().get(digest_bytes(data)) == data, that="concurrent puts keep the bytes")


def _ledger_chains(make: Callable[[], Ledger]) -> None:
    ledger = make()
    _expect(holds=ledger.verify() == 0 and ledger.entries() == [], that="a new ledger is empty")
    bodies: list[dict[str, Any]] = [{}, {"b": 1, "a": [1.5, None, "é\n"]}, {"nested": {"10": 2}}]
    written = [ledger.append("evidence", "s", body, at=1.5 * n) for n, body in enumerate(bodies)]
    read = make().entries()
    _expect(holds=read == written, that="entries are read as they were written")
    _expect(holds=[e.body for e in read] == bodies, that="bodies are kept")
    _expect(holds=[e.index for e in read] == [0, 1, 2], that="entries are numbered from 0")
    for before, entry in pairwise(read):
        _expect(holds=entry.previous == before.digest, that="an entry names the one before it")
    _expect(
        holds=all(entry.digest == _digest(entry) for entry in read),
        that="a digest covers the other fields as canonical JSON",
    )
    _expect(holds=make().verify() == 3, that="verify gives the length")


def _ledger_filters(make: Callable[[], Ledger]) -> None:
    ledger = make()
    for kind, subject in (("model", "a"), ("evidence", "a"), ("model", "b")):
        ledger.append(kind, subject, {}, at=0.0)  # type: ignore[arg-type]  # all are kinds
    found = {
        (kind, subject): len(ledger.entries(kind=kind, subject=subject))
        for kind in ("model", "evidence", "revocation", None)
        for subject in ("a", "c", None)
    }
    _expect(
        holds=found
        == {
            ("model", "a"): 1,
            ("model", "c"): 0,
            ("model", None): 2,
            ("evidence", "a"): 1,
            ("evidence", "c"): 0,
            ("evidence", None): 1,
            ("revocation", "a"): 0,
            ("revocation", "c"): 0,
            ("revocation", None): 0,
            (None, "a"): 2,
            (None, "c"): 0,
            (None, None): 3,
        },
        that="entries are filtered by kind, by subject and by both",
    )


def _ledger_key(make: Callable[[], Ledger]) -> None:
    first = make().append("incident", "i", {"n": 1}, at=1.0, key="k")
    again = make().append("incident", "i", {"n": 2}, at=2.0, key="k")
    _expect(holds=again == first, that="a key that was used gives its entry")
    make().append("incident", "i", {"n": 3}, at=3.0)
    make().append("incident", "i", {"n": 3}, at=3.0)
    _expect(holds=make().verify() == 3, that="without a key each append counts")


def _ledger_bad_body(make: Callable[[], Ledger]) -> None:
    ledger = make()
    bad: tuple[dict[str, Any], ...] = (
        {"x": float("nan")},
        {"x": float("inf")},
        {"x": object()},
        {"x": b"bytes"},
        {"x": "\ud800"},
        {"x": "x" * (2 << 20)},
    )
    for body in bad:
        _refuses(
            lambda body=body: ledger.append("evidence", "s", body, at=0.0),  # type: ignore[misc]
            UserError,
            f"{str(body)[:40]} is no body",
        )
    _refuses(lambda: ledger.append("evidence", "", {}, at=0.0), UserError, "a subject is not empty")
    _refuses(
        lambda: ledger.append("evidence", "s", {}, at=float("nan")), UserError, "NaN is no time"
    )
    _expect(holds=ledger.verify() == 0, that="what was refused leaves nothing")


def _ledger_concurrent(make: Callable[[], Ledger]) -> None:
    def write(writer: int) -> None:
        ledger = make()
        for n in range(5):
            ledger.append("evidence", f"w{writer}", {"n": n}, at=0.0)
            ledger.append("incident", "shared", {"writer": writer}, at=0.0, key=f"turn-{n}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    ledger = make()
    _expect(holds=ledger.verify() == 8 * 5 + 5, that="no entry is lost, none doubled")
    for writer in range(8):
        own = [entry.body["n"] for entry in ledger.entries(subject=f"w{writer}")]
        _expect(holds=own == list(range(5)), that="each writer's entries are in its order")


def _journal_turns(make: Callable[[], Journal]) -> None:
    _expect(holds=make().read("a") == [], that="a new journal is empty")
    turns = [b"one", b"", bytes(range(256))]
    numbers = [make().write("a", turn, at=float(n)) for n, turn in enumerate(turns)]
    _expect(holds=numbers == [0, 1, 2], that="turns are numbered from 0")
    _expect(holds=make().write("b", b"other", at=0.0) == 0, that="each service has its own turns")
    _expect(holds=make().read("a") == turns, that="turns are read as written, in order")


def _journal_snapshot(make: Callable[[], Journal]) -> None:
    _expect(holds=make().saved("a") is None, that="there is no snapshot at first")
    for snapshot in (b"first", b"\x00" * 100000, b""):
        make().save("a", snapshot)
        _expect(holds=make().saved("a") == snapshot, that="the last snapshot counts")
    _expect(holds=make().saved("b") is None, that="each service has its own snapshot")
    _expect(holds=make().read("a") == [], that="a snapshot is no turn")


def _source_reads_on(make: Callable[[Sequence[Record]], RecordSource]) -> None:
    # Gaps in the numbers are lawful: a full queue drops records.
    records = [make_record(seq) for seq in (*range(1, 40), *range(60, 80))]
    source = make(records)
    found: list[Record] = []
    while batch := source.read(found[-1].seq if found else 0, 7):
        _expect(holds=len(batch) <= 7, that="no more than the limit")
        found += batch
    _expect(holds=found == records, that="reading on gives each record once, in order")
    for after in (45, 0, 70, 39, 79, 1000):
        wanted = [record for record in records if record.seq > after][:5]
        _expect(holds=source.read(after, 5) == wanted, that=f"read(after={after})")


def _source_empty(make: Callable[[Sequence[Record]], RecordSource]) -> None:
    _expect(holds=make([]).read(0, 10) == [], that="no records, none read")


def _digest(entry: Entry) -> str:
    return digest_json(
        {
            "index": entry.index,
            "at": entry.at,
            "kind": entry.kind,
            "subject": entry.subject,
            "body": entry.body,
            "previous": entry.previous,
        }
    )
