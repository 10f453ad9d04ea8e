"""Toy models: small enough that what an attack can do to them is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from hauberk.core.model import Model


@dataclass(frozen=True)
class ToyModel:
    """A torch module as a Model with full access."""

    module: nn.Module
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def access(self) -> Access:
        return Access.GRADIENTS

    def __call__(self, x: Tensor, /) -> Tensor:
        """The module's outputs."""
        out: Tensor = self.module(x)
        return out


@dataclass
class ScoresOnly:
    """A model behind an interface: no module, no gradients; it counts the rows it was asked.

    With access to labels alone it answers 1 for its label and 0 for the others.
    """

    model: Model
    access: Access = Access.SCORES
    rows: int = 0

    @property
    def bounds(self) -> Bounds:
        return self.model.bounds

    def __call__(self, x: Tensor, /) -> Tensor:
        """The model's outputs, as if they came over a wire."""
        self.rows += len(x)
        out = self.model(x).detach().clone()
        if self.access > Access.LABELS:
            return out
        return torch.zeros_like(out).scatter(1, out.argmax(1, keepdim=True), 1.0)


class Quantise(nn.Module):
    """Inputs rounded to ``levels`` steps on [0, 1]: the gradient is 0 everywhere."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        """Rounded inputs."""
        return torch.round(x * self.levels) / self.levels


class Scale(nn.Module):
    """Logits times a constant: a large one saturates the softmax, and the gradient vanishes."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Scaled logits."""
        return x * self.factor


def linear_module(
    *, seed: int, shape: Sequence[int] = (1, 8, 8), classes: int = 2, scale: float = 1.0
) -> nn.Module:
    """A linear classifier with weights drawn from ``seed``, of standard deviation ``scale``."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(prod(shape), classes)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * scale)
        # A grey image sits on the border, so that drawn points fall on both sides of it.
        layer.bias.copy_(-0.5 * layer.weight.sum(1))
    return nn.Sequential(nn.Flatten(), layer)


def conv_module(*, seed: int, channels: int = 1, classes: int = 3) -> nn.Module:
    """A small network with batch-norm, dropout and a layer that works in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64, classes),
        )


def quantised(module: nn.Module, *, levels: int = 4) -> ToyModel:
    """The module behind rounded inputs: a mask that stops gradients, not attacks."""
    return ToyModel(nn.Sequential(Quantise(levels), module))


def saturated(module: nn.Module, *, factor: float = 1e5) -> ToyModel:
    """The module with its logits blown up: the same answers, no gradient to follow."""
    return ToyModel(nn.Sequential(module, Scale(factor)))


class Shatter(nn.Module):
    """A ripple too fine to change an answer and too steep for its gradient to lead anywhere."""

    def __init__(self, height: float = 1e-4, pace: float = 1e6) -> None:
        super().__init__()
        self.height, self.pace = height, pace

    def forward(self, x: Tensor) -> Tensor:
        """Rippled inputs."""
        return x + self.height * torch.sin(self.pace * x)


class Noise(nn.Module):
    """Inputs with fresh noise at every call, from the global generator: a random defence."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        """Noisy inputs."""
        return x + self.deviation * torch.randn_like(x)


class Detach(nn.Module):
    """The same values, half of them cut off from the graph, the rest turned upside down there."""

    def forward(self, x: Tensor) -> Tensor:
        """The inputs; their gradient is minus half of what it should be."""
        return 1.5 * x.detach() - 0.5 * x


@dataclass(frozen=True)
class RoundingGuard:
    """A guard that rounds to ``levels`` steps on [0, 1] and has no surrogate."""

    levels: int = 4

    def inspect(self, x: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rounded inputs, and no suspicion of any."""
        cleaned = (np.round(x * self.levels) / self.levels).astype(np.float32)
        return cleaned, np.zeros(len(x), dtype=np.float32)


def shattered(module: nn.Module) -> ToyModel:
    """The module behind a ripple: the same answers, a gradient that points anywhere."""
    return ToyModel(nn.Sequential(Shatter(), module))


def stochastic(module: nn.Module, *, deviation: float = 0.05) -> ToyModel:
    """The module behind noise: asked twice, it answers differently."""
    return ToyModel(nn.Sequential(Noise(deviation), module))


def detached(module: nn.Module) -> ToyModel:
    """The module behind a cut: a gradient that leads away from where it should."""
    return ToyModel(nn.Sequential(Detach(), module))
