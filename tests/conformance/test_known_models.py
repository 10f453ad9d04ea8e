"""Published weights at the figures that were measured on them elsewhere, within the interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from benchmarks.lab_models import DATA, cifar, mnist, resnet, robust_cnn, small_cnn

from hauberk.attack.fgsm import FGSM
from hauberk.attack.pgd import PGD
from hauberk.core.data import Dataset
from hauberk.core.interval import wilson
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
pytestmark = pytest.mark.skipif(
    not (DATA / "weights-mnist-dev").is_dir(), reason="../shared/data holds no weights"
)
N = 500
LONG = pytest.mark.nightly


def _data(x: Tensor, y: Tensor) -> Dataset:
    return Dataset(name="known", x=x[:N].numpy(), y=y[:N].numpy(), classes=10)


@pytest.mark.parametrize(
    ("make", "images", "clean"),
    [
        (small_cnn, mnist, 0.9944),
        (robust_cnn, mnist, 0.9669),
        (resnet, lambda: cifar("test"), 0.81),
    ],
    ids=["small-cnn", "robust", "resnet-20"],
)
def test_untouched(
    make: Callable[[], nn.Module], images: Callable[[], tuple[Tensor, Tensor]], clean: float
) -> None:
    x, y = images()
    with torch.no_grad():
        right = int((make()(x[:N]).argmax(1) == y[:N]).sum())
    low, high = wilson(right, N)
    assert low <= clean <= high


@pytest.mark.parametrize(
    ("make", "attack", "eps", "left"),
    [
        (small_cnn, FGSM(), 0.1, 0.914),
        (small_cnn, FGSM(), 0.3, 0.552),
        pytest.param(small_cnn, PGD(step_size=0.01), 0.1, 0.698, marks=LONG),
        (small_cnn, PGD(step_size=0.03), 0.3, 0.014),
        (robust_cnn, FGSM(), 0.1, 0.946),
        (robust_cnn, PGD(step_size=0.01), 0.1, 0.946),
        (robust_cnn, FGSM(), 0.3, 0.936),
        (robust_cnn, PGD(step_size=0.03), 0.3, 0.924),
    ],
)
def test_attacked(make: Callable[[], nn.Module], attack: Attack, eps: float, left: float) -> None:
    """With the loss as others round it: without that PGD leaves none at 0.3 (decision 5)."""
    task = Classification(rounded=True)
    model, threat = ToyModel(make()), ThreatModel(eps=eps)
    found = evaluate(model, _data(*mnist()), threat, attacks={"one": attack}, task=task)
    low, high = wilson(int(found.worst(eps).sum()), N)
    assert low <= left <= high
