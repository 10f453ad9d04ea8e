"""Bounds hold for every point of the box; what is trained on them is certified by them."""

import pytest
import torch
from torch import Tensor, nn

from hauberk.adapters.models.architectures import build
from hauberk.core.data import Dataset
from hauberk.core.errors import UserError
from hauberk.core.model import Bounds
from hauberk.core.threat import ThreatModel
from hauberk.harden.bounds import crown, interval, layers_of
from hauberk.harden.certified import IBP, CrownIBP
from hauberk.harden.composition import compose
from hauberk.harden.perturb import Perturb
from hauberk.harden.selection import accuracy


def nets() -> list[tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    strided = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 4, 2, bias=False),
        nn.Dropout(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 3 * 2, 5),
    )
    cnn = {"in_shape": [1, 8, 8], "classes": 5, "widths": [3, 4], "hidden": 6}
    return [
        (build("mlp", {"in_shape": [6], "classes": 5, "widths": [8, 7]}), (6,)),
        (build("cnn", cnn), (1, 8, 8)),
        (strided, (2, 8, 6)),
    ]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("eps", [0.0, 0.02, 0.2])
def test_no_point_of_the_box_is_outside_the_bounds(number: int, eps: float) -> None:
    net, shape = nets()[number]
    net.eval()
    x, y = torch.rand(4, *shape), torch.tensor([0, 1, 2, 4])
    low, high = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    layers = layers_of(net)
    boxes = interval(layers, low, high)
    eye = torch.eye(5)
    rows = (eye[y].unsqueeze(1) - eye.expand(4, 5, 5)).detach()
    margins = crown(layers, boxes, rows)
    worst = {
        kind: kind(clean_drop=0.5).worst(net, x, y, eps, Bounds(), tight=0.5)
        for kind in (IBP, CrownIBP)
    }
    for _ in range(50):
        point = low + (high - low) * torch.rand_like(x).round()
        with torch.no_grad():
            logits = net(point)
        assert (logits >= boxes[-1][0] - 1e-5).all()
        assert (logits <= boxes[-1][1] + 1e-5).all()
        lead = logits.gather(1, y[:, None]) - logits
        assert (lead >= margins - 1e-5).all()
        for bound in worst.values():
            assert (-bound[:, 1:] <= others(lead, y) + 1e-5).all()
    if eps == 0:
        torch.testing.assert_close(margins, (logits.gather(1, y[:, None]) - logits))


def others(lead: Tensor, y: Tensor) -> Tensor:
    return torch.stack([torch.cat([row[:k], row[k + 1 :]]) for row, k in zip(lead, y, strict=True)])


@pytest.mark.parametrize("name", ["ibp", "crown-ibp"])
def test_what_is_certified_no_attack_undercuts(
    name: str, train: Dataset, validation: Dataset
) -> None:
    module = build("mlp", {"in_shape": [1, 6, 6], "classes": 2, "widths": [16]}, seed=0)
    threat = ThreatModel(eps=0.05)
    method = compose([name], {"epochs": 20, "learning_rate": 1e-2, "batch_size": 16})
    assert isinstance(method, IBP)
    hard = method.fit(module, train, validation, threat, seed=0)
    held = method.certified(hard, validation, threat.eps)
    attack = Perturb(threat=threat, bounds=Bounds(), steps=20, step_size=0.01, precision="float32")
    generator = torch.Generator().manual_seed(0)
    attacked = accuracy(hard, validation, attack=lambda m, x, y: attack(m, x, y, generator))
    assert 0.6 < held <= attacked
    assert method.certified(module, validation, threat.eps) < held


def test_what_has_no_bounds_is_named(train: Dataset, validation: Dataset) -> None:
    for layer in (nn.Sigmoid(), nn.Conv2d(2, 2, 1, groups=2), nn.Conv2d(1, 1, 3, padding="same")):
        with pytest.raises(UserError, match="no bounds are known"):
            layers_of(nn.Sequential(nn.Flatten(), layer))
    module = build("mlp", {"in_shape": [1, 6, 6], "classes": 2})
    with pytest.raises(UserError, match="linf"):
        IBP().fit(module, train, validation, ThreatModel(norm="l2", eps=1.0), seed=0)
