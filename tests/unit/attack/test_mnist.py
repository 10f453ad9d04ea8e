"""Against published weights: at least as strong as plain code and foolbox 3.3.4 measured there."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hauberk.adapters.models.architectures import SmallCNN
from hauberk.attack.deepfool import DeepFool
from hauberk.attack.fgsm import FGSM
from hauberk.attack.nearest import distances
from hauberk.attack.pgd import PGD
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from hauberk.attack.attack import Attack

torch.set_num_threads(1)
ROOT = Path(__file__).parents[3].parent / "shared" / "data"
WEIGHTS = ROOT / "weights-mnist-dev" / "secml_mnist_smallcnn_standard.pth"
MNIST = ROOT / "mnist"
TASK = Classification()

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.exists() and MNIST.exists()), reason="../shared/data holds no MNIST weights"
)


@pytest.fixture(scope="module")
def model() -> ToyModel:
    saved = torch.load(WEIGHTS, weights_only=True, map_location="cpu")
    module = SmallCNN(in_shape=(1, 28, 28), classes=10)
    module.load_state_dict(dict(zip(module.state_dict(), saved.values(), strict=True)))
    return ToyModel(module.eval())


@pytest.fixture(scope="module")
def batch() -> Batch:
    images = gzip.decompress((MNIST / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((MNIST / "t10k-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)[:200]
    y = np.frombuffer(labels, np.uint8, offset=8)[:200]
    return Batch(
        x=torch.from_numpy(x / np.float32(255)),
        y=torch.from_numpy(y.astype(np.int64)),
        index=np.arange(200),
    )


@pytest.mark.parametrize(
    ("attack", "eps", "expected", "elsewhere"),
    [
        # Float32 cross-entropy rounds the label's gradient to 0 on 83 % of these images: plain
        # code so written stops at the figures elsewhere, and in float64 reaches 0.89 and 0.21.
        (FGSM(), 0.1, 0.89, 0.905),
        (FGSM(), 0.3, 0.13, 0.595),
        (PGD(steps=40, step_size=0.03), 0.3, 0.01, 0.02),
        pytest.param(
            *(PGD(steps=40, step_size=0.01, random_start=False), 0.1, 0.73, 0.75),
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_as_strong_as_the_exact_gradient_and_no_weaker_than_elsewhere(
    model: ToyModel, batch: Batch, attack: Attack, eps: float, expected: float, elsewhere: float
) -> None:
    points = attack(model, batch, ThreatModel(eps=eps), task=TASK, rng=np.random.default_rng(0))
    with torch.no_grad():
        standing = float(TASK.correct(model(points), batch.y).float().mean())
    assert standing == pytest.approx(expected, abs=0.02)
    assert standing <= elsewhere + 0.01


@pytest.mark.parametrize(("eps", "elsewhere"), [(0.1, 0.905), (0.3, 0.595)])
def test_with_the_rounded_loss_fgsm_is_what_it_is_elsewhere(
    model: ToyModel, batch: Batch, eps: float, elsewhere: float
) -> None:
    task = Classification(rounded=True)
    points = FGSM()(model, batch, ThreatModel(eps=eps), task=task, rng=np.random.default_rng(0))
    with torch.no_grad():
        standing = float(TASK.correct(model(points), batch.y).float().mean())
    assert standing == pytest.approx(elsewhere, abs=0.005)


def test_deepfool_goes_as_far_as_elsewhere(model: ToyModel, batch: Batch) -> None:
    """Foolbox 3.3.4 on the same images, 50 steps, 10 candidates: a median of 1.6674."""
    few = Batch(x=batch.x[:40], y=batch.y[:40], index=batch.index[:40])
    found = distances(
        DeepFool(nearest=True), model, few, norm="l2", task=TASK, rng=np.random.default_rng(0)
    )
    assert float(found.median()) == pytest.approx(1.6674, rel=0.01)
    assert found[:3].tolist() == pytest.approx([2.6388, 2.9836, 1.8510], rel=0.01)
