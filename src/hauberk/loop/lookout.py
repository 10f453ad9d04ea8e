"""The monitors over the records of the pair in service, and the count of what is on trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.core.digest import digest_json
from hauberk.core.errors import DataError
from hauberk.loop.promotion import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.loop.actions import Watch
    from hauberk.loop.state import Served, State
    from hauberk.monitor.fold import Monitor


@dataclass(frozen=True, kw_only=True)
class Watchers:
    """How monitors are made: new ones for each pair that is put into service, and each count."""

    monitors: Callable[[Served], Sequence[Monitor]]
    tally: Callable[[Watch], Monitor]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The monitors' states after record ``seq``; ``carried`` is the last turn fully acted on."""

    key: str
    seq: int
    carried: int
    monitors: list[dict[str, Any]]
    tally: dict[str, Any] | None


class Lookout:
    """Folds records of the pair in service through its monitors, from ``seq`` on.

    Records of another pair, as those from before a promotion, are passed over; ``stranger`` is set
    where one says that a model answers that the state does not know.
    """

    def __init__(self, state: State, watchers: Watchers, *, seq: int) -> None:
        self.key, self.seq, self.stranger = key_of(state), seq, False
        self.pair = state.served
        twin_answers = state.routing.mode == "contained"
        self._route = "twin" if twin_answers else "primary"
        self._digest = self.pair.twin if twin_answers else self.pair.primary
        self._monitors = tuple(watchers.monitors(self.pair))
        task = watch_of(state)
        self._tally = watchers.tally(task) if task else None

    @property
    def blind(self) -> bool:
        """Whether nothing watches the pair."""
        return not self._monitors

    def fold(self, record: Record) -> tuple[list[Evidence], Evidence | None]:
        """Take one record; what the monitors found, and the count's result if it is complete."""
        self.seq = max(self.seq, record.seq)
        result = self._tally.update(record) if self._tally else None
        if record.route != self._route or record.digest != self._digest:
            self.stranger |= record.route == "primary" and record.digest != self.pair.primary
            return [], result
        found = [monitor.update(record) for monitor in self._monitors]
        return [evidence for evidence in found if evidence], result

    def snapshot(self, carried: int) -> bytes:
        """All of it as bytes; MessagePack, since it keeps infinities."""
        return msgspec.msgpack.encode(
            Snapshot(
                key=self.key,
                seq=self.seq,
                carried=carried,
                monitors=[dict(monitor.state()) for monitor in self._monitors],
                tally=dict(self._tally.state()) if self._tally else None,
            )
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of the same key.

        Raises:
            DataError: if it is of other monitors.
        """
        if len(snapshot.monitors) != len(self._monitors):
            raise DataError("the snapshot is of other monitors", where="lookout")
        for monitor, state in zip(self._monitors, snapshot.monitors, strict=True):
            monitor.restore(state)
        if self._tally and snapshot.tally is not None:
            self._tally.restore(snapshot.tally)
        self.seq = snapshot.seq


def read_snapshot(data: bytes | None) -> Snapshot | None:
    """A saved snapshot; None if there is none that can be read."""
    try:
        return msgspec.msgpack.decode(data, type=Snapshot) if data else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def watch_of(state: State) -> Watch | None:
    """What is on trial in this state."""
    if state.phase not in {"canary", "checking"} or not state.incident:
        return None
    return watch(state, state.incident.candidate) if state.incident.candidate else None


def key_of(state: State) -> str:
    """Changes with all that makes earlier records irrelevant: pair, mode, incident, trial."""
    return digest_json(
        [
            msgspec.to_builtins(state.served),
            state.routing.mode,
            state.incidents,
            state.incident is not None,
            msgspec.to_builtins(watch_of(state)),
        ]
    )
