"""Join: the two events of one request, in whichever order they come, each counted once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Part = Literal["request", "response"]
_REMEMBERED = 65536


class Event(NamedTuple):
    """One logged payload: the id that both parts share, which part, and the body as it came."""

    id: str
    part: Part
    source: str
    head_length: int | None
    body: bytes


class Pair(NamedTuple):
    """The request and the response of one id."""

    request: Event
    response: Event


@dataclass
class Joiner:
    """Holds parts until their counterparts come, at most ``limit`` of them, for ``patience`` s.

    What comes again is passed over, so long as its id is among the last 65 536. ``lost`` counts the
    parts whose counterpart never came.
    """

    limit: int = 4096
    limit_bytes: int = 256 * 2**20
    patience: float = 60.0
    lost: int = 0
    repeated: int = 0
    _waiting: OrderedDict[str, tuple[float, Event]] = field(default_factory=OrderedDict)
    _seen: OrderedDict[tuple[str, Part], None] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, event: Event, *, at: float) -> Pair | None:
        """Take a part; the pair if it is now whole."""
        self._forget(at)
        key = (event.id, event.part)
        if key in self._seen:
            self.repeated += 1
            return None
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        held = self._waiting.pop(event.id, None)
        if held is None:
            self._waiting[event.id] = (at, event)
            self._bytes += len(event.body)
            self._forget(at)
            return None
        other = held[1]
        self._bytes -= len(other.body)
        return Pair(event, other) if event.part == "request" else Pair(other, event)

    def _forget(self, at: float) -> None:
        while self._waiting:
            since, event = next(iter(self._waiting.values()))
            full = len(self._waiting) > self.limit or self._bytes > self.limit_bytes
            if not full and at - since < self.patience:
                return
            self._waiting.popitem(last=False)
            self._bytes -= len(event.body)
            self.lost += 1
