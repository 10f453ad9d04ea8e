"""Every attack passes the checks that plug-in authors are given; a broken one does not."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch

from hauberk.attack import victim
from hauberk.attack.apgd import APGD
from hauberk.attack.apgd_l1 import APGDL1
from hauberk.attack.boundary import Boundary
from hauberk.attack.carlini_wagner import CarliniWagner
from hauberk.attack.deepfool import DeepFool
from hauberk.attack.elastic_net import ElasticNet
from hauberk.attack.ensemble import Auto, Best
from hauberk.attack.fab import FAB
from hauberk.attack.fgsm import FGSM
from hauberk.attack.fmn import FMN
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.nes import NES
from hauberk.attack.patch import Patch
from hauberk.attack.pgd import PGD
from hauberk.attack.pgd_l0 import PGDL0
from hauberk.attack.physical_patch import PhysicalPatch
from hauberk.attack.slide import Slide
from hauberk.attack.sparse_rs import SparseRS
from hauberk.attack.spatial import Spatial
from hauberk.attack.spsa import SPSA
from hauberk.attack.square import Square
from hauberk.attack.square_l2 import SquareL2
from hauberk.attack.transfer import Transfer
from hauberk.attack.universal import Universal
from hauberk.attack.working_copy import is_light
from hauberk.attack.worst import Worst
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.model import Access, Model
from hauberk.core.registry import BUILT_IN, find
from hauberk.core.task import Classification
from hauberk.core.threat import Norm, ThreatModel
from hauberk.testing.attack_checks import attack_checks
from hauberk.testing.models import ToyModel, conv_module, linear_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.attack.attack import Attack, Fits

torch.set_num_threads(1)

MODEL = ToyModel(linear_module(seed=3))


def _fitted(attack: Fits, norm: Norm, eps: float) -> Attack:
    """The attack after a fit on images near mid-grey that the checks do not see."""
    x = 0.4 + 0.2 * torch.rand((64, 1, 8, 8), generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        others = Batch(x=x, y=MODEL(x).argmax(1), index=np.arange(64))
    threat, rng = ThreatModel(norm=norm, eps=eps), np.random.default_rng(0)
    return attack.fit(MODEL, others, threat, task=Classification(), rng=rng)


BOTH: tuple[Norm, ...] = ("linf", "l2")
THREE: tuple[Norm, ...] = ("linf", "l2", "l1")
EVERY: tuple[Norm, ...] = ("linf", "l2", "l1", "l0")
CASES: dict[str, tuple[Attack, tuple[Norm, ...]]] = {
    "apgd": (APGD(steps=10), BOTH),
    "apgd-dlr": (APGD(loss="dlr", steps=10, restarts=2), BOTH),
    "apgd-l1": (APGDL1(steps=30), ("l1",)),
    "apgd-l1-dlr": (APGDL1(steps=20, loss="dlr", restarts=2, fast=True), ("l1",)),
    "apgd-targeted": (APGD(loss="targeted", steps=10, fast=True), BOTH),
    "auto": (Auto(steps=6, queries=20), BOTH),
    "best": (Best(steps=6, queries=20), BOTH),
    "boundary": (Boundary(queries=300), ("l2",)),
    "carlini-wagner": (CarliniWagner(searches=2, steps=30, rate=0.05), BOTH),
    "carlini-wagner-nearest": (CarliniWagner(searches=2, steps=30, rate=0.05, nearest=True), BOTH),
    "deepfool": (DeepFool(steps=10), BOTH),
    "elastic-net": (ElasticNet(searches=2, steps=20, rate=0.1), ("l1", "l2")),
    "elastic-net-nearest": (
        ElasticNet(searches=2, steps=20, rate=0.1, nearest=True),
        ("l1", "l2"),
    ),
    "fab": (FAB(steps=8), THREE),
    "fab-nearest": (FAB(steps=8, nearest=True), THREE),
    "fmn": (FMN(steps=20), EVERY),
    "fmn-nearest": (FMN(steps=20, nearest=True), EVERY),
    "fgsm": (FGSM(), BOTH),
    "hop-skip-jump": (HopSkipJump(queries=250, looks=20), BOTH),
    "nes": (NES(queries=300, pairs=8), BOTH),
    "spsa": (SPSA(queries=300, pairs=8), BOTH),
    "patch": (Patch(steps=10), ("patch",)),
    "pgd": (PGD(steps=5, restarts=2), BOTH),
    "pgd-no-start": (PGD(steps=5, random_start=False), BOTH),
    "pgd-fast": (PGD(steps=5, fast=True), BOTH),
    "pgd-l0": (PGDL0(steps=10), ("l0",)),
    "physical-patch": (_fitted(PhysicalPatch(), "patch", 0.15), ("patch",)),
    "slide": (Slide(steps=10, restarts=2), ("l1",)),
    "sparse-rs": (SparseRS(queries=120), ("l0",)),
    "spatial": (Spatial(angles=5, shifts=3), ("spatial",)),
    "square": (Square(queries=80), ("linf",)),
    "square-fast": (Square(queries=80, fast=True), ("linf",)),
    "square-l2": (SquareL2(queries=120), ("l2",)),
    "transfer": (Transfer(surrogates=(MODEL,), kernel=1, diversity=0.2), BOTH),
    "universal": (_fitted(Universal(), "linf", 0.1), BOTH),
    "worst": (Worst(attacks=(FGSM(), PGD(steps=3))), BOTH),
    "worst-scores": (Worst(attacks=(Square(queries=9), Square(queries=60))), ("linf",)),
}
# What one perturbation for all can do is not what one for each can.
STRENGTH = {"universal": 0.3, "physical-patch": 0.2}
ALL = [
    pytest.param(check, id=f"{attack}: {name}")
    for attack, (component, norms) in CASES.items()
    for name, check in attack_checks(component, norms=norms, strength=STRENGTH.get(attack, 0.9))
]


# On a copy of the model only these can come out otherwise, the first ones most easily.
BY_COPY: dict[str, Any] = {
    "independent of batching": (),
    "leaves the model alone": (),
    "strong enough": (),
    "stays in the ball": pytest.mark.nightly,
    "repeats itself": pytest.mark.nightly,
    "leaves its inputs alone": pytest.mark.nightly,
    "leaves no gradient behind": pytest.mark.nightly,
    "never returns less": pytest.mark.nightly,
}


def _copied() -> Iterator[Any]:
    """Each attack that may work on a copy, once, asked to."""
    seen: set[type] = set()
    for name, (attack, norms) in CASES.items():
        may = any(field.name == "fast" for field in fields(attack))  # type: ignore[arg-type]
        if not may or type(attack) in seen:
            continue
        seen.add(type(attack))
        fast = replace(attack, fast=True)  # type: ignore[type-var]
        for check, run in attack_checks(fast, norms=norms, strength=STRENGTH.get(name, 0.9)):
            for begin, marks in BY_COPY.items():
                if check.startswith(begin):
                    yield pytest.param(run, id=f"{name}: {check}", marks=marks)


@pytest.mark.parametrize("check", ALL)
def test_attack(check: Callable[[], None]) -> None:
    """Toy models are light: what works on a copy works on the light one, as for any user."""
    check()


@pytest.mark.parametrize("copy", ["light", "heavy"])
@pytest.mark.parametrize("check", list(_copied()))
def test_attack_on_a_copy(
    check: Callable[[], None], copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if copy == "heavy":
        monkeypatch.setattr(victim, "is_light", lambda *_: False)
    check()


def test_there_are_copies() -> None:
    """Where this fails, the checks above say nothing about copies on this machine."""
    module = conv_module(seed=1)
    sample = torch.rand(1, 1, 8, 8)
    assert is_light(module, sample)
    assert victim.Victim(ToyModel(module), fast=True, sample=sample).approximate


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
