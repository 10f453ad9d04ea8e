from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import DataError, UserError
from hauberk.core.evidence import Evidence, Verdict
from hauberk.guard.calibration import Calibration
from hauberk.guard.features import NAMES
from hauberk.monitor.faults import FaultMonitor
from hauberk.monitor.integrity import GoldenInputs
from hauberk.monitor.kind import read
from hauberk.monitor.labels import LabelShiftMonitor
from hauberk.testing.monitor_checks import toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

_RNG = np.random.default_rng(0)
CALIBRATION = Calibration.fit(
    _RNG.exponential(1.0, 300), {}, 10 + _RNG.normal(size=(300, len(NAMES))), agreeing=290
)
CLEAN = [
    msgspec.structs.replace(r, features=tuple(10 + v for v in r.features))
    for r in toy_records(600, calibration=CALIBRATION, seed=4)
]
DIGEST, OTHER = digest_bytes(b"signed"), digest_bytes(b"else")


def told(watch: FaultMonitor, records: list[Record]) -> list[Evidence]:
    return [e for r in records if (e := watch.update(r))]


def changed(name: str, value: float) -> list[Record]:
    place = NAMES.index(name)

    def one(r: Record) -> Record:
        x = list(r.features)
        x[place] = value
        return msgspec.structs.replace(r, features=tuple(x))

    return [one(r) for r in CLEAN]


def test_ordinary_traffic_shows_no_fault() -> None:
    assert told(FaultMonitor(calibration=CALIBRATION), CLEAN) == []


def test_a_stuck_sensor_is_called_bad_input_once() -> None:
    stuck = [msgspec.structs.replace(r, features=CLEAN[0].features) for r in CLEAN]
    found = told(FaultMonitor(calibration=CALIBRATION), stuck)
    assert [(e.rule, e.spec["sign"]) for e in found] == [("HB-D009", "frozen")]
    assert read(found).kind == "bad-input"
    assert "stuck sensor" in read(found).reason


def test_another_scale_is_called_bad_input() -> None:
    found = told(FaultMonitor(calibration=CALIBRATION), changed("brightest", 900.0))
    assert found[0].spec["sign"] == "scale"


def test_failures_and_slowness_are_infrastructure() -> None:
    watch = FaultMonitor(calibration=CALIBRATION)
    quick = [msgspec.structs.replace(r, latency_ms=2.0) for r in CLEAN[:300]]
    slow = [msgspec.structs.replace(r, latency_ms=90.0) for r in CLEAN[300:]]
    found = told(watch, quick + slow)
    assert [(e.rule, e.spec["sign"]) for e in found] == [("HB-D010", "slow")]
    failing = [msgspec.structs.replace(r, outcome="refuse") for r in CLEAN]
    assert told(FaultMonitor(calibration=CALIBRATION), failing)[0].spec["sign"] == "refused"


@pytest.mark.parametrize("wrong", [{"window": 3}, {"share": 0.0}, {"share": 1.0}], ids=str)
def test_refuses_senseless_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError):
        FaultMonitor(calibration=CALIBRATION, **wrong)  # type: ignore[arg-type]


def test_other_answers_than_calibrated_are_a_shift_and_the_same_are_none() -> None:
    rng = np.random.default_rng(0)

    def answered(shares: list[float]) -> list[Record]:
        labels = rng.choice(3, size=3000, p=shares)
        return [
            msgspec.structs.replace(CLEAN[0], seq=i, label=int(label))
            for i, label in enumerate(labels)
        ]

    counts = np.array([150.0, 100.0, 50.0])
    same = LabelShiftMonitor(answers=counts)
    assert not any(same.update(r) for r in answered([0.5, 1 / 3, 1 / 6]))
    moved = LabelShiftMonitor(answers=counts)
    found = [e for r in answered([0.3, 0.2, 0.5]) if (e := moved.update(r))]
    assert [e.rule for e in found] == ["HB-D012"]
    assert found[0].spec["label"] == 2
    assert found[0].spec["requests"] < 200


def golden(expected: np.ndarray) -> GoldenInputs:
    return GoldenInputs(digest=DIGEST, x=np.zeros((2, 3), dtype=np.float32), expected=expected)


def test_golden_inputs_tell_another_model_from_the_signed_one() -> None:
    expected = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    gold = golden(expected)
    assert gold.compare(DIGEST, expected + 1e-5, at=0.0).verdict is Verdict.PASS
    for digest, answer, word in (
        (OTHER, expected, "serves"),
        (DIGEST, expected + np.diag([0.0, 1.0]), "1 of 2"),
        (DIGEST, expected * np.nan, "2 of 2"),
        (DIGEST, np.zeros((2, 5)), "5 classes"),
    ):
        found = gold.compare(digest, answer, at=0.0)
        assert found.verdict is Verdict.FAIL
        assert word in found.message
        assert read([found]).kind == "integrity"
    with pytest.raises(DataError):
        gold.compare(DIGEST, expected[:1], at=0.0)


def test_what_explains_the_rest_names_the_whole() -> None:
    def failed(rule: str) -> Evidence:
        return Evidence(rule=rule, subject=DIGEST, verdict=Verdict.FAIL, message=rule)

    drift, attack, stuck = failed("HB-D002"), failed("HB-D001"), failed("HB-D009")
    assert read([drift]).kind == "drift"
    assert read([drift, attack]).kind == "attack"
    whole = read([drift, attack, stuck])
    assert whole.kind == "bad-input"
    assert [e.rule for e in whole.because] == ["HB-D009", "HB-D001", "HB-D002"]
    assert read([]).kind == "quiet"
