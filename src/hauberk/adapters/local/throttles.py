"""Throttles: clients that get less for a while, told why; a watch writes them, gateways read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import locked, make_folder, read_file, write_file
from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST, _MOST = 4 * 2**20, 10_000
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
            held = {(one.tenant, one.principal): one for one in self.read() if one.until > at}
            held[tenant, principal] = Held(
                tenant=tenant, principal=principal, until=at + SECONDS, why=why[:500]
            )
            kept = sorted(held.values(), key=lambda one: one.until)[-_MOST:]
            write_file(self.folder / "throttles.json", msgspec.json.encode(kept))

    def read(self) -> list[Held]:
        """Who is or was held.

        Raises:
            DataError: if the file is damaged.
        """
        data = read_file(self.folder / "throttles.json", limit=_LARGEST)
        return parse(data) if data else []


def parse(data: bytes) -> list[Held]:
    """The clients of a file's content.

    Raises:
        DataError: if it is damaged.
    """
    try:
        return msgspec.json.decode(data, type=list[Held])
    except (msgspec.DecodeError, RecursionError):
        raise DataError("damaged", where="throttles.json") from None
