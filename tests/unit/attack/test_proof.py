from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.ball import Ball
from hauberk.attack.pgd import PGD
from hauberk.attack.proof import proven
from hauberk.core.data import Batch
from hauberk.core.model import Bounds
from hauberk.core.task import Binary, Classification
from hauberk.core.threat import ThreatModel

EPS = 0.03


def _network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)
    ).eval()


def _data(module: nn.Module, seed: int, n: int = 24) -> tuple[Tensor, Tensor]:
    x = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return x, module(x).argmax(1)


def _proven(module: nn.Module, x: Tensor, y: Tensor, eps: float = EPS, **other: Any) -> Tensor:
    ball = Ball(other.pop("norm", "linf"), eps, Bounds())
    task = other.pop("task", Classification())
    return proven(other.pop("answer", module), module, x, y, ball=ball, task=task)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**20))
def test_no_point_of_the_ball_fells_what_is_proven(seed: int) -> None:
    module = _network(seed)
    x, y = _data(module, seed)
    sure = _proven(module, x, y)
    generator = torch.Generator().manual_seed(seed)
    leaf = x.clone().requires_grad_()
    out = module(leaf)
    (slope,) = torch.autograd.grad(out.gather(1, y[:, None]).sum(), leaf)
    tried = [EPS * torch.randn(x.shape, generator=generator).sign() for _ in range(20)]
    for step in (*tried, -EPS * slope.sign()):
        with torch.no_grad():
            right = module((x + step).clamp(0, 1)).argmax(1) == y
        assert bool(right[sure].all())


def test_a_wrong_label_is_not_proven_and_a_tiny_ball_mostly_is() -> None:
    module = _network(0)
    x, y = _data(module, 0)
    assert not bool(_proven(module, x, (y + 1) % 4).any())
    assert float(_proven(module, x, y, eps=1e-4).float().mean()) > 0.8


@pytest.mark.parametrize(
    "other",
    [{"norm": "l2"}, {"task": Binary()}, {"answer": lambda x: torch.zeros(len(x), 4)}],
    ids=["another norm", "another task", "a model that answers otherwise"],
)
def test_nothing_is_proven_of(other: dict[str, Any]) -> None:
    module = _network(0)
    x, y = _data(module, 0)
    assert not bool(_proven(module, x, y, eps=1e-4, **other).any())


def test_nothing_is_proven_of_a_network_with_a_hook() -> None:
    module = _network(0)
    x, y = _data(module, 0)
    module[0].register_forward_hook(lambda *_: None)
    assert not bool(_proven(module, x, y, eps=1e-4).any())


def test_what_is_proven_stands_where_it_is_and_the_figure_is_the_same() -> None:
    module = _network(3)
    x, y = _data(module, 3, n=64)
    batch, threat = Batch(x=x, y=y, index=np.arange(64)), ThreatModel(eps=EPS)
    found = {}
    for fast in (False, True):
        points = PGD(steps=20, fast=fast)(
            TorchModel(module=module),
            batch,
            threat,
            task=Classification(),
            rng=np.random.default_rng(0),
        )
        with torch.no_grad():
            found[fast] = module(points).argmax(1) == y
        if fast:
            sure = _proven(module, x, y)
            assert 0 < int(sure.sum()) < 64
            assert torch.equal(points[sure], x[sure])
    assert torch.equal(found[False], found[True])
