"""Toy models: small enough that what an attack can do to them is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import nn

from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

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
