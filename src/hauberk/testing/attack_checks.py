"""What every attack must fulfil; each check is named and raises AssertionError if it does not.

::

    @pytest.mark.parametrize(("name", "check"), attack_checks(MyAttack()))
    def test_my_attack(name, check):
        check()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from hauberk.attack.attack import Attack
from hauberk.attack.ball import Ball, patch_side
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.model import Access
from hauberk.core.task import Classification
from hauberk.core.threat import Norm, ThreatModel
from hauberk.testing.models import ScoresOnly, ToyModel, conv_module, linear_module

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.model import Model

Check = Callable[[], None]
_TASK = Classification()
_SHAPE = (1, 8, 8)
_EPS: dict[Norm, float] = {
    "linf": 0.1,
    "l2": 0.8,
    "l1": 4.0,
    "l0": 8.0,
    "patch": 0.15,
    "spatial": 20.0,
}


def attack_checks(
    attack: Attack, *, norms: Sequence[Norm] = ("linf",), strength: float = 0.9
) -> list[tuple[str, Check]]:
    """The checks of one attack, by name, for every norm in which it works.

    ``strength`` is the share it must break of the samples that a linear model loses for certain
    with half of the radius: by a closed form the attack has no part in.
    """
    case = _Case(attack)
    checks: list[tuple[str, Check]] = [("a frozen component", case.component)]
    checks += [("honest needs", case.honest_needs), ("norms refused", partial(case.refuses, norms))]
    for norm in norms:
        for name, check in {
            "stays in the ball": case.ball,
            "no radius, no change": case.no_radius,
            "keeps shape and type": case.form,
            "an empty batch": case.empty,
            "repeats itself": case.deterministic,
            "independent of batching": case.batching,
            "leaves its inputs alone": case.inputs,
            "leaves the model alone": case.model,
            "leaves no gradient behind": case.parameters,
            "works in inference mode": case.inference,
            "never returns less": case.no_worse,
            "grows with eps": case.grows,
        }.items():
            checks.append((f"{name} ({norm})", partial(check, norm)))
        if norm != "spatial":
            checks.append((f"strong enough ({norm})", partial(case.strong, norm, strength)))
        if attack.needs < Access.GRADIENTS:
            checks.append((f"no more than it needs ({norm})", partial(case.modest, norm)))
        if attack.needs < Access.GRADIENTS:
            checks.append((f"keeps its budget ({norm})", partial(case.budget, norm)))
    return checks


@dataclass(frozen=True)
class _Case:
    """One attack under test, and the toy problem it is tested on."""

    attack: Attack

    def component(self) -> None:
        kind: Any = type(self.attack)
        assert isinstance(self.attack, Attack)
        assert is_dataclass(kind), "an attack is a dataclass"
        for name in [field.name for field in fields(kind)]:
            try:
                setattr(self.attack, name, getattr(self.attack, name))
            except FrozenInstanceError:
                continue
            raise AssertionError(f"{name} can be set: an attack is frozen")

    def honest_needs(self) -> None:
        if self.attack.needs == Access.LABELS:
            return
        poor = ScoresOnly(ToyModel(_linear()), access=Access(self.attack.needs - 1))
        try:
            self.attack(poor, _batch(), ThreatModel(), task=_TASK, rng=_rng())
        except UserError:
            assert poor.rows == 0, "the model was asked before it was refused"
            return
        raise AssertionError(f"a model that gives {poor.access.name} was attacked all the same")

    def refuses(self, norms: Sequence[Norm]) -> None:
        for norm in _EPS:
            if norm in norms:
                continue
            try:
                self.run(ToyModel(_linear()), _batch(), norm)
            except UserError:
                continue
            raise AssertionError(f"{norm} is not among its norms, but was not refused")

    def ball(self, norm: Norm) -> None:
        for model in (ToyModel(_linear()), ToyModel(conv_module(seed=1))):
            for scale in (0.1, 1.0, 3.0):
                batch, eps = _batch(), _EPS[norm] * scale
                points = self.run(model, batch, norm, eps=eps)
                inside = Ball(norm, eps, model.bounds).contains(points, batch.x)
                assert bool(inside.all()), f"{int((~inside).sum())} points outside at eps {eps:g}"

    def no_radius(self, norm: Norm) -> None:
        batch = _batch()
        points = self.run(ToyModel(_linear()), batch, norm, eps=0.0)
        assert torch.equal(points, batch.x), "points moved although eps is 0"

    def form(self, norm: Norm) -> None:
        batch = _batch()
        points = self.run(ToyModel(_linear()), batch, norm)
        assert points.shape == batch.x.shape
        assert points.dtype == batch.x.dtype
        assert not points.requires_grad

    def empty(self, norm: Norm) -> None:
        whole = _batch()
        none = Batch(x=whole.x[:0], y=whole.y[:0], index=whole.index[:0])
        assert self.run(ToyModel(_linear()), none, norm).shape == none.x.shape

    def deterministic(self, norm: Norm) -> None:
        torch.manual_seed(1)
        first = self.run(ToyModel(_linear()), _batch(), norm)
        torch.manual_seed(2)
        again = self.run(ToyModel(_linear()), _batch(), norm)
        assert torch.equal(first, again), "one seed, two results"

    def batching(self, norm: Norm) -> None:
        model, batch = ToyModel(_linear()), _batch()
        whole = self.run(model, batch, norm)
        order = np.arange(len(batch))[::-1].copy()
        parts = []
        for rows in np.array_split(order, 3):
            take = torch.from_numpy(rows)
            part = Batch(x=batch.x[take], y=batch.y[take], index=batch.index[rows])
            parts.append(self.run(model, part, norm))
        pieces = torch.cat(parts).flip(0)
        far = (whole - pieces).abs().flatten(1).amax(1) > 1e-4
        assert not bool(far.any()), f"{int(far.sum())} samples depend on their batch"

    def inputs(self, norm: Norm) -> None:
        batch = _batch()
        x, y, index = batch.x.clone(), batch.y.clone(), batch.index.copy()
        points = self.run(ToyModel(conv_module(seed=1)), batch, norm)
        assert torch.equal(batch.x, x), "the inputs were written to"
        assert torch.equal(batch.y, y), "the targets were written to"
        assert np.array_equal(batch.index, index), "the indices were written to"
        points.zero_()
        assert torch.equal(batch.x, x), "the result shares memory with the inputs"

    def model(self, norm: Norm) -> None:
        module = conv_module(seed=1).train()
        list(module.children())[2].eval()
        modes = [part.training for part in module.modules()]
        state = {name: value.clone() for name, value in module.state_dict().items()}
        first = self.run(ToyModel(module), _batch(), norm)
        again = self.run(ToyModel(module), _batch(), norm)
        assert modes == [part.training for part in module.modules()], "modes were not restored"
        for name, value in module.state_dict().items():
            assert torch.equal(value, state[name]), f"{name} was changed"
        assert torch.equal(first, again), "dropout was left on"

    def parameters(self, norm: Norm) -> None:
        module = conv_module(seed=1)
        frozen, *others = module.parameters()
        frozen.requires_grad_(requires_grad=False)  # type: ignore[call-arg]
        others[0].grad = torch.ones_like(others[0])
        self.run(ToyModel(module), _batch(), norm)
        assert not frozen.requires_grad, "a frozen parameter was thawed"
        assert all(one.requires_grad for one in others), "parameters were left frozen"
        assert bool((others[0].grad == 1).all()), "a gradient was added to a parameter's"
        assert all(one.grad is None for one in others[1:]), "parameter gradients were computed"

    def inference(self, norm: Norm) -> None:
        usual = self.run(ToyModel(_linear()), _batch(), norm)
        module = _linear()
        with torch.inference_mode():
            inside = self.run(ToyModel(module), _batch(), norm)
        assert torch.equal(usual, inside)

    def no_worse(self, norm: Norm) -> None:
        model, batch = ToyModel(_linear()), _batch()
        points = self.run(model, batch, norm)
        before, after = _TASK.loss(model(batch.x), batch.y), _TASK.loss(model(points), batch.y)
        right = _TASK.correct(model(points), batch.y)
        less = right & (after < before - 1e-6)
        assert not bool(less.any()), "a sample that stands was returned with less loss than clean"

    def grows(self, norm: Norm) -> None:
        model, batch = ToyModel(_linear()), _batch()
        standing = [
            int(_TASK.correct(model(self.run(model, batch, norm, eps=eps)), batch.y).sum())
            for eps in (0.0, _EPS[norm] / 2, _EPS[norm], _EPS[norm] * 2)
        ]
        slack = max(1, len(batch) // 20)
        for small, large in pairwise(standing):
            assert large <= small + slack, f"accuracy rises with eps: {standing}"

    def strong(self, norm: Norm, strength: float) -> None:
        module, batch = _linear(), _batch()
        model = ToyModel(module)
        eps = _EPS[norm]
        lost = _worst_margin(module, batch, norm, eps / 2) < 0
        right = _TASK.correct(model(batch.x), batch.y)
        assert int((lost & right).sum()) >= 10, "the toy problem is too easy to tell"
        stands = _TASK.correct(model(self.run(model, batch, norm, eps=eps)), batch.y)
        share = 1 - float(stands[lost & right].float().mean())
        assert share >= strength, f"breaks {share:.3f} of what is certain to break"
        safe = _worst_margin(module, batch, norm, eps) > 1e-4
        assert bool(stands[safe & right].all()), "breaks what no point of the ball can break"

    def modest(self, norm: Norm) -> None:
        """What a model gives beyond the attack's needs must not change which samples fall."""
        model, batch = ToyModel(_linear()), _batch()
        poor = ScoresOnly(model, access=Access(self.attack.needs))
        rich, found = self.run(model, batch, norm), self.run(poor, batch, norm)
        stands = [_TASK.correct(model(points), batch.y) for points in (rich, found)]
        assert torch.equal(*stands), "it takes more than it needs"

    def budget(self, norm: Norm) -> None:
        for queries in (1, 2, 7, 50):
            threat = ThreatModel(norm=norm, eps=_EPS[norm], queries=queries)
            for row in range(6):
                whole = _batch()
                one = Batch(
                    x=whole.x[row : row + 1],
                    y=whole.y[row : row + 1],
                    index=whole.index[row : row + 1],
                )
                model = ScoresOnly(ToyModel(_linear()))
                try:
                    self.attack(model, one, threat, task=_TASK, rng=_rng())
                except UserError:
                    assert model.rows == 0, "refused only after the model was asked"
                assert model.rows <= queries, f"{model.rows} rows asked, {queries} allowed"

    def run(self, model: Model, batch: Batch, norm: Norm, *, eps: float | None = None) -> Tensor:
        threat = ThreatModel(norm=norm, eps=_EPS[norm] if eps is None else eps)
        return self.attack(model, batch, threat, task=_TASK, rng=_rng())


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _linear() -> nn.Module:
    return linear_module(seed=3, shape=_SHAPE)


