from __future__ import annotations

import torch
from torch import nn

from hauberk.evaluate.batch_size import MOST, fitting
from hauberk.testing.models import ScoresOnly, ToyModel

torch.set_num_threads(1)


class Wide(nn.Module):
    """Keeps a mebibyte of float32 for each sample, and weights that do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 1 << 18))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(1)[:, :1] * self.weight[:1]).exp().sum(1, keepdim=True).repeat(1, 2)


def test_what_a_sample_keeps_decides() -> None:
    sample = torch.zeros(1, 8, 8)
    model = ToyModel(Wide())
    few, more = (fitting(model, sample, budget=count << 20) for count in (20, 40))
    assert 5 <= few <= 20
    assert more in {2 * few, 2 * few + 1}
    assert fitting(model, sample, budget=1) == 1
    assert fitting(model, sample) == MOST


def test_without_gradients_only_the_points_count() -> None:
    model, sample = ScoresOnly(ToyModel(Wide())), torch.zeros(1, 8, 8)
    assert fitting(model, sample, budget=20 << 20) == MOST
    assert model.rows == 0, "a query has its price"
