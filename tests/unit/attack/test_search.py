from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hauberk.attack import victim as victim_module
from hauberk.attack import working_copy as copy_module
from hauberk.attack.search import Search
from hauberk.attack.victim import Victim, module_of, quiet
from hauberk.attack.working_copy import has_bfloat16
from hauberk.core.data import Batch
from hauberk.core.errors import DataError, HauberkError, UserError
from hauberk.core.model import Access
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ScoresOnly, ToyModel, conv_module, linear_module

TASK = Classification()


def _model() -> ToyModel:
    """Class 1 where the first value is above one half."""
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0]]))
        layer.bias.copy_(torch.tensor([0.0, -5.0]))
    return ToyModel(layer)


def _batch() -> Batch:
    x = torch.tensor([[0.1, 0.5], [0.4, 0.5], [0.9, 0.5], [0.45, 0.5]])
    return Batch(x=x, y=torch.tensor([0, 0, 0, 0]), index=np.arange(4))


def _search(
    model: object = None,
    *,
    needs: Access = Access.SCORES,
    queries: int | None = None,
    eps: float = 0.2,
) -> Search:
    return Search(
        model or _model(),  # type: ignore[arg-type]
        _batch(),
        ThreatModel(eps=eps, queries=queries),
        task=TASK,
        rng=np.random.default_rng(0),
        needs=needs,
    )


def test_the_fallen_leave_and_keep_the_point_at_which_they_fell() -> None:
    with _search() as search:
        answer = search.ask(search.x)
        assert answer.keep.tolist() == [0, 1, 3]  # the third is wrong as it is
        assert answer.out.shape == (3, 2)
        step = torch.tensor([0.2, 0.0])
        answer = search.ask(search.x + step)
        assert answer.keep.tolist() == [0]
        assert search.x.tolist() == [_batch().x[0].tolist()]
        assert search.batch().index.tolist() == [0]
        result = search.result()
    assert torch.allclose(result[:, 0], torch.tensor([0.3, 0.6, 0.9, 0.65]))


def test_of_the_standing_the_point_of_highest_loss_is_returned() -> None:
    with _search() as search:
        search.ask(search.x)
        search.ask(search.x + torch.tensor([0.02, 0.0]))
        search.ask(search.x - torch.tensor([0.1, 0.0]))
        result = search.result()
    assert result[0, 0].item() == pytest.approx(0.12)


def test_calls_shrink_to_what_stands() -> None:
    model = ScoresOnly(_model())
    with _search(model) as search:
        search.ask(search.x)
        search.ask(search.x)
        assert model.rows == 4 + 3


def test_the_slope_belongs_to_the_standing() -> None:
    with _search(needs=Access.GRADIENTS) as search:
        slope = search.climb(search.x, TASK.loss)
        assert slope.gradient.shape == (3, 2)
        assert bool((slope.gradient[:, 0] > 0).all())
        assert not slope.gradient[:, 1].any()


def test_draws_follow_the_sample_not_its_place() -> None:
    with _search() as search:
        before = search.uniform(4, 6)
        answer = search.ask(search.x)
        assert torch.equal(search.uniform(4, 6), before[answer.keep])
        assert not torch.equal(search.start(0)[0] - search.x[0], search.start(1)[0] - search.x[0])


def test_the_budget_holds_for_attacks_without_gradients_alone() -> None:
    with _search(queries=2) as search:
        search.ask(search.x)
        assert search.left == 1
        search.ask(search.x)
        assert search.done()
        with pytest.raises(HauberkError, match="beyond its 2 queries"):
            search.ask(search.x)
    with _search(queries=1, needs=Access.GRADIENTS) as search:
        search.ask(search.x)
        search.ask(search.x)
        assert not search.done()


def test_nothing_to_try_without_a_radius() -> None:
    with _search(eps=0.0) as search:
        assert not search.done()
        search.ask(search.x)
        assert search.done()


@pytest.mark.parametrize(
    ("x", "what"),
    [
        (torch.full((4, 2), 1.5), "outside"),
        (torch.full((4, 2), float("nan")), "NaN"),
        (torch.zeros((3, 2)), "3 inputs"),
        (torch.zeros((4, 2), dtype=torch.int64), "floating-point"),
    ],
)
def test_a_batch_that_does_not_fit(x: Tensor, what: str) -> None:
    batch = Batch(x=x, y=torch.zeros(4, dtype=torch.int64), index=np.arange(4))
    with pytest.raises(DataError, match=what):
        Search(
            _model(),
            batch,
            ThreatModel(),
            task=TASK,
            rng=np.random.default_rng(0),
            needs=Access.SCORES,
        )


