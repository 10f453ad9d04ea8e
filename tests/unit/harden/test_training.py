from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hauberk.adapters.data.digits import load
from hauberk.adapters.models.architectures import build
from hauberk.core.data import Dataset
from hauberk.core.errors import HauberkError, UserError
from hauberk.core.model import Bounds
from hauberk.core.threat import ThreatModel
from hauberk.harden.adversarial import Adversarial
from hauberk.harden.clean import Clean
from hauberk.harden.fresh import fresh
from hauberk.harden.moment import Moment
from hauberk.harden.perturb import Perturb, frozen
from hauberk.harden.precision import autocast, has_bfloat16
from hauberk.harden.run import Run
from hauberk.harden.selection import Score, accuracy
from hauberk.harden.training import Objective, Schedule, train

if TYPE_CHECKING:
    from hauberk.harden.progress import Progress

CNN = {"in_shape": [1, 28, 28], "classes": 10, "widths": [8, 16], "hidden": 32}


def robust(module: nn.Module, data: Dataset, threat: ThreatModel) -> float:
    attack = Perturb(
        threat=threat, bounds=Bounds(), steps=10, step_size=threat.eps / 4, precision="float32"
    )
    generator = torch.Generator().manual_seed(9)
    return accuracy(module, data, attack=lambda m, x, y: attack(m, x, y, generator))


def test_hardening_makes_digits_robust() -> None:
    """The one claim that all else serves, on a small network: seconds, not minutes."""
    data = load()
    training, held_out, test = (data.split(part) for part in ("train", "validation", "test"))
    threat = ThreatModel(eps=0.15)
    plain = Clean(epochs=5, learning_rate=4e-3).fit(build("cnn", CNN), training, held_out, seed=0)
    hard = Adversarial(epochs=10, steps=2, step_size=0.1, learning_rate=4e-3).fit(
        plain, training, held_out, threat, seed=0
    )
    with frozen(plain), frozen(hard):
        assert accuracy(plain, test) > 0.9
        assert accuracy(hard, test) > 0.9
        assert robust(plain, test, threat) < 0.15
        assert robust(hard, test, threat) > 0.35


def test_l2_hardening_runs(train: Dataset, validation: Dataset) -> None:
    module = build("mlp", {"in_shape": [1, 6, 6], "classes": 2})
    hard = Adversarial(epochs=6, steps=2, learning_rate=1e-2).fit(
        module, train, validation, ThreatModel(norm="l2", eps=0.5), seed=0
    )
    assert accuracy(hard, validation) > 0.9
    with pytest.raises(UserError, match="cannot train against l0"):
        Adversarial().fit(module, train, validation, ThreatModel(norm="l0", eps=3), seed=0)


def test_progress_is_told_each_epoch(train: Dataset, validation: Dataset) -> None:
    seen: list[Progress] = []
    ticks = iter(range(100))
    Adversarial(epochs=8, steps=1, batch_size=45).fit(
        build("mlp", {"in_shape": [1, 6, 6], "classes": 2}),
        train,
        validation,
        ThreatModel(eps=0.05),
        seed=0,
        run=Run(progress=seen.append, clock=lambda: float(next(ticks))),
    )
    assert [step.epoch for step in seen] == list(range(1, 9))
    assert {step.epochs for step in seen} == {8}
    assert [step.seconds for step in seen] == [float(n) for n in range(1, 9)]
    assert [step.eta for step in seen] == [float(n) for n in range(7, -1, -1)]
    assert [step.epoch for step in seen if step.robust is not None] == [5, 7, 8]
    assert seen[-1].loss < seen[0].loss


def test_the_best_epoch_is_kept_not_the_last(train: Dataset, validation: Dataset) -> None:
    scores = iter([Score(clean=0.9, robust=r) for r in (0.3, 0.6, 0.6, 0.5)])
    saved: list[dict[str, Tensor]] = []

    def measure(module: nn.Module) -> Score:
        saved.append({name: value.clone() for name, value in module.state_dict().items()})
        return next(scores)

    module = run_objective(train, measure=measure, floor=0.8)
    third = saved[2]
    assert all(torch.equal(value, third[name]) for name, value in module.state_dict().items())


