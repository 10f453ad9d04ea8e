from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch

from hauberk.attack.ball import Ball
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.data import Batch, Dataset
from hauberk.core.digest import canonical_json
from hauberk.core.errors import DataError, HauberkError, UserError
from hauberk.core.evidence import Verdict
from hauberk.core.interval import wilson
from hauberk.core.model import Access, Bounds, Model
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.evaluate.run import Run
from hauberk.testing.models import ScoresOnly, ToyModel, conv_module, linear_module

if TYPE_CHECKING:
    from hauberk.attack.attack import Attack
    from hauberk.evaluate.result import Robustness

torch.set_num_threads(1)
SHAPE = (1, 8, 8)
RADII = (0.02, 0.05, 0.1)
THREAT = ThreatModel(eps=0.05)
ATTACKS: dict[str, Attack] = {
    "fgsm": FGSM(),
    "pgd": PGD(steps=5),
    "square": Square(queries=40),
}


def _data(n: int = 60, *, flip: int = 6) -> Dataset:
    """Labels as the linear model has them, but for the first ``flip``."""
    x = np.random.default_rng(0).uniform(0.2, 0.8, (n, *SHAPE)).astype(np.float32)
    with torch.no_grad():
        y = linear_module(seed=1)(torch.from_numpy(x)).argmax(1).numpy().astype(np.int64)
    y[:flip] = 1 - y[:flip]
    return Dataset(name="toy", x=x, y=y, classes=2)


@pytest.fixture(scope="module")
def result() -> Robustness:
    return evaluate(_model(), _data(), THREAT, attacks=ATTACKS, eps=RADII)


def _model() -> ToyModel:
    return ToyModel(linear_module(seed=1))


def test_the_wrong_untouched_count_as_fallen(result: Robustness) -> None:
    assert result.clean.sum() == 54
    assert not result.clean[:6].any()
    for attack in result.attacks:
        assert not attack.correct[:, :6].any()


def test_fallen_stay_fallen_and_the_worst_is_the_worst(result: Robustness) -> None:
    for attack in result.attacks:
        for small, large in zip(attack.correct, attack.correct[1:], strict=False):
            assert not (large & ~small).any()
    for eps in RADII:
        each = [result.correct(name, eps) for name in ATTACKS]
        assert np.array_equal(result.worst(eps), np.logical_and.reduce(each))
    assert 0 < result.worst(0.05).sum() < 54


def test_points_of_a_smaller_ball_are_carried() -> None:
    @dataclass(frozen=True, kw_only=True)
    class OnlySmall:
        """Finds its points at small radii and forgets them at large ones."""

        needs: ClassVar[Access] = Access.GRADIENTS

        def __call__(
            self, model: Model, batch: Batch, threat: ThreatModel, /, *, task: Any, rng: Any
        ) -> torch.Tensor:
            if threat.eps > 0.05:
                return batch.x.clone()
            return FGSM()(model, batch, threat, task=task, rng=rng)

    found = evaluate(_model(), _data(), THREAT, attacks={"odd": OnlySmall()}, eps=RADII)
    odd = found.attacks[0]
    assert odd.alone[2].sum() == 54
    assert np.array_equal(odd.correct[2], odd.correct[1])


@pytest.mark.parametrize("size", [7, 53])
def test_figures_do_not_depend_on_batches_or_company(result: Robustness, size: int) -> None:
    again = evaluate(
        _model(),
        _data(),
        THREAT,
        attacks={"square": ATTACKS["square"]},
        eps=RADII,
        run=Run(batch_size=size),
    )
    assert np.array_equal(again.attacks[0].correct, result.attacks[2].correct)


def test_another_seed_is_another_run() -> None:
    def tries(seed: int, name: str = "square") -> bytes:
        found = evaluate(_model(), _data(), THREAT, attacks={name: Square(queries=6)}, seed=seed)
        return b"".join(example.adversarial.tobytes() for example in found.examples)

    assert tries(0) == tries(0)
    assert tries(0) != tries(1)
    assert tries(0) != tries(0, "other"), "two attacks of one kind would draw alike"


