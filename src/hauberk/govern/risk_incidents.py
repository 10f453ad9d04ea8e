"""Incident records from the ledger: when each began, what was done, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hauberk.govern.story import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.core.ports import Entry

HEAD = ("incident", "began", "lasted", "state", "people", "steps")
_ENDS = ("closed", "dismissed", "halted", "rolled back")


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One incident; ``began`` and ``ended`` in seconds since the epoch, None while it is open."""

    id: str
    began: float
    ended: float | None
    state: str
    people: tuple[str, ...]
    steps: tuple[tuple[float, str], ...]

    @property
    def cells(self) -> list[str]:
        """The cells of a row, in the order of ``HEAD``."""
        began = datetime.fromtimestamp(self.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lasted = "still open" if self.ended is None else seconds(self.ended - self.began)
        steps = "; ".join(f"+{at - self.began:.3g} s {text}" for at, text in self.steps)
        return [self.id, began, lasted, self.state, ", ".join(self.people) or "nobody", steps]


def incidents(entries: Iterable[Entry]) -> tuple[Incident, ...]:
    """Every incident that the ledger tells of, in order.

    An entry belongs to the incident that it is about, or that its body names.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        named = entry.subject if entry.kind == "incident" else entry.body.get("incident")
        if isinstance(named, str) and named:
            groups.setdefault(named, []).append(entry)
    return tuple(
        _incident(name, group)
        for name, group in groups.items()
        if any(entry.kind == "incident" for entry in group)
    )


def _incident(name: str, group: list[Entry]) -> Incident:
    notes = [entry for entry in group if entry.kind == "incident"]
    state = next((_state(one) for one in reversed(notes) if _state(one)), "open")
    over = any(word in state for word in _ENDS)
    people = [str(one.body["by"]) for one in notes if one.body.get("by")]
    return Incident(
        id=name,
        began=group[0].at,
        ended=notes[-1].at if over else None,
        state=state,
        people=tuple(dict.fromkeys(people)),
        steps=tuple((one.at, _step(one)) for one in group),
    )


def _state(entry: Entry) -> str:
    return str(entry.body.get("state") or entry.body.get("outcome") or "")


def _step(entry: Entry) -> str:
    told = [_state(entry), str(entry.body.get("rule") or ""), str(entry.body.get("reason") or "")]
    return ": ".join([entry.kind, *filter(None, told)])[:300]
