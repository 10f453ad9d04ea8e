"""Alike: which tenants' requests show the same thing in a row, as frames of a video do."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from hauberk.core.interval import wilson
from hauberk.guard.fingerprint import BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hauberk.core.record import Record

MOST = 5000
"""Records that are enough to tell."""
_WINDOW, _RADIUS, _TENANTS, _CLIENTS = 8, 15, 64, 4096


class Alike(NamedTuple):
    """Of ``requests`` a ``share`` was like one shortly before by the same client."""

    share: float
    requests: int

    @property
    def repeats(self) -> float:
        """Requests in a row that show the same thing, on average."""
        return self.requests / max(1.0, self.requests * (1.0 - self.share))


def alike(records: Iterable[Record], *, least: float = 0.3) -> Mapping[str, Alike]:
    """Tenants of whose requests a share of ``least`` or more surely resembles earlier ones.

    The tests take such a stream for more evidence than it is, until ``detect.repeats`` or benign
    records say that it is usual. This is no answer to whether it is: a search for an adversarial
    input looks the same, so nothing is set by itself. At most 64 tenants and 4096 clients are told
    apart.
    """
    seen: dict[tuple[str, str], deque[int]] = {}
    counts: dict[str, list[int]] = {}
    for record in records:
        if len(record.fingerprint) != BITS // 4:
            continue
        try:
            mark = int(record.fingerprint, 16)
        except ValueError:
            continue
        if record.tenant not in counts and len(counts) >= _TENANTS:
            continue
        who = record.tenant, record.principal
        if who not in seen and len(seen) >= _CLIENTS:
            continue
        before = seen.setdefault(who, deque(maxlen=_WINDOW))
        count = counts.setdefault(record.tenant, [0, 0])
        count[0] += any((mark ^ one).bit_count() <= _RADIUS for one in before)
        count[1] += 1
        before.append(mark)
    return {
        tenant: Alike(like / n, n)
        for tenant, (like, n) in counts.items()
        if wilson(like, n, z=3.3)[0] >= least
    }