def test_the_model_is_quiet_inside_and_restored() -> None:
    module = conv_module(seed=2, classes=2).train()
    data = _data()
    first, again = (
        evaluate(ToyModel(module), data, ThreatModel(eps=0.2), attacks={"pgd": PGD(steps=2)})
        for _ in range(2)
    )
    assert np.array_equal(first.clean, again.clean)
    assert np.array_equal(first.attacks[0].correct, again.attacks[0].correct)
    assert all(part.training for part in module.modules())


def test_examples_are_what_they_say(result: Robustness) -> None:
    data, model = _data(), _model()
    assert 1 <= len(result.examples) <= 8
    assert len({example.index for example in result.examples}) == len(result.examples)
    for example in result.examples:
        clean, points = torch.from_numpy(example.clean), torch.from_numpy(example.adversarial)
        assert np.array_equal(example.clean, data.x[example.index])
        assert example.label == data.y[example.index]
        assert example.eps == THREAT.eps
        assert bool(Ball("linf", example.eps, Bounds()).contains(points[None], clean[None]))
        assert int(model(points[None]).argmax()) == example.answer != example.label


def test_progress_and_seconds_are_the_callers(result: Robustness) -> None:
    calls: list[tuple[int, int]] = []
    ticks = iter(range(100))
    timed = evaluate(
        _model(),
        _data(),
        THREAT,
        attacks=ATTACKS,
        eps=RADII,
        run=Run(
            progress=lambda done, total: calls.append((done, total)), clock=lambda: next(ticks)
        ),
    )
    assert calls[-1] == (54 * 9, 54 * 9)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert [attack.seconds for attack in timed.attacks] == [1, 1, 1]
    assert [attack.seconds for attack in result.attacks] == [0, 0, 0]


def test_evidence_carries_its_conditions(result: Robustness) -> None:
    claims = result.evidence("sha256:abc", clean_accuracy=0.8, robust_accuracy=0.99)
    assert [claim.rule for claim in claims] == ["HB-E002"] + ["HB-E006"] * 9 + ["HB-E001"] * 3
    clean, *_ = claims
    assert clean.value == pytest.approx(0.9)
    assert clean.interval == wilson(54, 60)
    assert (clean.verdict, clean.limit) == (Verdict.PASS, 0.8)
    for claim in claims:
        assert claim.subject == "sha256:abc"
        assert claim.spec["seed"] == 0
        assert claim.spec["n"] == 60
        assert claim.spec["dataset"] == _data().digest
        assert json.loads(canonical_json(dict(claim.spec)))
        assert claim.value is not None
        assert claim.interval is not None
        assert claim.interval[0] <= claim.value <= claim.interval[1]
    singles, worst = claims[1:10], claims[10:]
    assert {claim.verdict for claim in singles} == {Verdict.UNKNOWN}
    assert singles[3].spec["attack"] == "pgd"
    assert singles[3].spec["parameters"]["steps"] == 5
    assert singles[3].atlas == ("AML.T0043.000",)
    assert singles[6].atlas == ("AML.T0043.001",)
    assert [claim.spec["eps"] for claim in worst] == list(RADII)
    assert [claim.spec["eps_factor"] for claim in worst] == pytest.approx([0.4, 1.0, 2.0])
    assert set(worst[1].spec["attacks"]) == set(ATTACKS)


def test_only_the_threats_own_radius_is_held_against_the_limit(result: Robustness) -> None:
    below, own, above = result.evidence("s", robust_accuracy=0.99)[-3:]
    assert (own.verdict, own.limit) == (Verdict.FAIL, 0.99)
    assert own.value == pytest.approx(result.worst(0.05).mean())
    for other in (below, above):
        assert (other.verdict, other.limit) == (Verdict.UNKNOWN, None)
    assert result.evidence("s", robust_accuracy=0.0)[-2].verdict is Verdict.PASS
    assert result.evidence("s")[-2].limit == 0.40