def run_objective(data: Dataset, **change: Any) -> nn.Module:
    def loss(module: nn.Module, x: Tensor, y: Tensor, _: Moment) -> Tensor:
        return nn.functional.cross_entropy(module(x), y)

    objective = Objective(
        **{"loss": loss, "measure": lambda _: Score(clean=1.0), "floor": 0.0, "facts": {}, **change}
    )
    schedule = Schedule(epochs=4, batch_size=32, learning_rate=1e-2, measure_every=1)
    module = build("mlp", {"in_shape": [1, 6, 6], "classes": 2})
    return train(module, data, schedule, objective, seed=0, run=Run())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(train: Dataset, bad: float) -> None:
    with pytest.raises(HauberkError, match="loss became"):
        run_objective(train, loss=lambda module, x, y, _: module(x).sum() * bad)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Score(clean=0.95, robust=0.6), Score(clean=0.99, robust=0.5)),
        (Score(clean=0.90, robust=0.1), Score(clean=0.89, robust=0.9)),
        (Score(clean=0.80, robust=0.1), Score(clean=0.70, robust=0.9)),
        (Score(clean=0.96, robust=0.6), Score(clean=0.95, robust=0.6)),
        (Score(clean=0.96), Score(clean=0.95)),
    ],
)
def test_clean_accuracy_is_a_floor_and_robust_accuracy_the_aim(better: Score, worse: Score) -> None:
    assert better.beats(worse, 0.9)
    assert not worse.beats(better, 0.9)
    assert better.beats(better, 0.9)


def test_the_rate_rises_once_and_falls_to_nothing() -> None:
    schedule = Schedule(epochs=1, batch_size=1, learning_rate=2.0)
    rates = [schedule.rate(share) for share in np.linspace(0, 1, 101)]
    assert rates[0] == pytest.approx(0.08)
    assert max(rates) == pytest.approx(2.0)
    assert int(np.argmax(rates)) == 30
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert (np.diff(rates[:31]) > 0).all()
    assert (np.diff(rates[30:]) < 0).all()


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 40])
def test_the_last_epoch_is_always_measured(epochs: int) -> None:
    assert Schedule(epochs=epochs, batch_size=1, learning_rate=1.0).measured(epochs, epochs)


def test_numbers_out_of_range_are_refused(train: Dataset, validation: Dataset) -> None:
    good = Schedule(epochs=1, batch_size=1, learning_rate=1.0)
    for change in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"weight_decay": -1}):
        with pytest.raises(UserError):
            replace(good, **change)
    for wrong in (
        {"steps": 0},
        {"step_size": 0.0},
        {"clean_share": 1.0},
        {"label_smoothing": -0.1},
        {"start": "warm"},
        {"ramp": 1.0},
        {"validation_most": 0},
    ):
        with pytest.raises(UserError):
            Adversarial(**wrong)
    module = build("mlp", {"in_shape": [1, 6, 6], "classes": 2})
    with pytest.raises(UserError, match="seed"):
        Clean().fit(module, train, validation, seed=-1)
    with pytest.raises(UserError, match="precision"):
        autocast("float16")  # type: ignore[arg-type]


def test_precision_is_what_was_asked_for() -> None:
    layer, x = nn.Linear(4, 4), torch.ones(1, 4)
    for precision, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(precision):  # type: ignore[arg-type]
            assert layer(x).dtype == kind
    with autocast("auto"):
        assert (layer(x).dtype == torch.bfloat16) is has_bfloat16()


def test_new_weights_come_from_the_seed() -> None:
    given = build("cnn", CNN, seed=1)
    state = torch.random.get_rng_state()
    one, same, other = (fresh(given, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(state, torch.random.get_rng_state())
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
        assert not torch.equal(value, other.state_dict()[name])
        assert not torch.equal(value, given.state_dict()[name])


def test_weights_that_cannot_be_drawn_are_named() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1))

    with pytest.raises(UserError, match="'1' cannot draw"):
        fresh(nn.Sequential(nn.Linear(2, 2), Scale()), seed=0)


def test_accuracy_does_not_depend_on_the_batch(validation: Dataset) -> None:
    module = build("mlp", {"in_shape": [1, 6, 6], "classes": 2})
    figures = {accuracy(module, validation, size=size) for size in (1, 7, 512)}
    assert len(figures) == 1


def test_each_epoch_sees_every_sample_once_in_an_order_of_its_own(train: Dataset) -> None:
    seen: list[float] = []

    def loss(module: nn.Module, x: Tensor, y: Tensor, _: Moment) -> Tensor:
        seen.extend(x[:, 0, 0, 0].tolist())
        return nn.functional.cross_entropy(module(x), y)

    run_objective(train, loss=loss)
    epochs = [seen[start : start + len(train)] for start in range(0, len(seen), len(train))]
    assert len(epochs) == 4
    for number, epoch in enumerate(epochs):
        assert sorted(epoch) == sorted(train.x[:, 0, 0, 0].tolist())
        assert epoch not in epochs[:number]


def test_a_fresh_start_forgets_the_given_weights(train: Dataset, validation: Dataset) -> None:
    def hardened(given: int, start: Any) -> Tensor:
        module = build("mlp", {"in_shape": [1, 6, 6], "classes": 2}, seed=given)
        method = Adversarial(epochs=2, steps=1, clean_drop=1.0, start=start)
        hard = method.fit(module, train, validation, ThreatModel(eps=0.05), seed=0)
        return torch.cat([parameter.flatten() for parameter in hard.parameters()])

    assert torch.equal(hardened(1, "fresh"), hardened(2, "fresh"))
    assert not torch.equal(hardened(1, "given"), hardened(2, "given"))
