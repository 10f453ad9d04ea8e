from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.attack.nes import NES
from hauberk.core.data import Batch
from hauberk.core.errors import UserError
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ScoresOnly, ToyModel, linear_module, quantised

if TYPE_CHECKING:
    from collections.abc import Callable

torch.set_num_threads(1)
TASK = Classification()


def _batch(n: int = 40) -> Batch:
    x = torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    with torch.no_grad():
        y = linear_module(seed=1)(x).argmax(1)
    return Batch(x=x, y=y, index=np.arange(n))


@pytest.mark.parametrize("draw", ["normal", "signs"])
def test_more_queries_break_more(draw: str) -> None:
    batch, left = _batch(), []
    for queries in (5, 60, 600):
        model = ScoresOnly(ToyModel(linear_module(seed=1)))
        points = NES(queries=queries, draw=draw)(  # type: ignore[arg-type]
            model, batch, ThreatModel(eps=0.05), task=TASK, rng=np.random.default_rng(0)
        )
        left.append(int(TASK.correct(model(points), batch.y).sum()))
    assert left[2] < left[1] < left[0]


def test_it_needs_no_gradient_to_follow() -> None:
    """Rounded inputs give a gradient of 0; looking an eps away still sees a slope."""
    batch = _batch()
    model = quantised(linear_module(seed=1), levels=16)
    with torch.no_grad():
        batch = Batch(x=batch.x, y=model(batch.x).argmax(1), index=batch.index)
    points = NES(queries=400, reach=1.0)(
        model, batch, ThreatModel(eps=0.1), task=TASK, rng=np.random.default_rng(0)
    )
    assert float(TASK.correct(model(points), batch.y).float().mean()) < 0.7


@pytest.mark.parametrize(
    "build",
    [
        lambda: NES(queries=0),
        lambda: NES(pairs=0),
        lambda: NES(reach=0.0),
        lambda: NES(step=3.0),
        lambda: NES(draw="sobol"),  # type: ignore[arg-type]
    ],
)
def test_hyperparameters_out_of_range(build: Callable[[], object]) -> None:
    with pytest.raises(UserError):
        build()
