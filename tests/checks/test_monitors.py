"""The shipped monitors pass the suite that every monitor must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hauberk.core.registry import BUILT_IN, find
from hauberk.monitor import likeness
from hauberk.monitor.accuracy import AccuracyMonitor
from hauberk.monitor.agreement import AgreementMonitor
from hauberk.monitor.budget import Budget, BudgetMonitor
from hauberk.monitor.campaign import CampaignMonitor
from hauberk.monitor.drift import DriftMonitor
from hauberk.monitor.faults import FaultMonitor
from hauberk.monitor.gauge import GaugeMonitor
from hauberk.monitor.labels import LabelShiftMonitor
from hauberk.monitor.membership import MembershipMonitor
from hauberk.monitor.run_length import RunLengthMonitor
from hauberk.monitor.suspicion import SuspicionMonitor
from hauberk.monitor.trained import Trained
from hauberk.testing.monitor_checks import DIGEST, monitor_checks, toy_calibration, toy_gauge

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.evidence import Evidence
    from hauberk.core.record import Record
    from hauberk.monitor.block import Block
    from hauberk.monitor.fold import Monitor, State
    from hauberk.testing.monitor_checks import MonitorCheck

CALIBRATION = toy_calibration()
TRAINED = Trained(likeness.of_numbers([7, 1 << 90]))
MONITORS: dict[str, Callable[[], Monitor]] = {
    "suspicion": lambda: SuspicionMonitor(calibration=CALIBRATION),
    "suspicion without a calibration": SuspicionMonitor,
    "drift": lambda: DriftMonitor(calibration=CALIBRATION),
    "run length": lambda: RunLengthMonitor(calibration=CALIBRATION, run_length=50),
    "cusum per client": lambda: RunLengthMonitor(
        calibration=CALIBRATION, run_length=50, per="principal", test="cusum"
    ),
    "labels": lambda: LabelShiftMonitor(answers=np.array([90.0, 10.0])),
    "faults": lambda: FaultMonitor(calibration=CALIBRATION),
    "gauge": lambda: GaugeMonitor(gauge=toy_gauge(), calibration=CALIBRATION, limit=0.9),
    "campaign": CampaignMonitor,
    "budget": lambda: BudgetMonitor(budget=Budget(digest=DIGEST, queries=40)),
    "membership": lambda: MembershipMonitor(trained=TRAINED, run_length=50),
    "agreement": lambda: AgreementMonitor(digest=DIGEST, routes=("primary",)),
    "accuracy": lambda: AccuracyMonitor(base_error=0.05),
}


@pytest.mark.parametrize("check", monitor_checks().values(), ids=monitor_checks())
@pytest.mark.parametrize("make", MONITORS.values(), ids=MONITORS)
def test_monitor(check: MonitorCheck, make: Callable[[], Monitor]) -> None:
    check(make)


def test_every_registered_monitor_is_checked() -> None:
    made = {type(make()) for make in MONITORS.values()}
    assert {find("monitor", name) for name in BUILT_IN["monitor"]} == made


class _Careless(SuspicionMonitor):
    """A monitor with one fault at a time, to see the suite turn red."""

    fault = ""

    def update(self, record: Record, /) -> Evidence | None:
        if self.fault == "seen-is-seen":
            self._last = -1
        if self.fault == "tolerates-none" and record.p_benign is None:
            record = _filled(record)
        if self.fault == "bounded":
            self._clients.capacity = 10**9
        return super().update(record)

    def skip(self, block: Block, start: int, end: int, /) -> int:
        if self.fault == "blocks-are-the-same":
            self._last = block.seq[end - 1]
            return end
        return super().skip(block, start, end)

    def state(self) -> State:
        state = super().state()
        if self.fault == "resumes":
            state["service"] = [None if v is None else round(v, 1) for v in state["service"]]
        if self.fault == "state-is-json":
            state["last"] = (state["last"],)
        return state

    def restore(self, state: State, /) -> None:  # type: ignore[override]
        if self.fault == "refuses-a-damaged-state":
            self.reset()
        super().restore(state)


def _filled(record: Record) -> Record:
    if not record.p_benign:
        raise TypeError("no p-value")
    return record


@pytest.mark.parametrize(
    "fault",
    [
        "resumes",
        "state-is-json",
        "seen-is-seen",
        "tolerates-none",
        "refuses-a-damaged-state",
        "blocks-are-the-same",
    ],
)
def test_the_suite_sees_a_fault(fault: str) -> None:
    kind = type("Faulty", (_Careless,), {"fault": fault})
    with pytest.raises((AssertionError, TypeError)):
        monitor_checks()[fault](kind)


def test_the_suite_sees_unbounded_memory() -> None:
    kind = type("Faulty", (_Careless,), {"fault": "bounded"})
    with pytest.raises(AssertionError, match="grown"):
        monitor_checks()["bounded"](kind)
