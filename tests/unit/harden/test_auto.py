"""The race: how a budget is spent, and that a race goes on from where it was."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load
from torch import nn

from hauberk.adapters.models.architectures import build
from hauberk.core.data import Dataset
from hauberk.core.errors import UnknownNameError, UserError
from hauberk.core.threat import ThreatModel
from hauberk.harden.auto import Auto, cost
from hauberk.harden.race import Log
from hauberk.harden.run import Run
from hauberk.harden.selection import accuracy

THREAT = ThreatModel(eps=0.05)
AUTO = Auto(budget=384.0, candidates=("adversarial", "fast", "ema,trades"), clean_drop=1.0)


def module() -> nn.Module:
    return build("mlp", {"in_shape": [1, 6, 6], "classes": 2, "widths": [8]}, seed=0)


def a_clock(tick: float = 3.0) -> Callable[[], float]:
    """Seconds that pass only by being asked for."""
    state = [0.0]

    def clock() -> float:
        state[0] += tick
        return state[0]

    return clock


def logged(data: bytes) -> Log:
    return Log.resumed(data, facts_of(data), module())


def facts_of(data: bytes) -> dict[str, object]:
    import json

    length = int.from_bytes(data[:8], "little")
    held = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["race"])
    facts: dict[str, object] = held["facts"]
    return facts


def test_each_heat_has_half_the_candidates_and_twice_the_time(
    train: Dataset, validation: Dataset
) -> None:
    kept: list[bytes] = []
    run = Run(clock=a_clock(), checkpoint=kept.append)
    best = AUTO.fit(module(), train, validation, THREAT, seed=0, run=run)
    heats = logged(kept[-1]).heats
    assert [heat.names for heat in heats[:3]] == list(AUTO.candidates)
    assert len({heat.names for heat in heats[3:5]}) == 2
    assert len({heat.names for heat in heats[5:]}) == 1
    assert heats[-1].rows * heats[-1].epochs > 2 * heats[0].rows * heats[0].epochs
    top = max(heats, key=lambda heat: heat.robust)
    assert accuracy(best, validation) == pytest.approx(top.clean, abs=0.05)
    assert not best.training


def test_a_race_goes_on_with_what_it_had_decided(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    run = Run(clock=a_clock(), checkpoint=kept.append)
    AUTO.fit(module(), train, validation, THREAT, seed=0, run=run)
    for place in (1, len(kept) // 2, len(kept) - 1):
        before = logged(kept[place])
        later: list[bytes] = []
        again = Run(clock=a_clock(), resume=kept[place], checkpoint=later.append)
        best = AUTO.fit(module(), train, validation, THREAT, seed=0, run=again)
        after = logged(later[-1]) if later else before
        assert after.heats[: len(before.heats)] == before.heats
        if before.plan is not None:
            heat = after.heats[len(before.heats)]
            assert (heat.rows, heat.epochs) == (before.plan["rows"], before.plan["epochs"])
        for name, value in best.state_dict().items():
            assert torch.equal(value, after.kept[name])


def test_training_that_does_not_pay_ends(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    auto = replace(AUTO, least=2.0)
    run = Run(clock=a_clock(), checkpoint=kept.append)
    auto.fit(module(), train, validation, THREAT, seed=0, run=run)
    heats = logged(kept[-1]).heats
    assert len(heats) == 3 + 2 + 1
    assert sum(heat.seconds for heat in heats) < 0.6 * auto.budget


def test_checkpoints_of_another_race_and_damaged_ones_are_refused(
    train: Dataset, validation: Dataset
) -> None:
    kept: list[bytes] = []
    run = Run(clock=a_clock(), checkpoint=kept.append)
    AUTO.fit(module(), train, validation, THREAT, seed=0, run=run)
    with pytest.raises(UserError, match="another race"):
        AUTO.fit(module(), train, validation, THREAT, seed=1, run=replace(run, resume=kept[0]))
    assert "inner" in load(kept[0])
    for bad in (b"", b"nothing", kept[0][:100]):
        with pytest.raises(UserError, match="cannot be resumed"):
            AUTO.fit(module(), train, validation, THREAT, seed=0, run=replace(run, resume=bad))


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"budget": 0.0}, {"candidates": ()}, {"judge_steps": 0}):
        with pytest.raises(UserError):
            replace(AUTO, **wrong)
    with pytest.raises(UnknownNameError):
        Auto(candidates=("adversarail",))
    with pytest.raises(UserError, match="stands alone"):
        Auto(candidates=("auto",))


def test_a_race_without_a_clock_is_refused(train: Dataset, validation: Dataset) -> None:
    with pytest.raises(UserError, match="clock"):
        AUTO.fit(module(), train, validation, THREAT, seed=0)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ([(100, 10.0)], (0.0, 0.1)),
        ([(100, 10.0), (300, 22.0)], (4.0, 0.06)),
        ([(100, 10.0), (300, 11.0)], (5.5, 5.5 / 300)),
        ([(100, 10.0), (300, 60.0)], (0.0, 0.2)),
        ([(300, 22.0), (100, 10.0)], (0.0, 0.1)),
    ],
    ids=["one", "line", "flat", "steep", "backwards"],
)
def test_what_a_heat_costs_in_any_case_is_told_from_its_samples(
    known: list[tuple[int, float]], expected: tuple[float, float]
) -> None:
    assert cost(known) == pytest.approx(expected)
