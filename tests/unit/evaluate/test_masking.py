from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.data import Dataset
from hauberk.core.errors import UserError
from hauberk.core.evidence import Verdict
from hauberk.core.model import Access, Model
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.gradient import GradientHealth
from hauberk.evaluate.guarded import GuardedModel
from hauberk.evaluate.masking import masking
from hauberk.evaluate.probes import Probes
from hauberk.evaluate.result import AttackResult, Robustness
from hauberk.evaluate.robustness import evaluate
from hauberk.guard.squeeze import Squeeze
from hauberk.testing.models import (
    RoundingGuard,
    ScoresOnly,
    ToyModel,
    detached,
    linear_module,
    quantised,
    saturated,
    shattered,
    stochastic,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
SHAPE = (1, 8, 8)
ATTACKS: dict[str, Attack] = {"pgd": PGD(steps=10), "square": Square(queries=120)}


def _measure(model: Model, *, attacks: Mapping[str, Attack] = ATTACKS) -> Robustness:
    x = np.random.default_rng(0).uniform(0.2, 0.8, (80, *SHAPE)).astype(np.float32)
    with torch.no_grad():
        y = model(torch.from_numpy(x)).argmax(1).numpy().astype(np.int64)
    data = Dataset(name="toy", x=x, y=y, classes=2)
    return evaluate(model, data, ThreatModel(eps=0.1), attacks=attacks, eps=(0.05, 0.1, 0.15))


def test_an_honest_model_passes() -> None:
    evidence = masking(_measure(ToyModel(linear_module(seed=1))), "s")
    assert (evidence.rule, evidence.verdict, evidence.value) == ("HB-E005", Verdict.PASS, 1.0)
    assert set(evidence.spec["signs"].values()) == {"pass"}


@pytest.mark.parametrize(
    "masked",
    [quantised(linear_module(seed=1)), saturated(linear_module(seed=1))],
    ids=["quantised", "saturated"],
)
def test_a_masked_model_does_not_pass(masked: ToyModel) -> None:
    result = _measure(masked)
    evidence = masking(result, "s")
    assert (evidence.verdict, evidence.value) == (Verdict.FAIL, 0.0)
    assert "gradient is 0 at" in evidence.message
    # The claim matters: by the gradient attack alone the model would look robust.
    assert result.correct("pgd", 0.1).sum() > result.correct("square", 0.1).sum()
    assert evidence.spec["signs"]["gradient-free at 0.1"] == "fail"


def test_a_model_behind_an_interface_is_unknown() -> None:
    model = ScoresOnly(ToyModel(linear_module(seed=1)))
    evidence = masking(_measure(model, attacks={"square": Square(queries=20)}), "s")
    assert (evidence.verdict, evidence.value) == (Verdict.UNKNOWN, None)
    assert "no gradient" in evidence.message
    assert "no attack with gradients" in evidence.message


def test_without_a_comparison_it_is_unknown() -> None:
    evidence = masking(
        _measure(ToyModel(linear_module(seed=1)), attacks={"pgd": PGD(steps=3)}), "s"
    )
    assert evidence.verdict is Verdict.UNKNOWN
    assert "no attack without gradients" in evidence.message


def _made(
    climbing: list[int], free: list[int], *, health: GradientHealth | None, n: int = 100
) -> Robustness:
    """Of ``n`` samples the first few stand, at each of the radii."""

    def attack(name: str, needs: Access, standing: list[int]) -> AttackResult:
        alone = np.array([np.arange(n) < count for count in standing])
        return AttackResult(
            name=name,
            needs=needs,
            parameters={},
            correct=np.logical_and.accumulate(alone, axis=0),
            alone=alone,
        )

    return Robustness(
        name="toy",
        dataset="sha256:1",
        threat=ThreatModel(eps=0.1),
        seed=0,
        clean=np.ones(n, dtype=np.bool_),
        eps=tuple(0.1 * (position + 1) for position in range(len(climbing))),
        attacks=(
            attack("pgd", Access.GRADIENTS, climbing),
            attack("square", Access.SCORES, free),
        ),
        gradient=health,
        probes=PROBED if health is not None else None,
    )


SOUND = GradientHealth(n=100, finite=100, nonzero=100, strong=100, steady=100, leading=100)
PROBED = Probes(n=32, standing=0, only_random=0, only_climbing=8)


@pytest.mark.parametrize(
    ("climbing", "free", "health", "verdict", "says"),
    [
        ([80, 40], [90, 60], SOUND, Verdict.PASS, "0 samples fell only without"),
        ([80, 40], [78, 60], SOUND, Verdict.PASS, "2 samples fell only without"),
        ([80, 40], [60, 30], SOUND, Verdict.FAIL, "20 samples fell only without"),
        ([40, 60], [50, 60], SOUND, Verdict.FAIL, "stand at 0.2"),
        ([40, 60], [50, 41], SOUND, Verdict.PASS, "falls with eps"),
        ([80], [90], SOUND, Verdict.UNKNOWN, "single eps"),
        ([80], [60], SOUND, Verdict.FAIL, "only without"),
        ([80, 40], [90, 60], None, Verdict.UNKNOWN, "no gradient"),
        ([80, 40], [90, 60], replace(SOUND, finite=99), Verdict.FAIL, "not finite at 1 of 100"),
        ([80, 40], [90, 60], replace(SOUND, nonzero=89), Verdict.FAIL, "0 at 11 of 100"),
        ([80, 40], [90, 60], replace(SOUND, nonzero=95), Verdict.PASS, "0 at 5 of 100"),
        ([0, 0], [0, 0], replace(SOUND, n=0), Verdict.UNKNOWN, "no sample"),
        ([80, 40], [90, 60], replace(SOUND, strong=80), Verdict.FAIL, "about to, at 20 of 100"),
        ([80, 40], [90, 60], replace(SOUND, leading=60), Verdict.FAIL, "random one at 40 of 100"),
        ([80, 40], [90, 60], replace(SOUND, steady=99), Verdict.UNKNOWN, "differently at 1 of"),
    ],
)
def test_signs(
    climbing: list[int],
    free: list[int],
    health: GradientHealth | None,
    verdict: Verdict,
    says: str,
) -> None:
    evidence = masking(_made(climbing, free, health=health), "s")
    assert evidence.verdict is verdict
    assert says in evidence.message


@pytest.mark.parametrize(
    ("probes", "verdict", "says"),
    [
        (replace(PROBED, standing=1), Verdict.FAIL, "1 of 32 samples withstand"),
        (replace(PROBED, only_random=12, only_climbing=0), Verdict.FAIL, "12 fell only at random"),
        (replace(PROBED, only_random=1, only_climbing=0), Verdict.PASS, "1 fell only at random"),
        (replace(PROBED, n=0), Verdict.UNKNOWN, "no sample was attacked"),
        (None, Verdict.UNKNOWN, "no sample was attacked"),
    ],
)
def test_probes(probes: Probes | None, verdict: Verdict, says: str) -> None:
    result = replace(_made([80, 40], [90, 60], health=SOUND), probes=probes)
    evidence = masking(result, "s")
    assert evidence.verdict is verdict
    assert says in evidence.message


PLAIN = ToyModel(linear_module(seed=1))
ZOO: dict[str, tuple[Model, str]] = {
    "quantised": (quantised(linear_module(seed=1)), "gradient"),
    "shattered": (shattered(linear_module(seed=1)), "leading"),
    "stochastic": (stochastic(linear_module(seed=1)), "steady"),
    "saturated": (saturated(linear_module(seed=1)), "saturation"),
    "detached": (detached(linear_module(seed=1)), "leading"),
    "non-differentiable guard": (GuardedModel(model=PLAIN, guards=(RoundingGuard(),)), "gradient"),
}


@pytest.mark.parametrize("name", ZOO)
def test_no_animal_of_the_zoo_passes(name: str) -> None:
    model, sign = ZOO[name]
    torch.manual_seed(0)
    open_to_all = {one: attack for one, attack in ATTACKS.items() if attack.needs <= model.access}
    evidence = masking(_measure(model, attacks=open_to_all), "s")
    assert evidence.verdict is not Verdict.PASS
    assert evidence.spec["signs"][sign] != "pass"


def test_a_guard_is_attacked_through_its_surrogate() -> None:
    guarded = GuardedModel(model=PLAIN, guards=(Squeeze(bits=3),))
    assert guarded.access is Access.GRADIENTS
    result = _measure(guarded)
    evidence = masking(result, "s")
    assert evidence.verdict is Verdict.PASS, evidence.message
    plain = _measure(PLAIN)
    # The guard adds next to nothing against an attacker who knows it.
    assert result.correct("pgd", 0.1).mean() <= plain.correct("pgd", 0.1).mean() + 0.1


def test_a_guard_without_a_surrogate_cuts_the_gradient() -> None:
    guarded = GuardedModel(model=PLAIN, guards=(Squeeze(bits=3), RoundingGuard()))
    assert guarded.access is Access.SCORES
    with pytest.raises(UserError, match="gradients"):
        _measure(guarded)
    with pytest.raises(UserError, match="no guard"):
        GuardedModel(model=PLAIN, guards=())
