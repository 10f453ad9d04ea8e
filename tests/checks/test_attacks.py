"""Every attack passes the checks that plug-in authors are given; a broken one does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch

from hauberk.attack.apgd import APGD
from hauberk.attack.carlini_wagner import CarliniWagner
from hauberk.attack.deepfool import DeepFool
from hauberk.attack.ensemble import Auto, Best
from hauberk.attack.fab import FAB
from hauberk.attack.fgsm import FGSM
from hauberk.attack.fmn import FMN
from hauberk.attack.nes import NES
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.attack.worst import Worst
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.model import Access, Model
from hauberk.core.registry import BUILT_IN, find
from hauberk.core.task import Classification
from hauberk.core.threat import Norm, ThreatModel
from hauberk.testing.attack_checks import attack_checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.attack.attack import Attack

torch.set_num_threads(1)

BOTH: tuple[Norm, ...] = ("linf", "l2")
THREE: tuple[Norm, ...] = ("linf", "l2", "l1")
EVERY: tuple[Norm, ...] = ("linf", "l2", "l1", "l0")
CASES: dict[str, tuple[Attack, tuple[Norm, ...]]] = {
    "apgd": (APGD(steps=10), BOTH),
    "apgd-dlr": (APGD(loss="dlr", steps=10, restarts=2), BOTH),
    "apgd-targeted": (APGD(loss="targeted", steps=10, fast=True), BOTH),
    "auto": (Auto(steps=6, queries=20, fast=False), BOTH),
    "best": (Best(steps=6, queries=20, fast=False), BOTH),
    "carlini-wagner": (CarliniWagner(searches=2, steps=30, rate=0.05), BOTH),
    "carlini-wagner-nearest": (CarliniWagner(searches=2, steps=30, rate=0.05, nearest=True), BOTH),
    "deepfool": (DeepFool(steps=10), BOTH),
    "fab": (FAB(steps=8), THREE),
    "fab-nearest": (FAB(steps=8, nearest=True), THREE),
    "fmn": (FMN(steps=20), EVERY),
    "fmn-nearest": (FMN(steps=20, nearest=True), EVERY),
    "fgsm": (FGSM(), BOTH),
    "nes": (NES(queries=300, pairs=8), BOTH),
    "spsa": (NES(queries=300, pairs=8, draw="signs"), BOTH),
    "pgd": (PGD(steps=5, restarts=2), BOTH),
    "pgd-no-start": (PGD(steps=5, random_start=False), BOTH),
    "pgd-fast": (PGD(steps=5, fast=True), BOTH),
    "square": (Square(queries=80), ("linf",)),
    "square-fast": (Square(queries=80, fast=True), ("linf",)),
    "worst": (Worst(attacks=(FGSM(), PGD(steps=3))), BOTH),
    "worst-scores": (Worst(attacks=(Square(queries=9), Square(queries=60))), ("linf",)),
}
ALL = [
    pytest.param(check, id=f"{attack}: {name}")
    for attack, (component, norms) in CASES.items()
    for name, check in attack_checks(component, norms=norms)
]


@pytest.mark.parametrize("check", ALL)
def test_attack(check: Callable[[], None]) -> None:
    check()


def test_every_registered_attack_is_checked() -> None:
    checked = {type(attack) for attack, _ in CASES.values()}
    assert {find("attack", name) for name in BUILT_IN["attack"]} <= checked


@dataclass(frozen=True, kw_only=True)
class Broken:
    """FGSM with one fault."""

    needs: ClassVar[Access] = Access.GRADIENTS

    fault: str = field(default="")

    def __call__(
        self, model: Model, batch: Batch, threat: ThreatModel, /, *, task: Any, rng: Any
    ) -> torch.Tensor:
        if threat.norm != "linf" and self.fault != "norm":
            raise UserError("linf only")
        if self.fault == "asks first" and len(batch):
            model(batch.x)
        if self.fault == "train" and len(batch):
            model.module.train()  # type: ignore[attr-defined]
        if self.fault == "parameters" and len(batch):
            task.loss(model(batch.x.clone()), batch.y).sum().backward()
        if self.fault == "weak":
            FGSM()(model, batch, threat, task=task, rng=rng)
            return batch.x.clone()
        points = FGSM()(model, batch, threat, task=task, rng=rng)
        delta = points - batch.x
        match self.fault:
            case "ball":
                points = batch.x + 1.01 * delta
            case "bounds":
                points = batch.x + threat.eps * delta.sign()
            case "dtype":
                points = points.double()
            case "global rng":
                points = batch.x + delta * torch.rand(())
            case "batch":
                points = batch.x + delta * (1.0 if len(batch) % 3 else 0.5)
            case "mutates":
                batch.x.copy_(points)
            case "less":
                points = (batch.x - delta).clamp(0, 1)
        return points


@pytest.mark.parametrize(
    ("fault", "caught"),
    [
        ("norm", "norms refused"),
        ("asks first", "honest needs"),
        ("train", "leaves the model alone (linf)"),
        ("parameters", "leaves no gradient behind (linf)"),
        ("weak", "strong enough (linf)"),
        ("ball", "stays in the ball (linf)"),
        ("bounds", "stays in the ball (linf)"),
        ("dtype", "keeps shape and type (linf)"),
        ("global rng", "repeats itself (linf)"),
        ("batch", "independent of batching (linf)"),
        ("mutates", "leaves its inputs alone (linf)"),
        ("less", "never returns less (linf)"),
    ],
)
def test_a_broken_attack_is_caught(fault: str, caught: str) -> None:
    checks = dict(attack_checks(Broken(fault=fault)))
    with pytest.raises(AssertionError):
        checks[caught]()


def test_a_sound_attack_is_not_accused() -> None:
    for _, check in attack_checks(Broken()):
        check()


def test_an_attack_over_budget_is_caught() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Greedy:
        needs: ClassVar[Access] = Access.SCORES

        def __call__(
            self, model: Model, batch: Batch, threat: ThreatModel, /, *, task: Any, rng: Any
        ) -> torch.Tensor:
            for _ in range(8):
                model(batch.x)
            return batch.x.clone()

    with pytest.raises(AssertionError, match="8 rows asked, 1 allowed"):
        dict(attack_checks(Greedy()))["keeps its budget (linf)"]()


def test_an_attack_that_can_be_changed_is_caught() -> None:
    @dataclass
    class Loose:
        steps: int = 1
        needs: ClassVar[Access] = Access.GRADIENTS

        def __call__(
            self, model: Model, batch: Batch, threat: ThreatModel, /, *, task: Any, rng: Any
        ) -> torch.Tensor:
            return batch.x

    with pytest.raises(AssertionError, match="frozen"):
        dict(attack_checks(Loose()))["a frozen component"]()


def test_random_numbers_come_from_the_rng_alone() -> None:
    from hauberk.testing.models import ToyModel, linear_module

    model = ToyModel(linear_module(seed=0))
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((16, 1, 8, 8), generator=generator)
    batch = Batch(x=x, y=model(x).argmax(1), index=np.arange(16))
    results = [
        PGD(steps=1, step_size=1e-6)(
            model,
            batch,
            ThreatModel(eps=1e-3),
            task=Classification(),
            rng=np.random.default_rng(seed),
        )
        for seed in (0, 0, 1)
    ]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
