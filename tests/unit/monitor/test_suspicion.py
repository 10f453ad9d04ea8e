from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import DataError, UserError
from hauberk.core.evidence import Evidence, Severity, Verdict
from hauberk.monitor.suspicion import SHARES, SuspicionMonitor
from hauberk.testing.monitor_checks import DIGEST, toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

CALIBRATION = toy_calibration(n=1000)


def monitor(**settings: float) -> SuspicionMonitor:
    return SuspicionMonitor(calibration=CALIBRATION, **settings)  # type: ignore[arg-type]


def first(monitor: SuspicionMonitor, records: list[Record]) -> tuple[int, Evidence]:
    for number, record in enumerate(records, 1):
        if evidence := monitor.update(record):
            return number, evidence
    raise AssertionError("no alarm")


def records(count: int, **settings: float) -> list[Record]:
    return toy_records(count, calibration=CALIBRATION, **settings)  # type: ignore[arg-type]


def test_shares_of_alpha_are_all_of_it() -> None:
    assert sum(SHARES.values()) == 1


def test_finds_an_attack_on_all_requests_at_once() -> None:
    number, evidence = first(monitor(), records(50, attacked=1.0))
    assert number <= 10
    assert (evidence.rule, evidence.verdict) == ("HB-D001", Verdict.FAIL)
    assert evidence.severity is Severity.CRITICAL
    assert "AML.T0015" in evidence.atlas
    assert evidence.subject == DIGEST
    assert evidence.value is not None
    assert evidence.limit is not None
    assert evidence.value >= evidence.limit
    assert evidence.spec["scope"] == "all traffic"
    assert evidence.spec["requests"] == number
    assert evidence.spec["seq"] == number - 1


def test_finds_it_about_as_fast_after_a_long_quiet() -> None:
    watch = monitor()
    quiet = records(8000, seed=1)
    assert [e for e in map(watch.update, quiet) if e] == []
    number, _ = first(watch, records(60, attacked=1.0, first=8000))
    assert number <= 15


def test_finds_one_request_in_twenty() -> None:
    number, evidence = first(monitor(), records(4000, attacked=0.05, seed=2))
    assert number < 2000
    assert evidence.spec["scope"] == "a share of the traffic"


def test_finds_the_one_client_that_attacks() -> None:
    clean, attack = records(3000, seed=3), records(3000, attacked=1.0, seed=4)
    mixed = [
        msgspec.structs.replace(attack[i], principal="mallory") if i % 30 == 0 else clean[i]
        for i in range(3000)
    ]
    number, evidence = first(monitor(), mixed)
    assert number <= 600
    assert evidence.spec["scope"] == "one client"
    assert evidence.spec["principal"] == "mallory"
    assert "'mallory'" in evidence.message


def test_a_calibrated_shift_is_no_attack() -> None:
    watch = monitor()
    for record in records(3000, seed=5):
        # The calibrated family's law: scores half as large again, and the inputs moved.
        p, p_benign = CALIBRATION.p_values(np.array([1.5 * (record.score or 0.0)]))
        moved = msgspec.structs.replace(
            record,
            p_value=float(p[0]),
            p_benign=float(p_benign[0]),
            features=tuple(value + 2 for value in record.features),
        )
        assert watch.update(moved) is None


def test_alarms_once_until_reset() -> None:
    watch = monitor()
    attack = records(200, attacked=1.0)
    assert sum(e is not None for e in map(watch.update, attack)) == 1
    assert watch.state()["alarmed"]
    watch.reset()
    assert not watch.alarmed
    assert watch.evidence() == float("-inf")
    assert [e for e in map(watch.update, attack) if e] == []  # seen already
    assert first(watch, records(50, attacked=1.0, first=200))[0] <= 10


def test_records_without_p_values_are_counted_only() -> None:
    watch = monitor()
    bare = [msgspec.structs.replace(r, p_value=None, p_benign=None) for r in records(20)]
    odd = [
        msgspec.structs.replace(r, p_benign=p, seq=r.seq + 20)
        for r, p in zip(records(3), (float("nan"), -0.1, 1.1), strict=True)
    ]
    assert [e for e in map(watch.update, bare + odd) if e] == []
    assert watch.state()["counts"] == {"used": 0, "ignored": 23, "after_alarm": 0}
    assert watch.evidence() == float("-inf")


def test_other_features_only_silence_the_sparse_test() -> None:
    watch = monitor()
    cut = [msgspec.structs.replace(r, features=(1.0,)) for r in records(300)]
    assert [e for e in map(watch.update, cut) if e] == []
    assert watch.state()["sparse"]["waiting"] == []
    assert first(watch, records(50, attacked=1.0, first=300))[0] <= 12


def test_works_without_a_calibration() -> None:
    watch = SuspicionMonitor()
    assert watch.state()["sparse"] is None
    assert first(watch, records(50, attacked=1.0))[0] <= 12


def test_a_smaller_alpha_needs_more_evidence() -> None:
    assert monitor(alpha=1e-6).limit() > monitor().limit()
    slow, _ = first(monitor(alpha=1e-9), records(100, attacked=1.0))
    quick, _ = first(monitor(alpha=0.1), records(100, attacked=1.0))
    assert quick < slow


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_refuses_an_alpha_that_is_no_probability(alpha: float) -> None:
    with pytest.raises(UserError, match="alpha"):
        SuspicionMonitor(alpha=alpha)


def test_refuses_to_follow_nobody() -> None:
    with pytest.raises(UserError, match="principals"):
        SuspicionMonitor(principals=0)


def test_a_state_of_other_settings_is_refused() -> None:
    with pytest.raises(DataError, match="calibration"):
        SuspicionMonitor().restore(monitor().state())
    full, small = monitor(), SuspicionMonitor(calibration=CALIBRATION, principals=2)
    for record in records(30):
        full.update(record)
    with pytest.raises(DataError, match="accounts"):
        small.restore(full.state())
