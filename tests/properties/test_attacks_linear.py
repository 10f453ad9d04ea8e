"""On a linear model with two classes the worst case is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.attack.ball import Ball
from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.attack.worst import Worst
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ToyModel, linear_module

torch.set_num_threads(1)
TASK = Classification()
SHAPE = (2, 3, 4)
cases = settings(deadline=None, max_examples=20)
seeds = st.integers(0, 2**20)
radii = st.floats(0.0, 0.6)


def _toy(seed: int, n: int = 12) -> tuple[torch.nn.Module, Batch]:
    module = linear_module(seed=seed, shape=SHAPE)
    x = torch.rand((n, *SHAPE), generator=torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        y = module(x).argmax(1)
    return module, Batch(x=x, y=y, index=np.arange(n))


def _least_margin(module: torch.nn.Module, batch: Batch, eps: float) -> torch.Tensor:
    with torch.no_grad():
        weight = module[1].weight  # type: ignore[index]
        slope = weight[batch.y] - weight[1 - batch.y]
        x = batch.x.flatten(1)
        low, high = (x - eps).clamp(0, 1) - x, (x + eps).clamp(0, 1) - x
        least = torch.minimum(slope * low, slope * high).sum(1)
        margin: torch.Tensor = TASK.margin(module(batch.x), batch.y) + least
        return margin


@cases
@given(seed=seeds, eps=radii)
def test_fgsm_reaches_the_worst_case_exactly(seed: int, eps: float) -> None:
    module, batch = _toy(seed)
    points = FGSM()(
        ToyModel(module), batch, ThreatModel(eps=eps), task=TASK, rng=np.random.default_rng(0)
    )
    with torch.no_grad():
        margin = TASK.margin(module(points), batch.y)
    assert torch.allclose(margin, _least_margin(module, batch, eps), atol=1e-4)


@pytest.mark.parametrize(
    "attack",
    [
        PGD(steps=8, restarts=2),
        Square(queries=30),
        Worst(attacks=(Square(queries=10), PGD(steps=4))),
    ],
    ids=["pgd", "square", "worst"],
)
@cases
@given(seed=seeds, eps=radii)
def test_no_attack_breaks_what_cannot_be_broken(attack: PGD, seed: int, eps: float) -> None:
    module, batch = _toy(seed)
    points = attack(
        ToyModel(module), batch, ThreatModel(eps=eps), task=TASK, rng=np.random.default_rng(seed)
    )
    assert bool(Ball("linf", eps, ToyModel(module).bounds).contains(points, batch.x).all())
    stands = TASK.correct(module(points), batch.y)
    least = _least_margin(module, batch, eps)
    assert bool(stands[least > 1e-4].all())
    if isinstance(attack, PGD):
        assert not bool(stands[least < -1e-2].any()), "pgd misses a worst case that is convex"


@cases
@given(seed=seeds, eps=st.floats(0.05, 2.0))
def test_l2_steps_reach_the_edge_along_the_gradient(seed: int, eps: float) -> None:
    module, batch = _toy(seed)
    inner = Batch(x=batch.x * 0 + 0.5 + (batch.x - 0.5) * 1e-3, y=batch.y, index=batch.index)
    with torch.no_grad():
        inner = Batch(x=inner.x, y=module(inner.x).argmax(1), index=inner.index)
        weight = module[1].weight  # type: ignore[index]
        reach = eps * (weight[0] - weight[1]).norm()
        clean = TASK.margin(module(inner.x), inner.y)
    points = FGSM()(
        ToyModel(module),
        inner,
        ThreatModel(norm="l2", eps=eps),
        task=TASK,
        rng=np.random.default_rng(0),
    )
    with torch.no_grad():
        margin = TASK.margin(module(points), inner.y)
    unclipped = ((points > 0) & (points < 1)).flatten(1).all(1)
    assert torch.allclose(margin[unclipped], (clean - reach)[unclipped], atol=1e-3)


@cases
@given(seed=seeds, split=st.integers(1, 11), eps=st.floats(0.01, 0.4))
def test_any_split_into_batches_gives_the_same_points(seed: int, split: int, eps: float) -> None:
    module, batch = _toy(seed)
    threat = ThreatModel(eps=eps)
    attack = Worst(attacks=(PGD(steps=3), Square(queries=12)))

    def run(rows: slice) -> torch.Tensor:
        part = Batch(x=batch.x[rows], y=batch.y[rows], index=batch.index[rows])
        return attack(ToyModel(module), part, threat, task=TASK, rng=np.random.default_rng(seed))

    whole = run(slice(None))
    pieces = torch.cat([run(slice(split)), run(slice(split, None))])
    assert torch.allclose(whole, pieces, atol=1e-5)
