from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import torch

from hauberk.adapters.local.yardstick import Mix, delay, false_alarms, summary
from hauberk.adapters.local.yardstick_table import Effort, Tally, _poisson, pooled
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import Architecture, TorchModel
from hauberk.adapters.models.weights import save
from hauberk.core.model import Bounds
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.adaptive import evade
from hauberk.faces.cli.main import run
from hauberk.monitor.run_length import RunLengthMonitor
from hauberk.testing.monitor_checks import toy_calibration, toy_records

if TYPE_CHECKING:
    from pathlib import Path

CALIBRATION = toy_calibration(n=600)
CLEAN = toy_records(500, calibration=CALIBRATION)
HOSTILE = toy_records(500, calibration=CALIBRATION, attacked=1.0, seed=5)


def make() -> RunLengthMonitor:
    return RunLengthMonitor(calibration=CALIBRATION)


def test_an_attack_takes_longer_to_find_the_smaller_its_share() -> None:
    rng = np.random.default_rng(0)
    found = {
        share: delay(make, CLEAN, HOSTILE, Mix(share), longest=1500, rng=rng)
        for share in (1.0, 0.1)
    }
    assert found[1.0] is not None
    assert found[0.1] is not None
    assert found[1.0] <= 15 < found[0.1]
    assert delay(make, CLEAN, CLEAN, Mix(1.0), longest=100, rng=rng) is None


def test_false_alarms_are_counted_over_runs() -> None:
    rng = np.random.default_rng(0)
    assert false_alarms(make, [[r] for r in CLEAN], 3000, rng=rng) <= 1
    assert false_alarms(make, [[r] * 20 for r in HOSTILE], 500, rng=rng) > 5


def test_what_was_not_found_counts_as_endless() -> None:
    assert summary([3, 5, None]) == {"median": 5.0, "p90": None, "found": pytest.approx(2 / 3)}
    assert summary([None])["median"] is None


def test_seeds_are_pooled_and_a_kept_tally_comes_back() -> None:
    found = [
        Tally(
            right={"clean": share},
            false=[("act", "clean", count)],
            delays=[("act", "pgd", "30 %", [delay, None])],
        )
        for share, count, delay in ((0.9, 0, 4), (0.7, 1, 8))
    ]
    kept = [msgspec.json.decode(msgspec.json.encode(one), type=Tally) for one in found]
    assert kept == found
    accuracy, false, length, waits = pooled(kept, Effort(requests=5000))
    assert accuracy["measured"] == pytest.approx(0.8)
    assert (false["measured"], false["n"]) == (1.0, 10_000)
    assert length["measured"] == 10_000
    assert length["interval"] == pytest.approx([10_000 / 5.572, 10_000 / 0.0253], rel=2e-3)
    assert (waits["measured"], waits["p90"], waits["found"]) == (8.0, None, 0.5)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390), (1364, 1292.57, 1438.35)],
)
def test_the_interval_of_a_count_is_that_of_the_tables(count: int, low: float, high: float) -> None:
    assert np.allclose(_poisson(count), (low, high), atol=2e-3)


def test_an_adaptive_attacker_fools_the_model_and_stays_quieter() -> None:
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.normal(size=(20, 3))).float()
    loud = torch.from_numpy(rng.normal(size=20)).float()
    x = torch.from_numpy(rng.random((40, 20))).float()
    y = (x @ weights).argmax(1)
    found = {
        weight: evade(
            lambda v: v @ weights,
            lambda v: (v @ loud) ** 2,
            x,
            y,
            ThreatModel(eps=0.5),
            task=Classification(),
            weight=weight,
        )
        for weight in (0.0, 10.0)
    }
    wrong = {weight: (v @ weights).argmax(1) != y for weight, v in found.items()}
    both = wrong[0.0] & wrong[10.0]
    assert wrong[0.0].float().mean() > 0.5
    assert both.any()
    noise = {weight: float(((v[both] @ loud) ** 2).mean()) for weight, v in found.items()}
    assert noise[10.0] < noise[0.0]
    for points in found.values():
        assert (points - x).abs().max() <= 0.5 + 1e-6
        assert points.min() >= 0
        assert points.max() <= 1


@pytest.mark.nightly
def test_the_command_judges_any_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = {"in_shape": [1, 28, 28], "classes": 10}
    for name, seed in (("model", 0), ("twin", 1)):
        module = build("mlp", params, seed=seed)
        kept = TorchModel(module, Bounds(), Architecture("mlp", params))
        (tmp_path / name).write_bytes(save(kept))
    given = [str(tmp_path / "model"), str(tmp_path / "twin"), "--quick", "--format", "json"]
    assert run(["bench", "detection", *given, "--data", "digits"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {
        "attack: requests to alarm, pgd, 30 %",
        "model: false alarms in 10000 requests, clean",
    } <= {row["id"] for row in rows}
