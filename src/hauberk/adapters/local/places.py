"""Where a state directory's ledger and blobs are: decided once, so that no command splits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import create_file, read_file
from hauberk.core.errors import ConfigError, Untrusted
from hauberk.core.spec import StateSpec

if TYPE_CHECKING:
    from pathlib import Path

FILE = "places.json"
_MAX = 1 << 14


def read_places(folder: Path) -> StateSpec:
    """What the directory remembers; without a file all is in it.

    Raises:
        Untrusted: if the file does not hold it.
    """
    data = read_file(folder / FILE, limit=_MAX)
    if data is None:
        return StateSpec()
    try:
        return msgspec.json.decode(data, type=StateSpec)
    except (msgspec.DecodeError, RecursionError):
        raise Untrusted("does not say where the ledger is", where=str(folder / FILE)) from None


def settle(folder: Path, wanted: StateSpec) -> None:
    """Remember where ledger and blobs are kept; what is not wanted elsewhere stays as it is.

    The file is as private as the key beside it, since a URL may hold a password.

    Raises:
        ConfigError: if the directory has them elsewhere.
    """
    if wanted == StateSpec():
        return
    if wanted.ledger and not (folder / FILE).exists() and (folder / "ledger.db").exists():
        raise ConfigError(
            "this directory has a ledger of its own",
            where=str(folder / "ledger.db"),
            hint="entries are not moved: begin a new state directory for the shared ledger",
        )
    create_file(folder / FILE, msgspec.json.encode(wanted))
    if read_places(folder) != wanted:
        raise ConfigError(
            "this directory keeps its ledger or its blobs elsewhere than [state] says",
            where=str(folder / FILE),
            hint="leave [state] out, or begin a new state directory",
        )
