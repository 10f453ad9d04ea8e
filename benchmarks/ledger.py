"""The ledger at a million entries: appends, verification, proofs. ``make bench-ledger``.

Rows are made as :meth:`SqliteLedger.append` makes them, but in one transaction, since a million
durable appends would measure the disk.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from hauberk.adapters.local.ledger import SqliteLedger
from hauberk.adapters.sql.ledger import Growth
from hauberk.adapters.sql.ledger_rows import COLUMNS, body_text, entry_of, new_row
from hauberk.govern import merkle

RESULTS = Path(__file__).parent / "results" / "ledger.json"
_CHUNK = 50_000


def fill(path: Path, size: int) -> SqliteLedger:
    ledger = SqliteLedger(path)
    head, grown = None, Growth()
    for start in range(0, size, _CHUNK):
        rows = []
        for n in range(start, min(size, start + _CHUNK)):
            body = {"rule": "HB-E001", "value": n / size, "message": "measured"}
            row = new_row(head, "evidence", f"subject-{n}", body_text("evidence", "s", body, ""), n)
            head = entry_of(row)
            grown.add(bytes.fromhex(row[6][7:]))
            rows.append((*row, None))
        made, first = grown.take()
        with ledger._database.write() as connection:  # noqa: SLF001 - bulk rows
            connection.executemany(
                f"INSERT INTO ledger ({COLUMNS}, once) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            connection.executemany("INSERT INTO tree VALUES (?, ?)", enumerate(made, first))
    return ledger


def seconds(action: object, times: int = 1) -> float:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()  # type: ignore[operator]
        found.append(time.perf_counter() - began)
    return median(found)


def main(size: int = 1_000_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = fill(Path(folder) / "ledger.db", size)
        proof = ledger.inclusion(size // 3, size)
        busy = time.process_time()
        ledger.verify()
        busy = time.process_time() - busy
        result = {
            "entries": size,
            "verify_cpu_seconds": busy,
            "verify_seconds": seconds(ledger.verify),
            "inclusion_ms": 1e3 * seconds(lambda: ledger.inclusion(size // 3, size), 50),
            "inclusion_digests": len(proof),
            "consistency_ms": 1e3 * seconds(lambda: ledger.consistency(size // 2, size), 50),
            "root_ms": 1e3 * seconds(ledger.head, 3),
            "append_ms": 1e3
            * seconds(lambda: ledger.append("evidence", "s", {"n": 1}, at=0.0), 30),
            "tree_rows": merkle.count(size),
        }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
