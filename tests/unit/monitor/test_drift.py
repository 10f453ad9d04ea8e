from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.guard.features import NAMES
from hauberk.monitor.drift import DriftMonitor
from hauberk.testing.monitor_checks import DIGEST, toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

CALIBRATION = toy_calibration()


def moved(name: str, by: float, *, count: int = 400, first: int = 0, seed: int = 0) -> list[Record]:
    step = np.zeros(len(NAMES))
    step[NAMES.index(name)] = by
    return [
        msgspec.structs.replace(r, features=tuple((np.array(r.features) + step).tolist()))
        for r in toy_records(count, calibration=CALIBRATION, first=first, seed=seed)
    ]


def first(monitor: DriftMonitor, records: list[Record]) -> tuple[int, Evidence]:
    for number, record in enumerate(records, 1):
        if evidence := monitor.update(record):
            return number, evidence
    raise AssertionError("no drift found")


@pytest.mark.parametrize(
    ("name", "by", "way", "within"),
    [
        ("noise_floor", 4.0, "higher", 10),
        ("brightest", -4.0, "lower", 10),
        ("slant", 1.0, "higher", 150),
    ],
)
def test_names_what_moved_and_which_way(name: str, by: float, way: str, within: int) -> None:
    number, evidence = first(DriftMonitor(calibration=CALIBRATION), moved(name, by))
    assert number <= within
    assert (evidence.rule, evidence.verdict) == ("HB-D002", Verdict.FAIL)
    assert evidence.subject == DIGEST
    assert evidence.spec["features"] == {name: way}
    assert f"{name.replace('_', ' ')} is {way}" in evidence.message
    assert "no attack" in evidence.message
    assert evidence.value is not None
    assert evidence.limit is not None
    assert evidence.value >= evidence.limit


def test_silent_on_clean_inputs_then_quick() -> None:
    watch = DriftMonitor(calibration=CALIBRATION)
    clean = toy_records(5000, calibration=CALIBRATION, seed=7)
    assert [e for e in map(watch.update, clean) if e] == []
    assert max(watch.evidence().values()) < watch.limit()
    assert first(watch, moved("mean", 4.0, first=5000))[0] <= 15


def test_finds_a_wider_spread_to_both_sides() -> None:
    wide = [
        msgspec.structs.replace(r, features=tuple(3 * f for f in r.features))
        for r in toy_records(300, calibration=CALIBRATION)
    ]
    _, evidence = first(DriftMonitor(calibration=CALIBRATION), wide)
    assert evidence.spec["features"]


def test_alarms_once_until_reset() -> None:
    watch = DriftMonitor(calibration=CALIBRATION)
    assert sum(e is not None for e in map(watch.update, moved("mean", 5.0))) == 1
    watch.reset()
    assert not watch.alarmed
    assert first(watch, moved("mean", 5.0, first=400))[0] <= 10


@pytest.mark.parametrize(
    "features", [(), (1.0,) * 3, (math.nan,) * len(NAMES), (math.inf,) * len(NAMES)], ids=str
)
def test_other_features_are_counted_only(features: tuple[float, ...]) -> None:
    watch = DriftMonitor(calibration=CALIBRATION)
    for record in toy_records(20, calibration=CALIBRATION):
        assert watch.update(msgspec.structs.replace(record, features=features)) is None
    assert watch.state()["counts"] == {"used": 0, "ignored": 20, "after_alarm": 0}


def test_the_statistics_share_alpha() -> None:
    limit = DriftMonitor(calibration=CALIBRATION, alpha=0.03).limit()
    assert len(NAMES) * math.exp(-limit) == pytest.approx(0.03)


def test_refuses_an_alpha_that_is_no_probability() -> None:
    with pytest.raises(UserError, match="alpha"):
        DriftMonitor(calibration=CALIBRATION, alpha=0.0)
