"""The standard attacks against other libraries on one MNIST network, with the same budgets.

Robust accuracy may be 1 point worse at most; a figure that is better is as good. What is printed
with ``-s`` are both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from benchmarks.lab_models import DATA, mnist, small_cnn

from hauberk.attack.apgd import APGD
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.core.threat import Norm, ThreatModel
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.attack.attack import Attack

POINT = 0.01
TASK = Classification(rounded=True)
pytestmark = [
    pytest.mark.peers,
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        not (DATA / "weights-mnist-dev").is_dir(), reason="../shared/data holds no weights"
    ),
]
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> ToyModel:
    return ToyModel(small_cnn().requires_grad_(requires_grad=False))


@pytest.fixture(scope="module")
def batch() -> Batch:
    x, y = mnist()
    return Batch(x=x[:200], y=y[:200], index=np.arange(200))


def _left(model: ToyModel, points: Tensor, batch: Batch) -> float:
    with torch.no_grad():
        return float(TASK.correct(model(points), batch.y).float().mean())


def _no_worse(
    model: ToyModel, batch: Batch, attack: Attack, threat: ThreatModel, peer: Tensor
) -> None:
    points = attack(model, batch, threat, task=TASK, rng=np.random.default_rng(0))
    ours, theirs = _left(model, points, batch), _left(model, peer, batch)
    print(f"{type(attack).__name__} {threat}: ours {ours:.4f}, peer {theirs:.4f}")
    assert ours <= theirs + POINT + 1e-9


@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.1), ("l2", 1.5)])
def test_pgd(model: ToyModel, batch: Batch, norm: Norm, eps: float) -> None:
    library = pytest.importorskip("torchattacks")
    kind = library.PGD if norm == "linf" else library.PGDL2
    points = kind(model.module, eps=eps, alpha=eps / 10, steps=40)(batch.x, batch.y)
    threat = ThreatModel(norm=norm, eps=eps)
    _no_worse(model, batch, PGD(step_size=eps / 10), threat, points)


def test_apgd(model: ToyModel, batch: Batch) -> None:
    library = pytest.importorskip("pyautoattack.autopgd_base")
    points = library.APGDAttack(model.module, eps=0.1, device="cpu").perturb(batch.x, batch.y)
    _no_worse(model, batch, APGD(), ThreatModel(eps=0.1), points)