def test_too_little_access_says_what_to_do() -> None:
    with pytest.raises(UserError, match="needs gradients, the model gives scores") as caught:
        _search(ScoresOnly(_model()), needs=Access.GRADIENTS)
    assert "square" in caught.value.hint


@dataclass(frozen=True)
class Liar(ToyModel):
    """Declares gradients and cuts them off."""

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.module(x).detach()  # type: ignore[no-any-return]


def test_a_model_that_cuts_off_its_gradients_is_named() -> None:
    with (
        _search(Liar(_model().module), needs=Access.GRADIENTS) as search,
        pytest.raises(UserError, match="cuts them off"),
    ):
        search.climb(search.x, TASK.loss)


def test_quiet_restores_even_after_an_error() -> None:
    module = conv_module(seed=0).train()

    def breaks() -> None:
        with quiet(ToyModel(module)):
            assert not any(part.training for part in module.modules())
            raise RuntimeError("broke")

    with pytest.raises(RuntimeError, match="broke"):
        breaks()
    assert all(part.training for part in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_broken_gradient_becomes_zero() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x - x).sqrt() + x

    _, gradient = Victim(ToyModel(Root())).climb(torch.full((2, 3), 0.5), lambda out: out.sum(1))
    assert bool(gradient.isfinite().all())


def test_a_model_that_works_in_place_does_not_write_into_the_points() -> None:
    class Halve(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mul_(0.5)

    points = torch.full((2, 3), 0.5)
    victim = Victim(ToyModel(Halve()))
    victim.answer(points)
    victim.climb(points, lambda out: out.sum(1))
    assert bool((points == 0.5).all())


def test_a_module_that_is_a_model_is_found() -> None:
    module = linear_module(seed=0)
    assert module_of(module) is module  # type: ignore[arg-type]
    assert module_of(ToyModel(module)) is module
    assert module_of(ScoresOnly(ToyModel(module))) is None


class TestWorkingCopy:
    """A copy that is wrong must not make a sample fall."""

    @pytest.fixture
    def wrong_copy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def flipped(module: nn.Module, *, half: bool, light: bool) -> nn.Module:
            return nn.Sequential(module, _Flip())

        monkeypatch.setattr(victim_module, "working_copy", flipped)
        monkeypatch.setattr(victim_module, "is_light", lambda *_: False)

    @pytest.mark.usefixtures("wrong_copy")
    def test_every_fall_is_confirmed_by_the_model_itself(self) -> None:
        search = _search(eps=0.2)
        search._fast = True
        with search:
            answer = search.ask(search.x)
            # The copy says 0, 1 and 3 fall, the model says they stand; of 2 the copy says that it
            # stands, and so the search goes on with it.
            assert answer.keep.tolist() == [0, 1, 2, 3]

    def test_bfloat16_units_are_asked_of_the_machine(self) -> None:
        assert has_bfloat16("meta") is False
        assert isinstance(has_bfloat16("cpu"), bool)

    def test_without_units_there_is_no_copy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(copy_module, "has_bfloat16", lambda _: False)
        assert not Victim(_model(), fast=True).approximate

    def test_the_copy_is_close_and_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(copy_module, "has_bfloat16", lambda _: True)
        model = ToyModel(conv_module(seed=0).eval())
        x = torch.rand((4, 1, 8, 8), generator=torch.Generator().manual_seed(0))
        copy = Victim(model, fast=True)
        assert copy.approximate
        exact, near = copy.confirm(x), copy.answer(x)
        assert near.dtype == torch.float32
        assert torch.allclose(exact, near, atol=0.05)
        assert not torch.equal(exact, near)
        assert all(parameter.requires_grad for parameter in model.module.parameters())


class _Flip(nn.Module):
    def forward(self, out: Tensor) -> Tensor:
        return out.flip(1)


def test_slopes_of_a_part_at_a_time_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    module = conv_module(seed=0).eval()
    x = torch.rand((7, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    y, weight = torch.arange(7) % 3, torch.arange(7.0) + 1
    monkeypatch.setattr(copy_module, "has_bfloat16", lambda _: True)
    found = []
    for most in (64, 3):
        monkeypatch.setattr(victim_module, "_AT_ONCE", most)
        victim = Victim(ToyModel(module), fast=True)
        assert victim.approximate
        found.append(victim.climb(x, lambda out: weight * TASK.loss(out, y)))
    for whole, parts in zip(*found, strict=True):
        assert torch.allclose(whole, parts, rtol=1e-2, atol=1e-3)
