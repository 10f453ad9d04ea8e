"""``prepared:SETTINGS@MODEL``: what a program does to its inputs before it asks the model.

Samples stay images in [0, 1], in which a radius is meant; the model gets what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hauberk.adapters.models.onnx_torch import ConvertedModel
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.core.errors import ConfigError, UserError

if TYPE_CHECKING:
    from hauberk.core.model import Access, Bounds, Model


class Prepare(nn.Module):
    """From [0, 1] to ``low`` … ``high``, less the means over the deviations, channels last if so.

    Means and deviations are per channel, in units of the range that the model takes.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        low: float = 0.0,
        high: float = 1.0,
        mean: tuple[float, ...] = (0.0,),
        std: tuple[float, ...] = (1.0,),
        last: bool = False,
    ) -> None:
        super().__init__()
        self.low, self.high, self.last = low, high, last
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor) -> Tensor:
        """Prepared inputs of samples ``(batch, channels, ...)``.

        Raises:
            UserError: if there are means or deviations for another number of channels.
        """
        many = {len(self.mean), len(self.std)} - {1}
        if many - {x.shape[1]}:
            raise UserError(
                f"means or deviations of {max(many)} channels, samples of {x.shape[1]}",
                hint="give one number, or one for each channel",
            )
        shape = (-1,) + (1,) * (x.ndim - 2)
        x = self.low + (self.high - self.low) * x
        x = (x - self.mean.view(shape)) / self.std.view(shape)
        return x.movedim(1, -1) if self.last else x


@dataclass(frozen=True)
class PreparedModel:
    """A model without gradients behind a preparation."""

    model: Model
    first: nn.Module

    @property
    def bounds(self) -> Bounds:
        """Those of the samples."""
        return self.model.bounds

    @property
    def access(self) -> Access:
        """What the model gives."""
        return self.model.access

    @property
    def why(self) -> str:
        """What stands in the way of gradients."""
        return str(getattr(self.model, "why", ""))

    def __call__(self, x: Tensor, /) -> Tensor:
        """The model's outputs on prepared inputs."""
        return self.model(self.first(x))


def settings_text(
    *, scale: str = "", mean: str = "", std: str = "", channels_last: bool = False
) -> str:
    """The settings of a preparation as they stand in a model's name; nothing for none."""
    known = {"range": scale, "mean": mean, "std": std}
    parts = [f"{name}={value}" for name, value in known.items() if value]
    return ";".join([*parts, *(["channels-last"] if channels_last else [])])


def prepared(model: Model, settings: str) -> Model:
    """The model behind what ``range=0:255;mean=…;std=…;channels-last`` says, any part left out.

    Raises:
        ConfigError: if a setting is unknown or no number.
    """
    return behind(model, _prepare(settings))


def behind(model: Model, first: nn.Module) -> Model:
    """The model behind a module that changes its inputs; what gave gradients gives them still."""
    if isinstance(model, TorchModel | ConvertedModel):
        whole = nn.Sequential(first, model.module).train(model.module.training)
        return TorchModel(whole, model.bounds)
    return PreparedModel(model, first)


def _prepare(settings: str) -> Prepare:
    known: dict[str, str] = {}
    for part in settings.split(";"):
        name, _, value = part.partition("=")
        if name not in {"range", "mean", "std", "channels-last"}:
            raise ConfigError(
                f"unknown preparation {name!r}", hint="range=0:255;mean=…;std=…;channels-last"
            )
        known[name] = value
    low, _, high = known.get("range", "0:1").partition(":")
    ends = (*_numbers("range", low), *_numbers("range", high))
    mean, std = _numbers("mean", known.get("mean", "0")), _numbers("std", known.get("std", "1"))
    if len(ends) != 2 or ends[0] >= ends[1] or min(std) <= 0:
        raise UserError("a preparation needs a range LOW:HIGH and deviations above 0")
    return Prepare(low=ends[0], high=ends[1], mean=mean, std=std, last="channels-last" in known)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(one) for one in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(isfinite(one) for one in found):
        raise ConfigError(f"{text!r} is no {name}", hint="numbers, one or one for each channel")
    return found
