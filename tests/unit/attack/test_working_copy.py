from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hauberk.attack.working_copy import WorkingCopy, is_light
from hauberk.testing.models import conv_module


def _images(n: int = 8) -> Tensor:
    return torch.rand((n, 1, 8, 8), generator=torch.Generator().manual_seed(0))


def _lively(module: nn.Module) -> nn.Module:
    """Batch-norms that do something, so that leaving one out shows."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = 0.1 * torch.randn(part.num_features, generator=generator)
            part.running_var = torch.rand(part.num_features, generator=generator) + 0.5
            with torch.no_grad():
                part.weight.copy_(torch.rand(part.num_features, generator=generator) + 0.5)
                part.bias.copy_(torch.rand(part.num_features, generator=generator))
    return module.eval()


class Shared(nn.Module):
    """One batch-norm used twice, and a convolution whose output is used twice: not to be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 1, 3, padding=1)
        self.two = nn.Conv2d(1, 1, 3, padding=1)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.one(x))
        y = self.two(x)
        out: Tensor = self.norm(y) + y
        return out.flatten(1)


class Branching(nn.Module):
    """Cannot be traced: the way depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x)).flatten(1)
        return out if float(x.sum()) > 0 else -out


@pytest.mark.parametrize(
    ("module", "norms"),
    [(conv_module(seed=0), 0), (Shared(), 1), (Branching(), 1)],
    ids=["folds", "shared", "branching"],
)
def test_the_copy_answers_as_the_module_does(module: nn.Module, norms: int) -> None:
    module, x = _lively(module), _images()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    copy = WorkingCopy(module)
    with torch.no_grad():
        exact, near = module(x.clone()), copy(x.clone())
    assert near.dtype == torch.float32
    scale = float(exact.abs().max())
    assert float((exact - near).abs().max()) < 0.03 * scale
    left = [part for part in copy._module.modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(left) == norms
    for name, value in module.state_dict().items():
        assert torch.equal(value, state[name]), f"{name} was changed"
        assert value.dtype == state[name].dtype


def test_without_half_only_the_order_of_sums_differs() -> None:
    module, x = _lively(conv_module(seed=0)), _images()
    with torch.no_grad():
        exact = module(x.clone())
        assert torch.allclose(WorkingCopy(module, half=False)(x), exact, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(WorkingCopy(module)(x), exact, rtol=1e-4, atol=1e-5)


def test_the_last_layer_does_not_round_its_scores() -> None:
    """In bfloat16 scores near 10 would lie 1/16 apart."""
    layer = nn.Linear(4, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(10.0)
        points = torch.tensor([[0.25, 0, 0, 0], [0.2578125, 0, 0, 0]])
        low, high = WorkingCopy(nn.Sequential(layer))(points).flatten().tolist()
    assert high - low == pytest.approx(0.0078125, abs=1e-5)


def test_gradients_flow_through_the_copy() -> None:
    module = _lively(conv_module(seed=0))
    slopes = []
    for one in (module, WorkingCopy(module)):
        x = _images().requires_grad_()
        (slope,) = torch.autograd.grad(one(x.clone())[:, 0].sum(), x)
        slopes.append(slope.flatten(1))
    close = torch.nn.functional.cosine_similarity(slopes[0], slopes[1])
    assert float(close.min()) > 0.97


def test_a_light_module_needs_no_copy() -> None:
    assert is_light(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), _images(1))
    heavy = nn.Sequential(nn.Conv2d(1, 256, 3, padding=1), nn.Conv2d(256, 64, 3, padding=1))
    assert not is_light(heavy, _images(1))


class Sliced(nn.Module):
    """Halves its maps by slicing, asks for its own shape, and rectifies what is read twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(1, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        z = torch.relu(y) + self.two(torch.relu(y + 0.1))
        out: Tensor = torch.relu(z)[:, :, ::2, ::2].reshape(x.shape[0], -1)
        return out


@pytest.mark.parametrize("kind", [{"half": False}, {"half": True}, {"light": True}], ids=str)
@pytest.mark.parametrize("module", [Sliced(), conv_module(seed=0)], ids=["sliced", "plain"])
def test_slopes_are_those_of_the_module(module: nn.Module, kind: dict[str, bool]) -> None:
    found = []
    for one in (module.eval(), WorkingCopy(module, **kind)):
        leaf = _images().requires_grad_()
        out = one(leaf.clone())  # a first layer may work in place
        found.append(torch.autograd.grad(out.sum(), leaf)[0])
    # Rounding turns a few rectified values on or off; by and large they point the same way.
    alike = torch.cosine_similarity(found[0].flatten(1), found[1].flatten(1))
    assert float(alike.min()) > (0.97 if kind.get("half") else 0.99999)


@settings(max_examples=20, deadline=None)
@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
)
def test_slopes_by_products_are_those_of_the_kernel(
    kernel: int, stride: int, padding: int, dilation: int
) -> None:
    module = nn.Sequential(nn.Conv2d(1, 3, kernel, stride, padding, dilation)).eval()
    slopes = []
    for one in (module, WorkingCopy(module, light=True)):
        leaf = _images(2).requires_grad_()
        slopes.append(torch.autograd.grad(one(leaf).square().sum(), leaf)[0])
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-4, atol=1e-4)


def test_one_channel_goes_on_in_channels_last() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    out = WorkingCopy(module, half=False)(_images())
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert not out.is_contiguous()


def test_pooling_comes_before_rectifying_and_changes_nothing() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    ).eval()
    kinds = [[type(part) for part in module]]
    copy, x = WorkingCopy(module), _images()
    slopes = []
    for ask in (copy, module):
        leaf = x.clone().requires_grad_()
        slopes.append(torch.autograd.grad(ask(leaf).logsumexp(1).sum(), leaf)[0])
    assert torch.allclose(copy(x), module(x), atol=0.02)
    near, exact = (slope.flatten() for slope in slopes)
    assert torch.nn.functional.cosine_similarity(near, exact, dim=0) > 0.999
    kinds.append([type(part) for part in module])
    assert kinds[0] == kinds[1]
