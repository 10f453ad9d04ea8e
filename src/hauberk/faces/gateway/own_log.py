"""A principal's own entries of the sealed log, and no others.

Reading opens every entry on its way, so one reader at a time goes through a bounded stretch, and
the answer says where to go on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hauberk.core.errors import HauberkError
from hauberk.faces.gateway.faults import BadRequest, NotNow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.access.principal import Principal
    from hauberk.adapters.local.sealed import Opened

_ENTRIES, _STRETCH = 100, 20_000


class SealReader(Protocol):
    """Entries of a sealed log: :class:`hauberk.adapters.local.sealed.SealedLog`."""

    def read(self, after: int = 0) -> Iterator[Opened]:
        """Entries after a number, opened."""


@dataclass
class OwnLog:
    """Reads a log for its principals; ``open`` opens it with the keys that are there now."""

    open: Callable[[], SealReader]
    _one: threading.Lock = field(default_factory=threading.Lock)

    def read(self, principal: Principal, query: str) -> dict[str, Any]:
        """Up to a hundred entries of the principal after ``after=N``, and where to go on.

        Raises:
            BadRequest: if the query is something else.
            NotNow: if somebody else reads, or the log cannot be read.
        """
        after = _after(query)
        if not self._one.acquire(blocking=False):
            raise NotNow("somebody else reads the log")
        try:
            return self._read(principal, after)
        except (HauberkError, OSError):
            raise NotNow("the log cannot be read now") from None
        finally:
            self._one.release()

    def _read(self, principal: Principal, after: int) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        last, whole = after, True
        for seen, one in enumerate(self.open().read(after), start=1):
            last = one.n
            mine = one.facts is not None and one.tenant == principal.tenant
            if mine and one.facts is not None and one.facts.get("principal") == principal.name:
                entries.append({"n": one.n, **one.facts})
            if len(entries) >= _ENTRIES or seen >= _STRETCH:
                whole = False
                break
        return {"entries": entries, "after": last, "end": whole}


def _after(query: str) -> int:
    name, _, value = query.partition("=")
    if not query:
        return 0
    if name != "after" or not (value.isascii() and value.isdecimal()) or len(value) > 18:
        raise BadRequest("the query may be after=NUMBER")
    return int(value)
