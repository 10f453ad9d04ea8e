"""Every task: right where its margin says so, a loss that climbs towards wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hauberk.attack.carlini_wagner import CarliniWagner
from hauberk.attack.fmn import FMN
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.pgd import PGD
from hauberk.attack.square import Square
from hauberk.core.errors import DataError, UserError
from hauberk.core.samples import Samples
from hauberk.core.task import Binary, Classification, MultiLabel, Regression, Task
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
LABELS = torch.tensor([[1, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    ("task", "out", "y", "right"),
    [
        (Binary(), [[2.0], [-2.0], [0.5]], [1, 1, 0], [True, False, False]),
        (Binary(), [2.0, -2.0], [1, 0], [True, True]),
        (MultiLabel(), [[1.0, -1, 1], [1, -1, 1]], LABELS, [True, False]),
        (MultiLabel(allowed=1), [[1.0, -1, 1], [1, -1, 1]], LABELS, [True, True]),
        (Regression(tolerance=0.5), [[1.0], [2.0]], [1.4, 1.0], [True, False]),
        (Regression(tolerance=1.0), [1.0, float("nan")], [2.0, 1.0], [True, False]),
        (Binary(), [float("nan")], [1], [False]),
    ],
)
def test_what_is_right(task: Task, out: list[float], y: Tensor, right: list[bool]) -> None:
    answers, targets = torch.tensor(out), torch.as_tensor(y)
    assert task.correct(answers, targets).tolist() == right
    margin = task.margin(answers, targets)
    assert (margin[~margin.isnan()] >= 0).tolist() == [
        one for one, number in zip(right, margin.tolist(), strict=True) if number == number
    ]


@pytest.mark.parametrize(
    ("task", "y"),
    [
        (Binary(), torch.tensor([1, 0, 1])),
        (MultiLabel(), torch.tensor([[1, 0], [0, 1], [1, 1]])),
        (Regression(tolerance=0.3), torch.tensor([0.1, -0.4, 2.0])),
        (Classification(), torch.tensor([1, 0, 1])),
    ],
)
def test_the_loss_climbs_towards_wrong(task: Task, y: Tensor) -> None:
    out = torch.randn(3, 1 if y.ndim == 1 else 2, generator=torch.Generator().manual_seed(0))
    if isinstance(task, Classification):
        out = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    out = out.requires_grad_()
    loss = task.loss(out, y)
    assert loss.shape == (3,)
    (slope,) = torch.autograd.grad(loss.sum(), out)
    worse = out + 0.1 * slope / slope.abs().max()
    assert bool((task.loss(worse, y) > loss).all())
    assert bool((task.margin(worse, y) <= task.margin(out, y) + 1e-6).all())


class _Linear(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(6, outputs)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(outputs, 6, generator=generator))
            self.layer.bias.copy_(-0.5 * self.layer.weight.sum(1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


CASES = [
    (Binary(), 1, lambda out: (out[:, 0] > 0).long()),
    (MultiLabel(), 3, lambda out: (out > 0).long()),
    (Regression(tolerance=0.2), 1, lambda out: out[:, 0] + 0.05),
]


@pytest.mark.parametrize(("task", "outputs", "label"), CASES, ids=["binary", "multi", "number"])
@pytest.mark.parametrize(
    ("attack", "norm", "eps"),
    [
        (PGD(steps=10), "linf", 0.15),
        (Square(queries=100), "linf", 0.15),
        (FMN(steps=30), "l2", 0.4),
        (CarliniWagner(searches=3, steps=30, rate=0.05), "l2", 0.4),
        (HopSkipJump(queries=250, looks=20), "l2", 0.4),
    ],
)
def test_attacks_serve_every_task(
    task: Task, outputs: int, label: object, attack: Attack, norm: str, eps: float
) -> None:
    model = ToyModel(_Linear(outputs))
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(2)) * 0.6 + 0.2
    with torch.no_grad():
        y = label(model(x)).numpy()  # type: ignore[operator]
    data = Samples(name="toy", x=x.numpy(), y=y)
    threat = ThreatModel(norm=norm, eps=eps)  # type: ignore[arg-type]
    found = evaluate(model, data, threat, attacks={"one": attack}, task=task)
    assert found.clean.all()
    assert found.worst(eps).mean() < 0.6
    assert all(one.label is None or y.ndim == 1 for one in found.examples)


def test_targets_of_any_form_have_an_address() -> None:
    x = np.zeros((3, 2), np.float32)
    one = Samples(name="a", x=x, y=np.zeros((3, 4), np.float32))
    other = Samples(name="a", x=x, y=np.ones((3, 4), np.float32))
    assert one.digest != other.digest
    assert one.take(np.array([2, 0])).y.shape == (2, 4)
    assert (len(one), one.shape) == (3, (2,))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (np.zeros((0, 2), np.float32), np.zeros(0)),
        (np.zeros((2, 2), np.float32), np.zeros(3)),
        (np.zeros((2, 2)), np.zeros(2)),
        (np.full((2, 2), 2.0, np.float32), np.zeros(2)),
        (np.zeros((2, 2), np.float32), np.array([0.0, np.nan])),
    ],
)
def test_samples_that_do_not_fit(x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(DataError):
        Samples(name="bad", x=x, y=y)


def test_a_tolerance_is_above_nothing() -> None:
    with pytest.raises(UserError):
        Regression(tolerance=0.0)
