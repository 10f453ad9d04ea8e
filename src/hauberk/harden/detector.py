"""Adversarial fine-tuning of detectors: boxes and scores that stay right under attack.

Zhang and Wang 2019, "Towards adversarially robust object detection", with one attack on the sum of
the detector's losses. They are taken from its answers, so any detector is trained alike: the focal
loss of Lin et al. 2017 on scores, and the generalised overlap of Rezatofighi et al. 2019 on boxes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from hauberk.core.detection import IGNORED, NOTHING, overlaps
from hauberk.core.errors import UserError
from hauberk.harden import training
from hauberk.harden.perturb import Perturb, frozen
from hauberk.harden.run import Run
from hauberk.harden.selection import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from hauberk.core.samples import Samples
    from hauberk.core.threat import ThreatModel
    from hauberk.harden.moment import Moment

_GAMMA, _ALPHA = 2.0, 0.25
_APART = 0.4
_TINY = 1e-6


@dataclass(frozen=True, kw_only=True)
class DetectorTuning:
    """Go on training a detector under PGD of ``steps`` steps, ``clean_share`` of it untouched.

    It answers as :class:`hauberk.core.detection.Detection` says. Each object is taught to the
    ``nearest`` boxes; boxes that overlap none by 0.4 are taught to find nothing. Only the classes
    that occur in the training data are taught, since the others may be in the images unnamed. Kept
    are the weights that find the most objects of the validation data under attack, among those
    that find at most ``clean_drop`` fewer without one.

    Raises:
        UserError: if a number is out of range.
    """

    epochs: int = 15
    learning_rate: float = 3e-4
    batch_size: int = 8
    steps: int = 3
    step_size: float | None = None
    ramp: float = 0.3
    clean_share: float = 0.5
    nearest: int = 3
    clean_drop: float = 0.02
    validation_steps: int = 5

    def __post_init__(self) -> None:
        if min(self.steps, self.nearest, self.validation_steps) < 1:
            raise UserError("steps, nearest and validation_steps must be at least 1")
        if not all(0 <= share < 1 for share in (self.ramp, self.clean_share, self.clean_drop)):
            raise UserError("ramp, clean_share and clean_drop must lie in [0, 1)")

    def fit(
        self,
        module: nn.Module,
        train: Samples,
        validation: Samples,
        threat: ThreatModel,
        *,
        seed: int,
        run: Run | None = None,
    ) -> nn.Module:
        """A copy of ``module`` trained against ``threat``, the best on ``validation``.

        Raises:
            UserError: if no object is annotated, or the checkpoint is of another run.
        """
        labels = sorted({int(kind) for kind in np.unique(train.y[..., 0]) if kind >= 0})
        if not labels:
            raise UserError("no object is annotated", where=train.name)
        attack = Perturb(
            threat=threat,
            bounds=train.bounds,
            steps=self.steps,
            step_size=self.step_size or threat.eps / 2,
            precision="float32",
        )
        check = replace(attack, steps=self.validation_steps)

        def lost(out: Tensor, y: Tensor) -> Tensor:
            return losses(out, y, labels, nearest=self.nearest)

        def perturb(module: nn.Module, x: Tensor, y: Tensor, now: Moment) -> Tensor:
            grown = min(1.0, now.share / self.ramp) if self.ramp else 1.0
            worst = attack.scaled(grown).ascend(
                module, x, lambda out: lost(out, y).sum(), now.generator
            )
            return torch.cat([worst, x]) if self.clean_share else worst

        def loss(module: nn.Module, points: Tensor, y: Tensor, _: Moment) -> Tensor:
            out = module(points)
            value = lost(out[: len(y)], y).mean()
            if not self.clean_share:
                return value
            return (1 - self.clean_share) * value + self.clean_share * lost(out[len(y) :], y).mean()

        def measure(module: nn.Module) -> Score:
            # The same noise each time: epochs are compared, not throws of the dice.
            noise = torch.Generator().manual_seed(0)
            x, y = torch.from_numpy(validation.x), torch.from_numpy(validation.y)
            found = []
            for some, known in zip(
                torch.split(x, self.batch_size), torch.split(y, self.batch_size), strict=True
            ):
                worst = check.ascend(module, some, partial(_total, known, lost), noise)
                with torch.no_grad():
                    found.append(torch.stack([finds(module(p), known) for p in (some, worst)], 1))
            clean, robust = torch.cat(found).double().mean(0).tolist()
            return Score(clean=clean, robust=robust)

        schedule = training.Schedule(
            epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate
        )
        objective = training.Objective(perturb=perturb, loss=loss, measure=measure)
        with frozen(module):
            floor = measure(module).clean - self.clean_drop
        facts = {
            "method": "detector",
            "threat": str(threat),
            "validation": validation.digest,
            **asdict(self),
        }
        return training.train(
            module,
            train,
            schedule,
            replace(objective, floor=floor, facts=facts),
            seed=seed,
            run=run or Run(),
        )


def losses(out: Tensor, y: Tensor, labels: Sequence[int], *, nearest: int) -> Tensor:
    """Loss ``(batch,)`` of answers ``(batch, boxes, 4 + classes)`` against ``(batch, most, 5)``.

    The focal loss of the ``labels``' scores, and 1 less the generalised overlap of the boxes that
    each object is taught to; both per object.
    """
    kind, real = y[..., 0].long(), y[..., 0] >= 0
    objects = real.sum(1).clamp_min(1)
    taught = _taught(out.detach(), y, nearest)  # (batch, objects, boxes)
    shared = overlaps(y[..., 1:5], out.detach()[..., :4])
    shared = shared.where(kind[:, :, None] != NOTHING, shared.new_zeros(()))
    free = (shared.amax(1) < _APART) & ~_inside_ignored(out.detach(), y)
    scores = out[..., 4:].float().clamp(_TINY, 1 - _TINY)
    focal = out.new_zeros(len(out))
    for label in labels:
        one = scores[..., label]
        wanted = (taught & (kind == label)[:, :, None]).any(1)
        up = _ALPHA * (1 - one) ** _GAMMA * -one.log()
        down = (1 - _ALPHA) * one**_GAMMA * -(-one).log1p()
        focal = focal + (up * wanted + down * (free & ~taught.any(1))).sum(1)
    apart = 1 - generalised(y[..., 1:5], out[..., :4])
    box = (apart * taught).flatten(1).sum(1) / nearest
    return (focal + box) / objects


def generalised(a: Tensor, b: Tensor) -> Tensor:
    """Generalised overlap ``(batch, n, m)`` in [-1, 1]; it has a slope where boxes do not meet."""
    first, second = a[:, :, None, :].float(), b[:, None, :, :].float()
    low = first[..., :2].minimum(second[..., :2])
    high = first[..., 2:].maximum(second[..., 2:])
    around = (high - low).clamp_min(0.0).prod(-1).clamp_min(_TINY)
    areas = [(box[..., 2:] - box[..., :2]).clamp_min(0.0).prod(-1) for box in (first, second)]
    shared = overlaps(a, b)
    whole = (areas[0] + areas[1]) / (1 + shared)
    return shared - (around - whole) / around


def finds(out: Tensor, y: Tensor, *, score: float = 0.4, overlap: float = 0.5) -> Tensor:
    """Share of the objects in each image ``(batch,)`` that a box shows; 1 where there is none."""
    kind, real = y[..., 0].long(), y[..., 0] >= 0
    places = kind.clamp_min(0)[:, :, None].expand(-1, -1, out.shape[1])
    own = out[..., 4:].transpose(1, 2).gather(1, places)
    shown = ((own >= score) & (overlaps(y[..., 1:5], out[..., :4]) >= overlap)).any(2) & real
    share = shown.sum(1) / real.sum(1).clamp_min(1)
    return share.where(real.any(1), share.new_ones(()))


def _taught(out: Tensor, y: Tensor, nearest: int) -> Tensor:
    """Which boxes are taught which object: the nearest by their middles, in the object's size."""
    middle = (out[..., :2] + out[..., 2:4])[:, None] / 2
    size = (y[..., 3:5] - y[..., 1:3]).clamp_min(1.0)[:, :, None]
    away = ((middle - (y[..., 1:3] + y[..., 3:5])[:, :, None] / 2) / size).norm(dim=-1)
    chosen = away.topk(min(nearest, out.shape[1]), dim=2, largest=False).indices
    taught = torch.zeros_like(away, dtype=torch.bool).scatter_(2, chosen, True)  # noqa: FBT003
    return taught & (y[..., 0] >= 0)[:, :, None]


def _inside_ignored(out: Tensor, y: Tensor) -> Tensor:
    part = overlaps(y[..., 1:5], out[..., :4], of_second=True)
    return (part * (y[..., :1] == IGNORED)).amax(1) >= _APART


def _total(y: Tensor, lost: Callable[[Tensor, Tensor], Tensor], out: Tensor) -> Tensor:
    return lost(out, y).sum()
