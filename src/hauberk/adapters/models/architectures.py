"""Architectures that are built from plain JSON parameters, so that a weights file needs no code."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hauberk.core.errors import HauberkError, ModelFormatError
from hauberk.core.registry import find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

_MAX_SIZE = 1 << 16
_MAX_PARAMETERS = 1 << 28


def build(name: str, params: Mapping[str, Any], *, seed: int | None = 0) -> nn.Module:
    """Build the module of that architecture, weights drawn from ``seed``.

    ``params`` always hold ``in_shape`` (one sample's shape) and ``classes``. With ``seed=None``
    the weights are left without storage (torch's ``meta`` device), to be filled from a file.

    Raises:
        UnknownNameError: if there is no such architecture.
        ModelFormatError: if a parameter is missing, unknown or out of range.
    """
    architecture = find("architecture", name)
    try:
        with torch.device("meta"):
            module: nn.Module = architecture(**params)
        size = sum(parameter.numel() for parameter in module.parameters())
        if size > _MAX_PARAMETERS:
            raise ModelFormatError(f"{size} parameters, more than {_MAX_PARAMETERS}", where=name)
        if seed is None:
            return module
        # torch draws initial weights from its global generator only: lend it our seed.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = architecture(**params)
    except HauberkError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelFormatError(
            f"parameters do not fit: {str(error).splitlines()[0][:160]}",
            where=f"architecture {name!r}",
        ) from None
    return module


class CNN(nn.Module):
    """One 3×3 convolution per width, each halved by pooling but the last, then two linear layers.

    Two poolings keep 28×28 images at 7×7; fast and strong enough to be trained against attacks.
    """

    def __init__(
        self,
        *,
        in_shape: Sequence[int],
        classes: int,
        widths: Sequence[int] = (32, 64, 128),
        hidden: int = 128,
    ) -> None:
        super().__init__()
        channels, height, width = _image(in_shape)
        _check_sizes(classes, hidden, *widths)
        _require(1 <= len(widths) <= 8, "1 to 8 widths")
        shrink = 2 ** (len(widths) - 1)
        _require(height >= shrink and width >= shrink, f"images of at least {shrink} pixels a side")
        layers: list[nn.Module] = []
        for number, out in enumerate(widths):
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
            if number < len(widths) - 1:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            channels = out
        layers += [nn.Flatten(), nn.Linear(channels * height * width, hidden), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of images ``(batch, channels, height, width)``."""
        out: Tensor = self.layers(x)
        return out


class SmallCNN(nn.Module):
    """Four 3×3 convolutions without padding and three linear layers (Zhang et al. 2019, TRADES)."""

    def __init__(self, *, in_shape: Sequence[int], classes: int) -> None:
        super().__init__()
        channels, height, width = _image(in_shape)
        _check_sizes(classes)
        _require(height >= 16 and width >= 16, "images of at least 16 pixels a side")
        height, width = (((side - 4) // 2 - 4) // 2 for side in (height, width))
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()),
            nn.MaxPool2d(2),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()),
            nn.MaxPool2d(2),
            nn.Flatten(),
            *(nn.Linear(64 * height * width, 200), nn.ReLU()),
            *(nn.Linear(200, 200), nn.ReLU()),
            nn.Linear(200, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of images ``(batch, channels, height, width)``."""
        out: Tensor = self.layers(x)
        return out


class MLP(nn.Module):
    """Linear layers with ReLU between; for rows of a table, or any input flattened."""

    def __init__(
        self, *, in_shape: Sequence[int], classes: int, widths: Sequence[int] = (128, 64)
    ) -> None:
        super().__init__()
        _check_sizes(classes, *in_shape, *widths)
        _require(len(widths) <= 16, "at most 16 widths")
        sizes = [prod(in_shape), *widths]
        hidden = [
            layer
            for before, after in pairwise(sizes)
            for layer in (nn.Linear(before, after), nn.ReLU())
        ]
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(sizes[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(batch, classes)`` of inputs ``(batch, *in_shape)``."""
        out: Tensor = self.layers(x)
        return out


def _image(in_shape: Sequence[int]) -> tuple[int, int, int]:
    _require(len(in_shape) == 3, "in_shape [channels, height, width]")
    _check_sizes(*in_shape)
    channels, height, width = in_shape
    return channels, height, width


def _check_sizes(*sizes: int) -> None:
    whole = all(isinstance(size, int) and not isinstance(size, bool) for size in sizes)
    _require(whole and all(1 <= size <= _MAX_SIZE for size in sizes), f"sizes in 1…{_MAX_SIZE}")


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise ValueError(f"expected {what}")
