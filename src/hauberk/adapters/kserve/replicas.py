"""Several gateways of one service: what each has in force, and what each told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from hauberk.adapters.local.files import read_file, write_file
from hauberk.adapters.local.records import RecordLog
from hauberk.core.ports import Routing

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.core.record import Record

FOLDER = "replicas"
"""In a state directory: a folder for each gateway, by the name of its pod."""
_MAX_FILE = 1 << 16
_BATCH = 4096


def share_of(routing: Routing, digest: str) -> Routing:
    """A routing as the gateway of a revision carries it out where the cluster splits the traffic.

    A gateway of the candidate's revision answers all it gets with the candidate; the others
    answer as if there were none. So whichever gateway a request reaches, the share is the one
    that the cluster gives the revision.
    """
    if digest == routing.canary:
        return replace(routing, canary_share=1.0)
    return replace(routing, canary=None, canary_share=0.0)


def behind(home: Path, pods: list[dict[str, Any]], routing: Routing) -> list[str]:
    """The names of running pods whose gateway has another routing in force."""
    late = []
    for pod in pods:
        name = pod["metadata"]["name"]
        conditions = (pod.get("status") or {}).get("conditions") or ()
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        if ready and not _taken(home / FOLDER / name / "routing.json", routing):
            late.append(name)
    return sorted(late)


def _taken(path: Path, routing: Routing) -> bool:
    try:
        data = read_file(path, limit=_MAX_FILE)
        found = msgspec.json.decode(data or b"", type=Routing)
    except msgspec.DecodeError:
        return False
    return share_of(found, "") == share_of(routing, "")


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """How far the gateways' logs were read when record ``last`` of ours was written."""

    last: int = 0
    read: dict[str, int] = {}


@dataclass
class GatheredRecords:
    """A :class:`hauberk.core.ports.RecordSource` over the logs of all gateways of a service.

    What they tell is numbered anew and kept in the service's own log, in the order in which it is
    found. A death between the two writes of a round costs that the round's records are gathered
    twice; none is lost.
    """

    home: Path
    own: RecordLog
    _logs: dict[str, RecordLog] = field(default_factory=dict, init=False)
    _place: _Place | None = field(default=None, init=False)

    def read(self, after: int, limit: int) -> list[Record]:
        """Gather what is new, then read on."""
        self._gather()
        return self.own.read(after, limit)

    def _gather(self) -> None:
        folder = self.home / FOLDER
        if not folder.is_dir():
            return
        place = self._place = self._place or self._kept()
        read, last = dict(place.read), max(place.last, self.own.last_seq())
        fresh: list[Record] = []
        for name in sorted(path.name for path in folder.iterdir()):
            log = self._logs.setdefault(name, RecordLog(folder / name / "records"))
            for record in log.read(read.get(name, 0), _BATCH):
                read[name], last = record.seq, last + 1
                fresh.append(replace(record, seq=last))
        if fresh:
            self.own.append(fresh)
            self._place = _Place(last=last, read=read)
            write_file(self._file, msgspec.json.encode(self._place))

    @property
    def _file(self) -> Path:
        return self.home / "gathered.json"

    def _kept(self) -> _Place:
        data = read_file(self._file, limit=1 << 20)
        try:
            return msgspec.json.decode(data, type=_Place) if data else _Place()
        except msgspec.DecodeError:
            return _Place()
