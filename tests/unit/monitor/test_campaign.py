from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import UserError
from hauberk.guard.fingerprint import BITS
from hauberk.monitor.campaign import CampaignMonitor, bases
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

RNG = np.random.default_rng
BASE = toy_records(1, calibration=toy_calibration())[0]


def bits(rng: np.random.Generator) -> int:
    return int.from_bytes(rng.bytes(BITS // 8))


def near(mark: int, rng: np.random.Generator, *, flips: int = 6) -> int:
    for place in rng.integers(BITS, size=flips):
        mark ^= 1 << int(place)
    return mark


def record(seq: int, mark: int, who: str, *, tenant: str = "a", p: float = 0.6) -> Record:
    return msgspec.structs.replace(
        BASE, seq=seq, principal=who, tenant=tenant, fingerprint=f"{mark:032x}", p_value=p
    )


def told(watch: CampaignMonitor, records: list[Record]) -> list[Any]:
    return [(r.seq, e) for r in records if (e := watch.update(r))]


def test_clients_that_send_different_inputs_are_left_alone() -> None:
    rng = RNG(0)
    stream = [record(i, bits(rng), f"c{i % 9}") for i in range(3000)]
    assert told(CampaignMonitor(), stream) == []


def test_a_search_around_one_input_is_found_and_named() -> None:
    rng = RNG(1)
    centre = bits(rng)
    stream = [record(i, near(centre, rng), "mallory") for i in range(200)]
    (seq, found), *_ = told(CampaignMonitor(), stream)
    assert seq <= 12
    assert (found.rule, found.spec["whose"], found.spec["sign"]) == (
        "HB-D007",
        "mallory",
        "similar",
    )
    assert found.spec["action"] == "step-up"


def test_a_search_diluted_one_to_four_is_found_later() -> None:
    rng = RNG(2)
    centre = bits(rng)
    stream = [
        record(i, near(centre, rng) if i % 4 == 0 else bits(rng), "mallory") for i in range(2000)
    ]
    found = told(CampaignMonitor(), stream)
    assert found
    assert found[0][0] < 400


def test_ten_sybils_meet_in_their_tenant() -> None:
    rng = RNG(3)
    centre = bits(rng)
    stream = [record(i, near(centre, rng), f"sybil {i}") for i in range(300)]
    scopes = {found.spec["scope"] for _, found in told(CampaignMonitor(), stream)}
    assert scopes == {"tenant"}


def test_inputs_from_other_data_are_unusual() -> None:
    rng = RNG(4)
    stream = [
        record(i, bits(rng), "copier", p=0.02 if rng.random() < 0.7 else 0.8) for i in range(400)
    ]
    (seq, found), *_ = told(CampaignMonitor(), stream)
    assert seq < 60
    assert found.spec["sign"] == "unusual"


def test_video_alarms_until_its_tenant_is_measured() -> None:
    rng = RNG(5)

    def video(count: int, first: int) -> list[Record]:
        mark, out = bits(rng), []
        for i in range(count):
            mark = bits(rng) if rng.random() < 0.05 else near(mark, rng, flips=3)
            out.append(record(first + i, mark, "camera", tenant="video"))
        return out

    assert told(CampaignMonitor(), video(300, 0))
    measured = bases(video(2000, 0))
    assert measured["video"]["similar"] > 0.9
    assert told(CampaignMonitor(tenants=measured), video(2000, 0)) == []


def test_what_is_usual_counts_for_the_tenant_as_a_whole_too() -> None:
    """Few clients, inputs of a few kinds: alike among 128 queries far more often than among 32."""
    rng = RNG(8)
    kinds = [bits(rng) for _ in range(150)]

    def usual(count: int, first: int) -> list[Record]:
        return [
            record(first + i, near(kinds[rng.integers(150)], rng, flips=3), f"client {i % 5}")
            for i in range(count)
        ]

    measured = bases(usual(1500, 0))
    assert measured["a"]["similar"] > 0.5
    assert told(CampaignMonitor(), usual(2000, 0))
    assert told(CampaignMonitor(tenants=measured), usual(2000, 0)) == []


def test_a_flood_of_names_pushes_no_suspect_out() -> None:
    rng, watch = RNG(6), CampaignMonitor(capacity=40)
    centre, seq, found = bits(rng), 0, []
    for i in range(60):
        for _ in range(5):
            watch.update(record(seq, bits(rng), f"flood {seq}", tenant=f"t{i}"))
            seq += 1
        found += told(watch, [record(seq, near(centre, rng), "mallory")])
        seq += 1
    assert any(e.spec["whose"] == "mallory" for _, e in found)
    assert len(watch.state()["clients"]) <= 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"radius": 64},
        {"similar": 0.0},
        {"run_length": 1.0},
        {"tenants": {"a": {"similar": 1.0}}},
    ],
    ids=str,
)
def test_refuses_senseless_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        CampaignMonitor(**wrong)
