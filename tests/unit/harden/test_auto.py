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
from hauberk.harden.auto import Auto
from hauberk.harden.race import Log
from hauberk.harden.run import Run
from hauberk.harden.selection import accuracy

THREAT = ThreatModel(eps=0.05)
AUTO = Auto(budget=1500.0, candidates=("adversarial", "fast", "ema,trades"), clean_drop=1.0)


def module() -> nn.Module:
    return build("mlp", {"in_shape": [1, 6, 6], "classes": 2, "widths": [8]}, seed=0)


class Clock:
    """Seconds that pass by work alone; a copy of what holds it shares it."""

    def __init__(self, slower: Callable[[float], float] = lambda _: 1.0) -> None:
        self.seconds, self.slower = 0.0, slower

    def __call__(self) -> float:
        return self.seconds

    def __deepcopy__(self, _: object) -> "Clock":
        return self

    def work(self, samples: int) -> None:
        self.seconds += 5e-2 * samples * self.slower(self.seconds)


class Timed(nn.Module):
    """A module each of whose forwards takes its time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.net = clock, module()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.clock.work(len(x))
        out: torch.Tensor = self.net(x)
        return out


def logged(data: bytes) -> Log:
    return Log.resumed(data, facts_of(data), Timed(Clock()))


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
    clock = Clock()
    run = Run(clock=clock, checkpoint=kept.append)
    best = AUTO.fit(Timed(clock), train, validation, THREAT, seed=0, run=run)
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
    clock = Clock()
    run = Run(clock=clock, checkpoint=kept.append)
    AUTO.fit(Timed(clock), train, validation, THREAT, seed=0, run=run)
    for place in (1, len(kept) // 2, len(kept) - 1):
        before = logged(kept[place])
        later: list[bytes] = []
        again = Run(clock=clock, resume=kept[place], checkpoint=later.append)
        best = AUTO.fit(Timed(clock), train, validation, THREAT, seed=0, run=again)
        after = logged(later[-1]) if later else before
        assert after.heats[: len(before.heats)] == before.heats
        if before.plan is not None:
            heat = after.heats[len(before.heats)]
            assert heat.rows == before.plan["rows"]
        for name, value in best.state_dict().items():
            assert torch.equal(value, after.kept[name])


def test_training_that_does_not_pay_ends(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    auto = replace(AUTO, candidates=("adversarial",), least=2.0)
    clock = Clock()
    run = Run(clock=clock, checkpoint=kept.append)
    auto.fit(Timed(clock), train, validation, THREAT, seed=0, run=run)
    heats = logged(kept[-1]).heats
    assert len(heats) == 2
    assert sum(heat.seconds for heat in heats) < 0.3 * auto.budget


def test_checkpoints_of_another_race_and_damaged_ones_are_refused(
    train: Dataset, validation: Dataset
) -> None:
    kept: list[bytes] = []
    clock = Clock()
    run = Run(clock=clock, checkpoint=kept.append)
    AUTO.fit(Timed(clock), train, validation, THREAT, seed=0, run=run)
    with pytest.raises(UserError, match="another race"):
        AUTO.fit(Timed(clock), train, validation, THREAT, seed=1, run=replace(run, resume=kept[0]))
    assert "inner" in load(kept[0])
    for bad in (b"", b"nothing", kept[0][:100]):
        with pytest.raises(UserError, match="cannot be resumed"):
            AUTO.fit(Timed(clock), train, validation, THREAT, seed=0, run=replace(run, resume=bad))


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
    "slower",
    [
        lambda _: 1.0,
        lambda now: 1.0 if now < 700 else 1.6,
        lambda now: 1.5 if now < 500 else 1.0,
        lambda now: 1.0 + 0.5 * (int(now / 7) % 2),
    ],
    ids=["steady", "busier", "freer", "unsteady"],
)
def test_the_budget_is_kept_whatever_else_the_machine_does(
    slower: Callable[[float], float], train: Dataset, validation: Dataset
) -> None:
    clock = Clock(slower)
    auto = replace(AUTO, least=-1.0)
    auto.fit(Timed(clock), train, validation, THREAT, seed=0, run=Run(clock=clock))
    assert 0.9 * auto.budget < clock.seconds < 1.02 * auto.budget


def test_no_heat_begins_that_does_not_fit(train: Dataset, validation: Dataset) -> None:
    """The first candidate takes more than all: the others are not even tried."""
    kept: list[bytes] = []
    clock = Clock()
    auto = replace(AUTO, budget=10.0)
    run = Run(clock=clock, checkpoint=kept.append)
    best = auto.fit(Timed(clock), train, validation, THREAT, seed=0, run=run)
    [heat] = logged(kept[-1]).heats
    assert heat.names == auto.candidates[0]
    assert heat.epochs == 1
    assert not best.training


def test_a_resumed_race_has_only_what_was_left(train: Dataset, validation: Dataset) -> None:
    kept: list[bytes] = []
    clock = Clock()
    auto = replace(AUTO, least=-1.0)
    run = Run(clock=clock, checkpoint=kept.append)
    auto.fit(Timed(clock), train, validation, THREAT, seed=0, run=run)
    some = kept[len(kept) // 2]
    spent, start = logged(some).spent, clock.seconds
    again = replace(run, resume=some)
    auto.fit(Timed(clock), train, validation, THREAT, seed=0, run=again)
    assert spent > 0.2 * auto.budget
    assert 0.9 * auto.budget < spent + clock.seconds - start < 1.02 * auto.budget
