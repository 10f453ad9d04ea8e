from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hauberk.core.errors import UserError
from hauberk.monitor.bets import BETS
from hauberk.monitor.cusum import Cusum
from hauberk.monitor.run_length import RunLengthMonitor
from hauberk.monitor.shiryaev_roberts import ShiryaevRoberts
from hauberk.monitor.wealth import table
from hauberk.testing.monitor_checks import toy_calibration, toy_records

CALIBRATION = toy_calibration(n=600)


def test_an_attack_is_found_sooner_than_the_run_length_and_the_account_starts_anew() -> None:
    watch = RunLengthMonitor(calibration=CALIBRATION)
    records = toy_records(400, calibration=CALIBRATION, attacked=1.0)
    found = [e for r in records if (e := watch.update(r))]
    assert found[0].rule == "HB-D006"
    assert found[0].spec["requests"] <= 15
    assert len(found) > 5  # it starts anew and finds it again
    assert "10000 requests" in found[0].message


def test_only_the_client_that_attacks_is_named() -> None:
    watch = RunLengthMonitor(calibration=CALIBRATION, per="principal", test="cusum")
    clean = toy_records(1400, calibration=CALIBRATION, seed=3)
    loud = toy_records(1400, calibration=CALIBRATION, seed=4, attacked=1.0)
    mixed = [b if a.principal == "client 3" else a for a, b in zip(clean, loud, strict=True)]
    named = {e.spec["whose"] for r in mixed if (e := watch.update(r))}
    assert named == {"client 3"}


def test_acting_is_another_rule() -> None:
    watch = RunLengthMonitor(calibration=CALIBRATION, level="act", run_length=1e6)
    records = toy_records(200, calibration=CALIBRATION, attacked=1.0)
    assert {e.rule for r in records if (e := watch.update(r))} == {"HB-D001"}


@pytest.mark.parametrize("kind", [ShiryaevRoberts, Cusum])
def test_the_run_length_at_the_edge_of_the_null_is_the_nominal_one_at_least(kind: Any) -> None:
    """Uniform p-values at the levels: the most that calibrated clean traffic may do."""
    levels, nominal, streams = np.array(CALIBRATION.levels), 200.0, 300
    pays, rng = table(levels, BETS), np.random.default_rng(2)
    wealth, waits = kind((streams, len(BETS))), np.zeros(streams)
    running = np.ones(streams, dtype=bool)
    for _ in range(4000):
        waits += running
        wealth.play(pays[levels.searchsorted(rng.random(streams))])
        running &= np.exp(wealth.evidence()) < nominal
        if not running.any():
            break
    assert waits.mean() >= nominal * (1 - 3 / np.sqrt(streams))
    assert waits.mean() < 4000  # or the bets have no power at all


@pytest.mark.parametrize(
    "wrong",
    [{"run_length": 1.0}, {"capacity": 0}, {"test": "luck"}, {"level": "panic"}, {"per": "moon"}],
    ids=str,
)
def test_refuses_senseless_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        RunLengthMonitor(**wrong)
