from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.interval import wilson
from hauberk.monitor.accuracy import AccuracyMonitor
from hauberk.testing.monitor_checks import DIGEST, toy_calibration, toy_records

RECORDS = [
    msgspec.structs.replace(r, label=1) for r in toy_records(5000, calibration=toy_calibration())
]


def feed(
    monitor: AccuracyMonitor, error: float, *, count: int, first: int = 0, seed: int = 0
) -> tuple[int, Evidence] | None:
    wrong = np.random.default_rng(seed).random(count) < error
    for i in range(count):
        record = RECORDS[first + i]
        assert monitor.update(record) is None
        if evidence := monitor.label(record.id, 0 if wrong[i] else 1, at=record.at):
            return i + 1, evidence
    return None


@pytest.mark.parametrize(("error", "within"), [(0.5, 25), (0.2, 120), (0.1, 600)])
def test_finds_a_drop(error: float, within: int) -> None:
    found = feed(AccuracyMonitor(base_error=0.03), error, count=1500)
    assert found is not None
    number, evidence = found
    assert number <= within
    assert (evidence.rule, evidence.verdict, evidence.subject) == ("HB-D003", Verdict.FAIL, DIGEST)
    assert evidence.value is not None
    assert 0 <= evidence.value < 0.97
    assert evidence.limit == 0.97
    assert evidence.interval is not None
    assert evidence.interval[0] <= evidence.value <= evidence.interval[1]


def test_silent_at_the_stated_error_then_quick() -> None:
    monitor = AccuracyMonitor(base_error=0.05)
    assert feed(monitor, 0.05, count=4000, seed=3) is None
    accuracy = monitor.accuracy()
    assert accuracy is not None
    assert accuracy[0] == pytest.approx(0.95, abs=0.05)
    found = feed(monitor, 0.6, count=200, first=4000)
    assert found is not None
    assert found[0] <= 30


def test_labels_may_come_late_and_in_any_order() -> None:
    monitor = AccuracyMonitor(base_error=0.05)
    for record in RECORDS[:100]:
        monitor.update(record)
    for i in reversed(range(100)):
        monitor.label(RECORDS[i].id, 1, at=1.0)
    assert monitor.accuracy() == (1.0, wilson(100, 100))


def test_each_answer_is_judged_once_and_unknown_ids_only_counted() -> None:
    monitor = AccuracyMonitor(base_error=0.05)
    monitor.update(RECORDS[0])
    assert monitor.accuracy() is None
    for _ in range(50):
        assert monitor.label(RECORDS[0].id, 0, at=1.0) is None
        assert monitor.label("never asked", 0, at=1.0) is None
    counts = monitor.state()["counts"]
    assert counts == {"labels": 1, "wrong": 1, "unmatched": 99, "after_alarm": 0}


def test_the_oldest_answers_are_forgotten() -> None:
    monitor = AccuracyMonitor(base_error=0.05, pending=10)
    for record in RECORDS[:30]:
        monitor.update(record)
    monitor.label(RECORDS[19].id, 1, at=1.0)
    monitor.label(RECORDS[20].id, 1, at=1.0)
    assert monitor.state()["counts"]["unmatched"] == 1


def test_refusals_abstentions_and_overlong_ids_are_not_remembered() -> None:
    monitor = AccuracyMonitor(base_error=0.05)
    changes: list[dict[str, Any]] = [
        {"outcome": "refuse"},
        {"outcome": "abstain"},
        {"id": "x" * 257},
    ]
    for record, change in zip(RECORDS[:3], changes, strict=True):
        monitor.update(msgspec.structs.replace(record, **change))
    assert monitor.state()["answers"] == []


def test_alarms_once_until_reset_and_keeps_watching_the_window() -> None:
    monitor = AccuracyMonitor(base_error=0.03, window=50)
    assert feed(monitor, 1.0, count=100) is not None
    assert feed(monitor, 0.0, count=100, first=100) is None
    assert monitor.accuracy() == (1.0, wilson(50, 50))
    assert monitor.state()["alarmed"]
    monitor.reset()
    assert not monitor.alarmed
    assert feed(monitor, 1.0, count=100, first=200) is not None


@pytest.mark.parametrize(
    "wrong",
    [{"base_error": 0.0}, {"base_error": 1.0}, {"base_error": 0.1, "alpha": 0.0},
     {"base_error": 0.1, "window": 0}, {"base_error": 0.1, "pending": 0}],
    ids=str,
)  # fmt: skip
def test_refuses_senseless_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        AccuracyMonitor(**wrong)
