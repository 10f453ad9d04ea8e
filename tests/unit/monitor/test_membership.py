from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import UserError
from hauberk.guard.fingerprint import BITS
from hauberk.monitor import likeness
from hauberk.monitor.membership import MembershipMonitor, shares
from hauberk.monitor.trained import Trained
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

RNG = np.random.default_rng
BASE = toy_records(1, calibration=toy_calibration())[0]


def drawn(count: int, rng: np.random.Generator) -> list[int]:
    return [int.from_bytes(rng.bytes(BITS // 8)) for _ in range(count)]


def near(mark: int, rng: np.random.Generator, flips: int) -> int:
    for place in rng.choice(BITS, size=flips, replace=False):
        mark ^= 1 << int(place)
    return mark


SAMPLES = drawn(3000, RNG(0))
TRAINED = Trained(likeness.of_numbers(SAMPLES))


def record(seq: int, mark: int, who: str, tenant: str = "a") -> Record:
    return msgspec.structs.replace(
        BASE, seq=seq, principal=who, tenant=tenant, fingerprint=f"{mark:032x}"
    )


def told(monitor: MembershipMonitor, records: list[Record]) -> list[Any]:
    return [(r.seq, e) for r in records if (e := monitor.update(r))]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), radius=st.integers(0, 7))
def test_finds_what_a_look_at_each_one_finds(seed: int, radius: int) -> None:
    rng = RNG(seed)
    ours = drawn(200, rng)
    asked = [near(ours[int(rng.integers(200))], rng, int(rng.integers(0, 12))) for _ in range(60)]
    asked += drawn(20, rng)
    plain = [any((a ^ b).bit_count() <= radius for b in ours) for a in asked]
    trained = Trained(likeness.of_numbers(ours), radius=radius)
    assert trained.known(likeness.of_numbers(asked)).tolist() == plain


def test_many_that_share_a_band_are_compared_in_parts() -> None:
    rng = RNG(1)
    alike = likeness.of_numbers([mark >> 16 << 16 for mark in drawn(4000, rng)])
    assert Trained(alike).known(alike[:600]).all()


def test_nothing_is_known_of_no_samples() -> None:
    none = Trained(likeness.of_numbers(()))
    assert len(none) == 0
    assert not none.known(likeness.of_numbers(SAMPLES[:5])).any()
    assert not TRAINED.known(likeness.of_numbers(())).any()


def test_clients_with_inputs_of_their_own_are_left_alone() -> None:
    rng = RNG(2)
    stream = [record(i, mark, f"c{i % 9}") for i, mark in enumerate(drawn(3000, rng))]
    assert told(MembershipMonitor(trained=TRAINED), stream) == []


@pytest.mark.parametrize("flips", [0, 5], ids=["the samples", "noisy copies"])
def test_who_asks_about_candidates_is_named(flips: int) -> None:
    rng = RNG(3)
    fresh = drawn(400, rng)
    asked = [fresh[i] if rng.random() < 0.5 else near(SAMPLES[i], rng, flips) for i in range(400)]
    stream = [record(i, mark, "mallory") for i, mark in enumerate(asked)]
    (seq, found), *_ = told(MembershipMonitor(trained=TRAINED), stream)
    assert seq < 30
    assert (found.rule, found.spec["scope"], found.spec["whose"]) == (
        "HB-D015",
        "client",
        "mallory",
    )
    assert found.spec["action"] == "step-up"


def test_sybils_meet_in_their_tenant() -> None:
    stream = [record(i, mark, f"sybil {i}") for i, mark in enumerate(SAMPLES[:200])]
    assert {e.spec["scope"] for _, e in told(MembershipMonitor(trained=TRAINED), stream)} == {
        "tenant"
    }


def test_a_tenant_that_works_with_the_data_is_measured_first() -> None:
    rng = RNG(4)
    fresh = drawn(4000, rng)

    def work(first: int) -> list[Record]:
        return [
            record(first + i, SAMPLES[i % 3000] if rng.random() < 0.6 else fresh[i], "trainer")
            for i in range(2000)
        ]

    assert told(MembershipMonitor(trained=TRAINED), work(0))
    measured = shares(work(0), TRAINED)
    assert 0.6 < measured["a"] < 0.7
    assert told(MembershipMonitor(trained=TRAINED, tenants=measured), work(0)) == []


def test_a_log_of_another_key_makes_nobody_suspect() -> None:
    rng = RNG(5)
    log = [record(i, mark, "client") for i, mark in enumerate(drawn(4000, rng))]
    assert shares(log, TRAINED) == {"a": 0.02}


def test_records_without_a_fingerprint_are_passed_over() -> None:
    monitor = MembershipMonitor(trained=TRAINED)
    stream = [msgspec.structs.replace(BASE, seq=i, fingerprint="") for i in range(5)]
    assert told(monitor, stream) == []
    assert monitor.state()["counts"]["ignored"] == 5


@pytest.mark.parametrize(
    "wrong",
    [{"usual": 0.0}, {"run_length": 1.0}, {"capacity": 1}, {"tenants": {"a": 1.0}}],
    ids=str,
)
def test_refuses_senseless_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        MembershipMonitor(trained=TRAINED, **wrong)


def test_refuses_a_radius_that_would_miss_some() -> None:
    with pytest.raises(UserError, match="radius"):
        Trained(likeness.of_numbers(SAMPLES[:3]), radius=8)
