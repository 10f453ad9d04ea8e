"""Against other libraries on one MNIST network: robust accuracy and least perturbations.

A figure that is better than the peer's is as good as one that equals it: each case bounds by how
much ours may be worse. What is printed with ``-s`` are both figures.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from hauberk.adapters.models.architectures import SmallCNN
from hauberk.attack.apgd_l1 import APGDL1
from hauberk.attack.elastic_net import ElasticNet
from hauberk.attack.nearest import distances
from hauberk.attack.slide import Slide
from hauberk.attack.spatial import Spatial
from hauberk.attack.square_l2 import SquareL2
from hauberk.attack.transfer import Transfer
from hauberk.core.data import Batch
from hauberk.core.task import Classification
from hauberk.core.threat import Norm, ThreatModel
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from hauberk.attack.attack import Attack

ROOT = Path(__file__).parents[2].parent / "shared" / "data"
WEIGHTS = ROOT / "weights-mnist-dev" / "secml_mnist_smallcnn_standard.pth"
TASK = Classification(rounded=True)
POINT, SHARE = 0.01, 0.02

pytestmark = [
    pytest.mark.peers,
    pytest.mark.nightly,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not WEIGHTS.exists(), reason="../shared/data holds no MNIST weights"),
]
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> ToyModel:
    saved = torch.load(WEIGHTS, weights_only=True, map_location="cpu")
    module = SmallCNN(in_shape=(1, 28, 28), classes=10)
    module.load_state_dict(dict(zip(module.state_dict(), saved.values(), strict=True)))
    return ToyModel(module.eval().requires_grad_(requires_grad=False))


@pytest.fixture(scope="module")
def batch() -> Batch:
    folder = ROOT / "mnist"
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    x = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28)[:400]
    y = np.frombuffer(labels, np.uint8, offset=8)[:400]
    return Batch(
        x=torch.from_numpy(x / np.float32(255)),
        y=torch.from_numpy(y.astype(np.int64)),
        index=np.arange(400),
    )


def _first(batch: Batch, n: int) -> Batch:
    return Batch(x=batch.x[:n], y=batch.y[:n], index=batch.index[:n])


def _left(model: ToyModel, points: torch.Tensor, batch: Batch) -> float:
    with torch.no_grad():
        return float(TASK.correct(model(points), batch.y).float().mean())


def _ours(attack: Attack, model: ToyModel, batch: Batch, threat: ThreatModel) -> float:
    points = attack(model, batch, threat, task=TASK, rng=np.random.default_rng(0))
    return _left(model, points, batch)


def _median(attack: Attack, model: ToyModel, batch: Batch, norm: Norm) -> float:
    found = distances(attack, model, batch, norm=norm, task=TASK, rng=np.random.default_rng(0))
    return float(found.median())


def _foolbox(model: ToyModel) -> Any:
    foolbox = pytest.importorskip("foolbox")
    return foolbox, foolbox.PyTorchModel(model.module, bounds=(0, 1), device="cpu")


def _art(model: ToyModel) -> Any:
    pytest.importorskip("art")
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=model.module,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=(1, 28, 28),
        nb_classes=10,
        clip_values=(0, 1),
        device_type="cpu",
    )


def _told(name: str, ours: float, peer: float) -> None:
    print(f"{name}: ours {ours:.4f}, peer {peer:.4f}")


def test_rotations_and_shifts(model: ToyModel, batch: Batch) -> None:
    """Foolbox's grid: 3 pixels are 30 / 280 of a side; ours is 30 / 300."""
    foolbox, peer = _foolbox(model)
    few = _first(batch, 100)
    attack = foolbox.attacks.SpatialAttack(
        max_translation=3, max_rotation=30, num_translations=5, num_rotations=5, grid_search=True
    )
    _, points, _ = attack(peer, few.x, few.y)
    theirs = _left(model, points, few)
    ours = _ours(Spatial(angles=5, shifts=5), model, few, ThreatModel(norm="spatial", eps=30))
    _told("spatial", ours, theirs)
    assert ours <= theirs + POINT