def test_a_radius_beside_the_threats_own_never_passes() -> None:
    found = evaluate(_model(), _data(), THREAT, attacks={"fgsm": FGSM()}, eps=[0.01])
    assert found.evidence("s", robust_accuracy=0.0)[-1].verdict is Verdict.UNKNOWN


def test_without_eps_the_threats_own_is_taken() -> None:
    found = evaluate(_model(), _data(), THREAT, attacks={"fgsm": FGSM()})
    assert found.eps == (0.05,)
    with pytest.raises(UserError, match=r"eps 0.1"):
        found.worst(0.1)
    with pytest.raises(UserError, match="square"):
        found.correct("square", 0.05)


def test_no_claim_without_an_attack() -> None:
    with pytest.raises(UserError, match="no attack"):
        evaluate(_model(), _data(), THREAT, attacks={})
    with pytest.raises(UserError, match="no eps"):
        evaluate(_model(), _data(), THREAT, attacks=ATTACKS, eps=[])
    with pytest.raises(UserError, match="eps must be"):
        evaluate(_model(), _data(), THREAT, attacks=ATTACKS, eps=[-1.0])


def test_too_little_access_is_said_before_any_work() -> None:
    poor = ScoresOnly(_model())
    with pytest.raises(UserError, match="needs gradients"):
        evaluate(poor, _data(), THREAT, attacks=ATTACKS)
    assert poor.rows == 0
    found = evaluate(poor, _data(), THREAT, attacks={"square": Square(queries=9)})
    assert found.gradient is None


def test_data_outside_the_models_bounds() -> None:
    model = ToyModel(linear_module(seed=1), Bounds(0.3, 0.7))
    with pytest.raises(DataError, match=r"\[0.3, 0.7\]"):
        evaluate(model, _data(), THREAT, attacks=ATTACKS)


@pytest.mark.parametrize("fault", ["far", "nan", "bounds", "shape", "dtype"])
def test_what_an_attack_brings_back_is_not_trusted(fault: str) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Cheat:
        needs: ClassVar[Access] = Access.SCORES

        def __call__(
            self, model: Model, batch: Batch, threat: ThreatModel, /, *, task: Any, rng: Any
        ) -> torch.Tensor:
            points = batch.x.clone()
            match fault:
                case "far":
                    points[0, 0, 0, 0] = (points[0, 0, 0, 0] + 0.06) % 1.0
                case "nan":
                    points[0, 0, 0, 0] = float("nan")
                case "bounds":
                    points[0] = -0.001
                case "shape":
                    return points[:-1]
                case "dtype":
                    return points.double()
            return points

    with pytest.raises(HauberkError, match="cheat"):
        evaluate(_model(), _data(), THREAT, attacks={"cheat": Cheat()})


def test_a_claimed_fall_is_shown_to_the_model_again() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Idle:
        needs: ClassVar[Access] = Access.SCORES

        def __call__(
            self, model: Model, batch: Batch, threat: ThreatModel, /, *, task: Any, rng: Any
        ) -> torch.Tensor:
            return batch.x.clone()

    found = evaluate(_model(), _data(), THREAT, attacks={"idle": Idle()})
    assert found.worst(0.05).sum() == 54
    assert found.examples == ()


def test_the_task_decides_what_is_right() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Sure(Classification):
        """Right only with a margin of one."""

        def correct(self, out: torch.Tensor, y: torch.Tensor, /) -> torch.Tensor:
            return self.margin(out, y) > 1.0

    plain = evaluate(_model(), _data(), THREAT, attacks={"fgsm": FGSM()})
    strict = evaluate(_model(), _data(), THREAT, attacks={"fgsm": FGSM()}, task=Sure())
    assert strict.clean.sum() < plain.clean.sum()


def test_a_threat_without_radius() -> None:
    found = evaluate(_model(), _data(), replace(THREAT, eps=0.0), attacks=ATTACKS)
    assert np.array_equal(found.worst(0.0), found.clean)
    assert found.evidence("s")[-1].spec["eps_factor"] == 1.0
