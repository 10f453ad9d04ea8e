"""Attacks that must not win, and one that must not lose: what a sound figure is checked against.

Carlini et al. (2019), On evaluating adversarial robustness, section 5: random points of the ball
must not find what the gradient attacks missed, and without a bound every sample must fall.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import prod
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from hauberk.attack.ball import Ball
from hauberk.attack.pgd import PGD
from hauberk.attack.streams import Streams
from hauberk.attack.victim import Victim, quiet
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

DRAWS = 25
_STEPS = 40


@dataclass(frozen=True, kw_only=True)
class Probes:
    """Of ``n`` samples that are right untouched, how many did what they should not.

    ``standing`` withstood an attack without a bound; ``only_random`` fell at random points of the
    ball but to no gradient attack, ``only_climbing`` the other way round.
    """

    n: int
    standing: int
    only_random: int
    only_climbing: int

    def __add__(self, other: Self) -> Self:
        both = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)
        }
        return type(self)(**both)


def probe(
    model: Model,
    batches: Iterable[Batch],
    threat: ThreatModel,
    *,
    task: Task,
    fallen: NDArray[np.bool_],
) -> Probes | None:
    """Probe the samples of ``batches``; ``fallen`` says of each index whether gradients felled it.

    None where the model gives no gradient, the norm knows no random points, or the ball is a
    point.
    """
    if model.access < Access.GRADIENTS or threat.norm not in {"linf", "l2"} or threat.eps == 0:
        return None
    total = Probes(n=0, standing=0, only_random=0, only_climbing=0)
    reach = model.bounds.high - model.bounds.low
    ball = Ball(threat.norm, threat.eps, model.bounds)
    with quiet(model):
        victim = Victim(model)
        for batch in batches:
            values = prod(batch.x.shape[1:])
            far = reach if threat.norm == "linf" else reach * values**0.5
            points = PGD(steps=_STEPS)(
                model, batch, replace(threat, eps=far), task=task, rng=np.random.default_rng(0)
            )
            standing = task.correct(victim.answer(points), batch.y)
            streams, fell = Streams.of(1, batch.index), torch.zeros(len(batch), dtype=torch.bool)
            for number in range(DRAWS):
                draws = torch.from_numpy(streams.uniform(number, values + 1)).to(batch.x.device)
                answer = victim.answer(ball.start(batch.x, draws))
                fell |= ~task.correct(answer, batch.y).cpu()
            climbed, random = fallen[batch.index], fell.numpy()
            total += Probes(
                n=len(batch),
                standing=int(standing.sum()),
                only_random=int((random & ~climbed).sum()),
                only_climbing=int((climbed & ~random).sum()),
            )
    return total
