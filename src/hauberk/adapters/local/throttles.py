"""Throttles: clients that get less for a while, told why; a watch writes them, gateways read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import locked, make_folder, read_file, write_file
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.ports import GuardState

_LARGEST, _MOST, _CELL = 4 * 2**20, 10_000, "throttles"
SECONDS = 600.0
"""How long a client is held, from the newest finding on."""
ROWS = 0.5
"""Rows a second that a held client gets."""


class Held(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One client; ``until`` in seconds since the epoch."""

    tenant: str
    principal: str
    until: float
    why: str = ""


@dataclass(frozen=True)
class Throttles:
    """``throttles.json`` of a state directory."""

    folder: Path

    def hold(self, tenant: str, principal: str, why: str, *, at: float) -> None:
        """Hold a client until ``SECONDS`` after ``at``; beyond 10 000 the soonest over go.

        Raises:
            EnvironmentFault: if the disk is full.
        """
        make_folder(self.folder)
        with locked(self.folder / ".throttles.lock"):
            one = Held(tenant=tenant, principal=principal, until=at + SECONDS, why=why[:500])
            write_file(self.folder / "throttles.json", _with(self.read(), one, at))

    def read(self) -> list[Held]:
        """Who is or was held.

        Raises:
            DataError: if the file is damaged.
        """
        data = read_file(self.folder / "throttles.json", limit=_LARGEST)
        return parse(data) if data else []


@dataclass(frozen=True)
class SharedThrottles:
    """The same in a cell of what gateways share, for all of them at once."""

    state: GuardState

    def hold(self, tenant: str, principal: str, why: str, *, at: float) -> None:
        """As :meth:`Throttles.hold`.

        Raises:
            EnvironmentFault: if the shared state cannot be had.
        """
        one = Held(tenant=tenant, principal=principal, until=at + SECONDS, why=why[:500])
        while True:
            cell = self.state.cell(_CELL)
            held = parse(cell.data) if cell.data else []
            if self.state.put(_CELL, _with(held, one, at), over=cell.version) is not None:
                return

    def read(self) -> list[Held]:
        """Who is or was held.

        Raises:
            DataError: if the cell is damaged.
            EnvironmentFault: if the shared state cannot be had.
        """
        data = self.state.cell(_CELL).data
        return parse(data) if data else []


def _with(held: list[Held], new: Held, at: float) -> bytes:
    every = {(one.tenant, one.principal): one for one in held if one.until > at}
    every[new.tenant, new.principal] = new
    kept = sorted(every.values(), key=lambda one: one.until)[-_MOST:]
    return msgspec.json.encode(kept)


def parse(data: bytes) -> list[Held]:
    """The clients of a file's content.

    Raises:
        DataError: if it is damaged.
    """
    try:
        return msgspec.json.decode(data, type=list[Held])
    except (msgspec.DecodeError, RecursionError):
        raise DataError("damaged", where="throttles.json") from None
