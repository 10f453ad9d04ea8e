"""Station: all monitors of one pair of models over one stream, as one fold."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hauberk.core.digest import canonical_json
from hauberk.core.errors import DataError
from hauberk.monitor.block import Block, Reader
from hauberk.monitor.campaign import CampaignMonitor
from hauberk.monitor.drift import DriftMonitor
from hauberk.monitor.faults import FaultMonitor
from hauberk.monitor.gauge import GaugeMonitor
from hauberk.monitor.labels import LabelShiftMonitor
from hauberk.monitor.run_length import RunLengthMonitor
from hauberk.monitor.suspicion import SuspicionMonitor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.guard.calibration import Calibration
    from hauberk.guard.gauge import Gauge
    from hauberk.monitor.fold import Monitor, State

MONITORS = (
    *("attack", "drift", "model", "tenant", "client", "faults", "campaign"),
    *("labels", "gauge", "membership", "budget"),
)
"""Names of monitors; the last four need what is not known of every pair."""
HELD = 100.0
"""How many times rarer than others' are the false alarms of what holds a client."""


def monitors(
    calibration: Calibration,
    *,
    gauge: Gauge | None = None,
    alpha: float = 0.01,
    run_length: float = 1e4,
    capacity: int = 1024,
    usual: Mapping[str, Mapping[str, float]] | None = None,
    repeats: float = 1.0,
    only: Iterable[str] = MONITORS,
) -> dict[str, Monitor]:
    """The monitors of a pair: the two that the loop acts on, the quick ones, and the rest.

    ``usual`` is what :func:`hauberk.monitor.campaign.bases` measured of each tenant: where nine in
    ten of a client's queries are like one before, ten count as one; else ``repeats`` do. Those of
    the budget and of membership are not among them: what they know is measured apart.
    """
    tenants = {name: 1.0 / (1.0 - bases["own"]) for name, bases in (usual or {}).items()}
    alike = {"calibration": calibration, "repeats": repeats, "tenants": tenants}
    quick = {**alike, "run_length": run_length, "capacity": capacity}
    made: dict[str, Monitor] = {
        "attack": SuspicionMonitor(alpha=alpha, **alike),  # type: ignore[arg-type]
        "drift": DriftMonitor(alpha=alpha, calibration=calibration),
        "model": RunLengthMonitor(per="model", **quick),  # type: ignore[arg-type]
        "tenant": RunLengthMonitor(per="tenant", **quick),  # type: ignore[arg-type]
        "client": RunLengthMonitor(per="principal", test="cusum", **quick),  # type: ignore[arg-type]
        "faults": FaultMonitor(calibration=calibration),
        "campaign": CampaignMonitor(run_length=HELD * run_length, tenants=usual or {}),
    }
    if calibration.answers is not None:
        made["labels"] = LabelShiftMonitor(answers=calibration.answers, alpha=alpha)
    if gauge is not None:
        made["gauge"] = GaugeMonitor(gauge=gauge, calibration=calibration)
    wanted = set(only)
    return {name: monitor for name, monitor in made.items() if name in wanted}


@dataclass(kw_only=True, eq=False)
class Station:
    """Folds records through ``monitors``; one that alarmed for good begins a new run at once.

    ``found`` counts evidence by rule; ``mark`` is a digest over all evidence in order, so two runs
    over the same stream can be told to be the same.
    """

    monitors: Mapping[str, Monitor]
    seq: int = -1
    records: int = 0
    found: dict[str, int] = field(default_factory=dict)
    _mark: str = field(init=False, default="")
    _readers: dict[str, Reader] = field(init=False, default_factory=dict, repr=False)

    @property
    def mark(self) -> str:
        """Digest of everything found so far, in order."""
        return f"sha256:{self._mark or hashlib.sha256().hexdigest()}"

    def fold(self, record: Record) -> list[Evidence]:
        """Take one record; what was found, in the order of the monitors."""
        if record.seq <= self.seq:
            return []
        self.seq = record.seq
        self.records += 1
        out = []
        for monitor in self.monitors.values():
            evidence = monitor.update(record)
            if evidence is not None:
                out.append(evidence)
                reset = getattr(monitor, "reset", None)
                if reset is not None:
                    reset()
        for evidence in out:
            self._note(evidence)
        return out

    def fold_all(self, records: Sequence[Record]) -> list[tuple[Record, Evidence]]:
        """Take many records: the same findings, in the same order, as one by one."""
        new, seq = [], self.seq
        for record in records:
            if record.seq > seq:
                new.append(record)
                seq = record.seq
        block, found = Block(new), []
        for place, (name, monitor) in enumerate(self.monitors.items()):
            reader = self._readers.get(name) or Reader(monitor)
            self._readers[name] = reader
            found += [(row, place, evidence) for row, evidence in reader.read(block)]
        self.seq, self.records = seq, self.records + len(new)
        found.sort(key=lambda one: one[:2])
        for _, _, evidence in found:
            self._note(evidence)
        return [(new[row], evidence) for row, _, evidence in found]

    def _note(self, evidence: Evidence) -> None:
        self.found[evidence.rule] = self.found.get(evidence.rule, 0) + 1
        said: list[Any] = [evidence.rule, evidence.message, dict(evidence.spec)]
        said += [evidence.value, evidence.limit]
        self._mark = hashlib.sha256(self._mark.encode() + canonical_json(said)).hexdigest()

    def state(self) -> State:
        """Everything learned so far, as JSON."""
        return {
            "seq": self.seq,
            "records": self.records,
            "found": dict(self.found),
            "mark": self._mark,
            "monitors": {name: dict(one.state()) for name, one in self.monitors.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same monitors; one that the state does not know begins there.

        Raises:
            DataError: if it is malformed or of others; what was restored by then stays.
        """
        try:
            known, seq, records = state["monitors"], state["seq"], state["records"]
            found, mark = dict(state["found"]), str(state["mark"])
            if not set(known) <= set(self.monitors) or type(seq) is not int:
                raise DataError("a state of other monitors", where="station")
            for name, state_of_one in known.items():
                self.monitors[name].restore(state_of_one)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"malformed: {error}", where="station") from None
        self.seq, self.records, self.found, self._mark = seq, int(records), found, mark
