"""The file in which a state directory keeps what a copy of its model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import read_file, write_file
from hauberk.core.errors import DataError
from hauberk.monitor.budget import Budget

if TYPE_CHECKING:
    from pathlib import Path

_FILE, _LARGEST = "budget.json", 1 << 16


def keep(folder: Path, budget: Budget) -> None:
    """Write what was measured where a watch finds it.

    Raises:
        EnvironmentFault: if the disk is full.
    """
    write_file(folder / _FILE, msgspec.json.encode(budget))


def kept(folder: Path, digest: str) -> Budget | None:
    """The budget of the model ``digest``; None where none was measured of it.

    Raises:
        DataError: if the file is damaged.
    """
    data = read_file(folder / _FILE, limit=_LARGEST)
    if data is None:
        return None
    try:
        budget = msgspec.json.decode(data, type=Budget)
    except (msgspec.DecodeError, RecursionError):
        raise DataError("damaged", where=_FILE, hint="`hauberk watch budget` makes it") from None
    return budget if budget.digest == digest else None
