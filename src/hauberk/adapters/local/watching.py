"""Watching a state directory: its pair, its records, and where a watch left off."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import read_file, write_file
from hauberk.core.errors import ConfigError, DataError, HauberkError
from hauberk.core.ports import Routing
from hauberk.core.record import Record
from hauberk.guard.calibration import Calibration
from hauberk.guard.gauge import Gauge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hauberk.adapters.local.home import Home
    from hauberk.monitor.station import Station

_LARGEST = 64 * 2**20
_DECODER = msgspec.json.Decoder(Record)


@dataclass(frozen=True)
class Watched:
    """What a service runs now: its routing and the calibration of its pair."""

    routing: Routing
    calibration: Calibration
    gauge: Gauge | None


def watched(home: Home) -> Watched:
    """The pair in force in a state directory.

    Raises:
        ConfigError: if there is none, or none was calibrated.
    """
    data = read_file(home.folder / "routing.json", limit=1 << 20)
    try:
        routing = msgspec.json.decode(data or b"", type=Routing)
    except msgspec.DecodeError:
        raise ConfigError("no model is in service", where=str(home.folder)) from None
    if routing.calibration is None:
        raise ConfigError(
            "the pair in service is not calibrated",
            where=str(home.folder),
            hint="a service without a twin cannot be watched",
        )
    calibration = Calibration.from_bytes(home.store.get(routing.calibration))
    gauge = Gauge.from_bytes(home.store.get(calibration.gauge)) if calibration.gauge else None
    return Watched(routing, calibration, gauge)


def lines(path: Path) -> Iterator[Record]:
    """Records of a file of JSON lines, or of a folder of such files in the order of their names.

    Raises:
        ConfigError: if there is none.
        DataError: naming the line that is no record.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise ConfigError("no log of records", where=str(path))
    decode = _DECODER.decode
    for file in files:
        with file.open("rb", buffering=1 << 20) as opened:
            for number, line in enumerate(opened, start=1):
                if not line.endswith(b"\n") and file == files[-1]:
                    return  # torn, or still being written
                try:
                    yield decode(line)
                except (msgspec.DecodeError, RecursionError):
                    raise DataError("not a record", where=f"{file}, line {number}") from None


def batches(records: Iterator[Record], size: int) -> Iterator[list[Record]]:
    """Records in lists of ``size``."""
    while batch := list(islice(records, size)):
        yield batch


def save(path: Path, key: str, station: Station) -> None:
    """Keep a station's state for the next start, or for another replica; whole or not at all."""
    write_file(path, msgspec.msgpack.encode({"key": key, "state": station.state()}))


def resume(path: Path, key: str, station: Station) -> bool:
    """Go on from what was kept for the same pair; whether there was anything to go on from."""
    try:
        data = read_file(path, limit=_LARGEST)
        kept = msgspec.msgpack.decode(data) if data else {}
        if not isinstance(kept, dict) or kept.get("key") != key:
            return False
        station.restore(kept["state"])
    except (msgspec.DecodeError, HauberkError, KeyError, RecursionError):
        return False
    return True