def _batch(n: int = 48) -> Batch:
    """Images near mid-grey, a few on the bounds or close; one label is not the linear model's."""
    generator = torch.Generator().manual_seed(5)
    x = 0.3 + 0.4 * torch.rand((n, *_SHAPE), generator=generator)
    x[::12] = x[::12].round()
    x[6::12] = 0.02 + 0.96 * x[6::12].round()
    with torch.no_grad():
        y = _linear()(x).argmax(1)
    y[5] = 1 - y[5]
    return Batch(x=x, y=y, index=np.arange(n, dtype=np.int64) + 100)


def _worst_margin(module: nn.Module, batch: Batch, norm: Norm, eps: float) -> Tensor:
    """The least margin of a two-class linear model within the ball, in closed form.

    Exact in ``linf``, where the bounds are counted in; elsewhere the ball is taken to lie within
    them, so that it may be less than what can be reached; a patch may lie anywhere.
    """
    with torch.no_grad():
        out = module(batch.x)
        own, other = batch.y, 1 - batch.y
        weight = next(part.weight for part in module.modules() if isinstance(part, nn.Linear))
        slope = weight[own] - weight[other]
        margin: Tensor = _TASK.margin(out, batch.y)
        if norm == "linf":
            x = batch.x.flatten(1)
            up, down = (x + eps).clamp(0, 1) - x, (x - eps).clamp(0, 1) - x
            margin += torch.minimum(slope * up, slope * down).sum(1)
        elif norm == "l2":
            margin -= eps * slope.norm(dim=1)
        elif norm == "l1":
            margin -= eps * slope.abs().amax(1)
        elif norm == "patch":
            drop = torch.maximum(slope * batch.x.flatten(1), slope * (batch.x.flatten(1) - 1))
            side = patch_side(eps, batch.x.shape)
            sums = avg_pool2d(drop.view_as(batch.x), side, stride=1) * side**2
            margin -= sums.flatten(1).amax(1)
        else:  # each changed value moves by the whole range at most
            margin -= slope.abs().sort(dim=1, descending=True).values[:, : int(eps)].sum(1)
        return margin
