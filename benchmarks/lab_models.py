"""The networks of the lab's benchmark: published ones, and a robust one trained once and kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad, relu

from hauberk.adapters.data.idx import load as load_idx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DATA = Path(__file__).parents[1].parent / "shared" / "data"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hauberk" / "lab"
EPS = 8 / 255


@dataclass(frozen=True)
class Subject:
    """A network, the images it is attacked on, and the radius; a step is a tenth of that."""

    name: str
    module: nn.Module
    x: Tensor
    y: Tensor
    eps: float
    robust: bool = False

    @property
    def step(self) -> float:
        """The size of a step."""
        return self.eps / 10


class Block(nn.Module):
    """Two convolutions and a shortcut that subsamples and pads with zeros (option A)."""

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.stride, self.more = stride, (out - inside) // 2

    def forward(self, x: Tensor) -> Tensor:
        short = x
        if self.more:
            short = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        out: Tensor = relu(y + short)
        return out


class ResNet20(nn.Module):
    """He et al. (2016), section 4.2, for 32 × 32 images in [0, 1]; the weights' own scaling.

    Narrower, or of fewer blocks a stage, it is no longer of 20 layers.
    """

    mean: Tensor
    std: Tensor

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(self, *, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        scale = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
        self.register_buffer("mean", scale[0], persistent=False)
        self.register_buffer("std", scale[1], persistent=False)
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inside = width
        for number, out in enumerate((width, 2 * width, 4 * width), 1):
            first = Block(inside, out, 2 if out > inside else 1)
            blocks = [first, *(Block(out, out, 1) for _ in range(depth - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            inside = out
        self.linear = nn.Linear(inside, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.bn1(self.conv1((x - self.mean) / self.std)))
        x = self.layer3(self.layer2(self.layer1(x)))
        out: Tensor = self.linear(x.mean((2, 3)))  # 8 × 8 for images of 32 × 32
        return out


def small_cnn() -> nn.Module:
    """The SmallCNN of TRADES (Zhang et al. 2019), standard weights."""
    convs = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)]
    convs += [nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
    dense = [nn.Linear(1024, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)]
    return _filled(nn.Sequential(*convs, nn.Flatten(), *dense), "secml_mnist_smallcnn_standard.pth")


def robust_cnn() -> nn.Module:
    """The small CNN trained for certified robustness at eps 0.3."""
    convs = [nn.Conv2d(1, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU()]
    dense = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)]
    return _filled(nn.Sequential(*convs, nn.Flatten(), *dense), "lirpa_mnist_cnn_small.pth")


def resnet() -> nn.Module:
    """ResNet-20 with its published weights."""
    path = DATA / "weights-cifar-resnet" / "resnet20-12fca82f.th"
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    module = ResNet20()
    module.load_state_dict({name.removeprefix("module."): one for name, one in state.items()})
    return module.eval()


def robust_resnet(epochs: int = 8) -> nn.Module:
    """ResNet-20 trained on with one random-start step a batch, kept under ``CACHE``."""
    path = CACHE / f"resnet20-robust-{epochs}.safetensors"
    module = resnet()
    if path.exists():
        module.load_state_dict(load_file(path))
        return module.eval()
    x, y = cifar("train")
    torch.manual_seed(0)
    total = epochs * (len(x) // 128)
    best = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(best, 0.05, total_steps=total, pct_start=0.2)
    module.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x)), 128)[: len(x) // 128]:
            clean, label = _flipped(x[rows]), y[rows]
            start = (clean + torch.empty_like(clean).uniform_(-EPS, EPS)).clamp(0, 1)
            leaf = start.requires_grad_()
            (slope,) = torch.autograd.grad(_loss(module, leaf, label), leaf)
            moved = leaf.detach() + 1.25 * EPS * slope.sign()
            moved = torch.min(torch.max(moved, clean - EPS), clean + EPS).clamp(0, 1)
            best.zero_grad()
            torch.autograd.backward(_loss(module, moved, label))
            best.step()
            rate.step()
    CACHE.mkdir(parents=True, exist_ok=True)
    save_file(module.state_dict(), path)
    return module.eval()


def cifar(part: str) -> tuple[Tensor, Tensor]:
    """Images ``(n, 3, 32, 32)`` in [0, 1] and labels."""
    with np.load(DATA / "cifar10-jpeg" / "cifar10_jpeg_10k_2k.npz", allow_pickle=False) as file:
        names = {one: file[one] for one in file.files}
    x, y = names[f"x_{part}"], names[f"y_{part}"]
    images = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).float() / 255
    return images, torch.from_numpy(y.astype(np.int64).ravel())


def mnist() -> tuple[Tensor, Tensor]:
    """The first 1 000 test images ``(n, 1, 28, 28)`` in [0, 1] and labels."""
    data = load_idx(str(DATA / "mnist")).split("test")
    return torch.from_numpy(data.x[:1000]), torch.from_numpy(data.y[:1000])


def subjects(names: Iterable[str], images: int, norm: str) -> Iterator[Subject]:
    """The networks of these names on their first images; the radii of the literature."""
    for name in names:
        data, robust = name.split("-")
        make, radii = _KINDS[name]
        x, y = (part[:images] for part in (mnist() if data == "mnist" else cifar("test")))
        yield Subject(name, make().eval(), x, y, radii[norm], robust=robust == "robust")


def _filled(module: nn.Module, file: str) -> nn.Module:
    """The module with a file's tensors, in the order in which both list them."""
    state = torch.load(DATA / "weights-mnist-dev" / file, weights_only=True, map_location="cpu")
    state = state.get("state_dict", state)
    tensors = [one for one in state.values() if torch.is_tensor(one)]
    module.load_state_dict(dict(zip(module.state_dict(), tensors, strict=True)))
    return module.eval()


def _flipped(x: Tensor) -> Tensor:
    turn = torch.rand(len(x)) < 0.5
    x = torch.where(turn[:, None, None, None], x.flip(3), x)
    dx, dy = (int(one) for one in torch.randint(0, 9, (2,)))
    return pad(x, (4, 4, 4, 4))[:, :, dy : dy + 32, dx : dx + 32].contiguous()


def _loss(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        out = module(x)
    return cross_entropy(out.float(), y)


_KINDS: dict[str, tuple[Callable[[], nn.Module], dict[str, float]]] = {
    "mnist-standard": (small_cnn, {"linf": 0.3, "l2": 2.0}),
    "mnist-robust": (robust_cnn, {"linf": 0.3, "l2": 2.0}),
    "cifar-standard": (resnet, {"linf": EPS, "l2": 0.5}),
    "cifar-robust": (robust_resnet, {"linf": EPS, "l2": 0.5}),
}
