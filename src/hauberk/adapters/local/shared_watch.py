"""Several watches of one service: one folds the records, the others stand by with what it learned.

What a watch learned is kept in one cell, with who holds it and until when. A save renews the hold.
Who finds it over takes the cell, and goes on from there; whoever held it before sees that at its
next save. So a finding may be told twice after a hold was lost, and none is missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.core.errors import DataError

if TYPE_CHECKING:
    from hauberk.core.ports import GuardState
    from hauberk.monitor.station import Station

_CELL = "watch"


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the cell holds; ``until`` in seconds since the epoch."""

    holder: str
    until: float
    key: str
    station: dict[str, Any]


@dataclass
class SharedWatch:
    """One of the watches, known as ``me``; a hold lasts ``seconds`` from the last save."""

    state: GuardState
    me: str
    seconds: float = 10.0
    _version: int | None = field(default=None, init=False)  # of the cell as we wrote it

    def holds(self, key: str, station: Station, *, at: float) -> bool:
        """Whether this watch folds now; if it just took over, the station goes on from the cell.

        Raises:
            EnvironmentFault: if the shared state cannot be had.
        """
        if self._version is not None:
            return True
        cell = self.state.cell(_CELL)
        kept = _read(cell.data)
        if kept and kept.holder != self.me and kept.until > at:
            return False
        if kept and kept.key == key:
            try:
                station.restore(kept.station)
            except DataError:
                kept = None  # of other monitors: the records are read anew
        return self._put(key, station, cell.version, at)

    def save(self, key: str, station: Station, *, at: float) -> bool:
        """Keep what was learned; False if another watch took over meanwhile.

        Raises:
            EnvironmentFault: if the shared state cannot be had.
        """
        return self._put(key, station, self._version, at) if self._version is not None else False

    def release(self, key: str, station: Station) -> None:
        """Keep what was learned, and let another take over at once."""
        if self._version is not None:
            self._put(key, station, self._version, -self.seconds)
        self._version = None

    def _put(self, key: str, station: Station, over: int | None, at: float) -> bool:
        kept = _Kept(holder=self.me, until=at + self.seconds, key=key, station=station.state())
        self._version = self.state.put(_CELL, msgspec.msgpack.encode(kept), over=over)
        return self._version is not None


def _read(data: bytes) -> _Kept | None:
    try:
        return msgspec.msgpack.decode(data, type=_Kept) if data else None
    except (msgspec.DecodeError, RecursionError):
        return None
