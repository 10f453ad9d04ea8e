from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from hauberk.core.errors import DataError, UserError
from hauberk.monitor.budget import DAY, Budget, BudgetMonitor, volumes
from hauberk.monitor.campaign import CampaignMonitor
from hauberk.monitor.station import Station
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from hauberk.core.record import Record

BASE = toy_records(1, calibration=toy_calibration())[0]
BUDGET = Budget(digest="sha256:1", queries=100)


def stream(
    count: int, who: str, *, first: int = 0, tenant: str = "a", every: float = 1.0, same: int = 1
) -> list[Record]:
    """Requests of one client, ``every`` so many seconds; ``same`` in a row are of one input."""
    rng = np.random.default_rng(first)
    marks = [rng.bytes(16).hex() for _ in range(count)]
    return [
        msgspec.structs.replace(
            BASE,
            seq=first + i,
            at=1e6 + i * every,
            principal=who,
            tenant=tenant,
            fingerprint=marks[i // same],
        )
        for i in range(count)
    ]


def told(watch: BudgetMonitor, records: list[Record]) -> list[Any]:
    return [e for r in records if (e := watch.update(r))]


def test_who_was_told_half_of_what_a_copy_takes_is_named_and_counted_anew() -> None:
    watch = BudgetMonitor(budget=BUDGET)
    found = told(watch, stream(120, "mallory", first=1))
    assert [e.spec["whose"] for e in found] == ["mallory", "mallory"]
    assert found[0].spec["seq"] in {50, 51}
    assert (found[0].rule, found[0].spec["scope"]) == ("HB-D014", "client")
    assert "0.5 of what a copy that agrees on 80%" in found[0].message


def test_retries_and_frames_count_once() -> None:
    watch = BudgetMonitor(budget=BUDGET)
    assert told(watch, stream(390, "video", first=1, same=8)) == []


def test_refusals_tell_nothing() -> None:
    watch = BudgetMonitor(budget=BUDGET)
    refused = [msgspec.structs.replace(r, outcome="refuse") for r in stream(500, "c")]
    assert told(watch, refused) == []


def test_what_was_told_is_forgotten_in_its_days() -> None:
    slow = stream(400, "patient", first=1, every=DAY / 45)
    assert told(BudgetMonitor(budget=BUDGET), slow) == [], "who takes his time is not found"
    assert told(BudgetMonitor(budget=msgspec.structs.replace(BUDGET, days=30)), slow)


def test_whose_volume_is_usual_may_ask_twice_as_much() -> None:
    usual = volumes(stream(300, "bulk", first=1))
    assert usual == {"client/a/bulk": 300, "tenant/a": 300}
    watch = BudgetMonitor(budget=BUDGET, usual=usual)
    assert told(watch, stream(590, "bulk", first=1)) == []
    found = told(watch, stream(30, "bulk", first=1000))
    assert [(e.spec["scope"], e.spec["usual"]) for e in found] == [("client", 300), ("tenant", 300)]


def test_sybils_of_a_known_tenant_meet_there() -> None:
    many = stream(200, "", first=1)
    sybils = [msgspec.structs.replace(r, principal=f"s{r.seq % 20}") for r in many]
    assert told(BudgetMonitor(budget=BUDGET), sybils) == []
    known = BudgetMonitor(budget=BUDGET, usual={"tenant/a": 40})
    assert {e.spec["scope"] for e in told(known, sybils)} == {"tenant"}


def test_volumes_are_the_most_within_the_days() -> None:
    slow = stream(100, "c", every=DAY / 10)
    assert volumes(slow)["client/a/c"] == 10
    assert volumes(slow, days=2)["client/a/c"] == 20


def test_a_flood_of_names_pushes_out_no_one_who_was_told_much() -> None:
    watch = BudgetMonitor(budget=BUDGET, capacity=16)
    assert told(watch, stream(45, "mallory", first=1)) == []
    flood = [msgspec.structs.replace(r, principal=f"n{r.seq}") for r in stream(500, "", first=100)]
    assert told(watch, flood) == []
    assert told(watch, stream(10, "mallory", first=1000)), "still remembered"


@pytest.mark.parametrize(
    "wrong", [{"queries": 0.0}, {"share": 0.0}, {"share": 1.5}, {"days": 0.0}], ids=str
)
def test_refuses_senseless_budgets(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError):
        BudgetMonitor(budget=msgspec.structs.replace(BUDGET, **wrong))


def test_a_watch_that_learns_of_a_budget_goes_on_where_it_was() -> None:
    before = Station(monitors={"campaign": CampaignMonitor()})
    before.fold_all(stream(30, "c", first=1))
    after = Station(
        monitors={"campaign": CampaignMonitor(), "budget": BudgetMonitor(budget=BUDGET)}
    )
    after.restore(before.state())
    assert (after.seq, after.records) == (before.seq, 30)
    after.fold_all(stream(60, "c", first=1))
    assert after.found == {}, "what was seen before is not counted anew"
    after.fold_all(stream(60, "c", first=100))
    assert after.found == {"HB-D014": 1}
    with pytest.raises(DataError, match="other monitors"):
        before.restore(after.state())
