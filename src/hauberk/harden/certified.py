"""Certified training: minimise the loss of the worst answers that bounds allow.

IBP: Gowal et al. 2018. CROWN-IBP, tighter while the bounds are still loose: Zhang et al. 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn.functional import cross_entropy

from hauberk.core.errors import UserError
from hauberk.harden import training
from hauberk.harden.bounds import crown, interval, layers_of
from hauberk.harden.recipe import Given, Recipe
from hauberk.harden.selection import Score, accuracy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hauberk.core.data import Dataset
    from hauberk.core.model import Bounds
    from hauberk.harden.moment import Moment


@dataclass(frozen=True, kw_only=True)
class IBP(Recipe):
    """Cross-entropy of the worst logits within interval bounds, mixed with that of the data.

    The share of the clean loss falls from 1 to ``clean_share`` while eps grows over ``ramp`` of
    the training. Kept is what certifies the most validation samples, so ``robust`` is a lower
    bound here and no attack can undercut it. Linf, and chains of layers alone.

    Raises:
        UserError: if a number is out of range.
    """

    name: ClassVar[str] = "ibp"
    lawful: ClassVar[bool] = False

    ramp: float = 0.6
    clean_share: float = 0.3
    clean_drop: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.clean_share < 1:
            raise UserError("clean_share must lie in [0, 1)")

    def objective(self, given: Given) -> training.Objective:
        if given.threat.norm != "linf":
            raise UserError("certified training is for linf")
        layers_of(given.module)
        bounds, most = given.train.bounds, given.threat.eps

        def loss(module: nn.Module, x: Tensor, y: Tensor, now: Moment) -> Tensor:
            grown = self.grown(now.share)
            share = 1 - (1 - self.clean_share) * grown
            labels = y if y.dim() == 1 else y.argmax(1)
            worst = self.worst(module, x, labels, grown * most, bounds, tight=1 - grown)
            certified = cross_entropy(worst, torch.zeros(len(x), dtype=torch.int64))
            return share * self.entropy(module(x), y) + (1 - share) * certified

        return training.Objective(loss=loss, measure=self.measure(given))

    def measure(self, given: Given) -> training.Measure:
        def measure(module: nn.Module) -> Score:
            held = self.certified(module, given.validation, given.threat.eps)
            return Score(clean=accuracy(module, given.validation), robust=held)

        return measure

    def certified(self, module: nn.Module, data: Dataset, eps: float) -> float:
        """Share of samples whose answer provably stays right within ``eps``."""
        right = 0
        for x, y in data.batches(256):
            with torch.no_grad():
                points, labels = torch.from_numpy(x), torch.from_numpy(y)
                worst = self.worst(module, points, labels, eps, data.bounds, tight=0.0)
            right += int((worst[:, 1:] < 0).all(1).sum())
        return right / len(data)

    def worst(
        self, module: nn.Module, x: Tensor, y: Tensor, eps: float, bounds: Bounds, *, tight: float
    ) -> Tensor:
        """Logits ``(batch, classes)`` at their worst: 0 for the label, then all others' leads."""
        del tight
        layers = layers_of(module)
        low, high = (x - eps).clamp(min=bounds.low), (x + eps).clamp(max=bounds.high)
        *_, before, _ = interval(layers, low, high)
        last = layers[-1]
        if not isinstance(last, torch.nn.Linear):
            raise UserError("the last layer must be linear", where="harden")
        # The label's row is subtracted before bounds are taken: the difference is bounded tighter.
        others = _others(y, last.out_features)
        rows = last.weight[others] - last.weight[y].unsqueeze(1)
        middle, radius = (before[0] + before[1]) / 2, (before[1] - before[0]) / 2
        lead = (rows @ middle.unsqueeze(2)).squeeze(2) + (rows.abs() @ radius.unsqueeze(2)).squeeze(
            2
        )
        if last.bias is not None:
            lead = lead + last.bias[others] - last.bias[y].unsqueeze(1)
        return torch.cat([torch.zeros(len(x), 1), lead], 1)


@dataclass(frozen=True, kw_only=True)
class CrownIBP(IBP):
    """IBP, with bounds by CROWN while eps grows; they fade into interval bounds."""

    name: ClassVar[str] = "crown-ibp"

    def worst(
        self, module: nn.Module, x: Tensor, y: Tensor, eps: float, bounds: Bounds, *, tight: float
    ) -> Tensor:
        loose = super().worst(module, x, y, eps, bounds, tight=tight)
        if tight == 0:
            return loose
        layers = layers_of(module)
        low, high = (x - eps).clamp(min=bounds.low), (x + eps).clamp(max=bounds.high)
        classes = loose.shape[1]
        eye = torch.eye(classes)
        rows = eye[y].unsqueeze(1) - eye[_others(y, classes)]
        lead = -crown(layers, interval(layers, low, high), rows)
        closer = torch.cat([torch.zeros(len(x), 1), lead], 1)
        return tight * closer + (1 - tight) * loose


def _others(y: Tensor, classes: int) -> Tensor:
    """For each label ``(batch,)`` the other classes, ``(batch, classes - 1)``."""
    every = torch.arange(classes - 1).expand(len(y), -1)
    return every + (every >= y.unsqueeze(1)).to(every)