@pytest.mark.parametrize("eps", [5.0])
def test_sparse_descent_in_l1(model: ToyModel, batch: Batch, eps: float) -> None:
    foolbox, peer = _foolbox(model)
    few = _first(batch, 200)
    attack = foolbox.attacks.SparseL1DescentAttack(
        quantile=0.95, steps=40, rel_stepsize=2.5 / 40, random_start=False
    )
    _, points, _ = attack(peer, few.x, few.y, epsilons=eps)
    theirs = _left(model, points, few)
    ours = _ours(Slide(random_start=False), model, few, ThreatModel(norm="l1", eps=eps))
    _told(f"slide {eps:g}", ours, theirs)
    assert ours <= theirs + POINT


def test_auto_pgd_in_l1(model: ToyModel, batch: Batch) -> None:
    from importlib import import_module

    few, eps = _first(batch, 100), 8.0
    classifier = _art(model)
    kind = import_module(
        "art.attacks.evasion.auto_projected_gradient_descent"
    ).AutoProjectedGradientDescent
    attack = kind(
        classifier,
        norm=1,
        eps=eps,
        eps_step=2 * eps,
        max_iter=50,
        nb_random_init=1,
        batch_size=100,
        verbose=False,
    )
    points = torch.from_numpy(attack.generate(few.x.numpy(), few.y.numpy()))
    theirs = _left(model, points, few)
    ours = _ours(APGDL1(steps=50), model, few, ThreatModel(norm="l1", eps=eps))
    _told("apgd-l1", ours, theirs)
    assert ours <= theirs + POINT


def test_elastic_net(model: ToyModel, batch: Batch) -> None:
    foolbox, peer = _foolbox(model)
    few = _first(batch, 20)
    attack = foolbox.attacks.EADAttack(
        binary_search_steps=5,
        steps=100,
        initial_stepsize=0.01,
        initial_const=1.0,
        regularization=0.01,
        decision_rule="L1",
        abort_early=False,
    )
    points, _, success = attack(peer, few.x, few.y, epsilons=None)
    size = (points - few.x).abs().flatten(1).sum(1)
    theirs = float(torch.where(success, size, torch.inf).median())
    mine = ElasticNet(searches=5, steps=100, nearest=True)
    ours = _median(mine, model, few, "l1")
    _told("elastic-net", ours, theirs)
    assert ours <= theirs * (1 + SHARE)


def test_square_in_l2(model: ToyModel, batch: Batch) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    few, eps = _first(batch, 100), 2.5
    attack = torchattacks.Square(
        model.module, norm="L2", eps=eps, n_queries=200, p_init=0.1, loss="margin", seed=0
    )
    theirs = attack(few.x, few.y)
    threat, rng = ThreatModel(norm="l2", eps=eps), np.random.default_rng(0)
    ours = SquareL2(queries=200)(model, few, threat, task=TASK, rng=rng)
    _told("square-l2", _left(model, ours, few), _left(model, theirs, few))
    with torch.no_grad():
        mine, peer = (TASK.correct(model(points), few.y) for points in (ours, theirs))
    only_peer, only_ours = int((mine & ~peer).sum()), int((peer & ~mine).sum())
    # Both draw at random: which samples fall differs from seed to seed, and how many a little.
    assert only_peer - only_ours <= 3 * max(1, only_peer + only_ours) ** 0.5


def test_momentum(model: ToyModel, batch: Batch) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    few, eps = _first(batch, 200), 0.12
    attack = torchattacks.MIFGSM(model.module, eps=eps, alpha=eps / 20, steps=20, decay=1.0)
    theirs = _left(model, attack(few.x, few.y), few)
    mine = Transfer(surrogates=(model,), kernel=1, diversity=0.0)
    ours = _ours(mine, model, few, ThreatModel(eps=eps))
    _told("momentum", ours, theirs)
    assert abs(ours - theirs) <= POINT
