"""The standard ensemble, and ours: the same worst case, with the time spent where it pays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hauberk.attack.apgd import APGD
from hauberk.attack.ball import require_norm
from hauberk.attack.fab import FAB
from hauberk.attack.margins import own_and_other, rows_of_logits
from hauberk.attack.pgd import PGD
from hauberk.attack.search import Search
from hauberk.attack.square import Square
from hauberk.attack.square_l2 import SquareL2
from hauberk.attack.worst import Worst
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import Norm, ThreatModel


@dataclass(frozen=True, kw_only=True)
class Auto:
    """APGD-CE, targeted APGD, targeted FAB and Square, each on what withstood those before.

    Croce and Hein (2020), section 5, the standard version; ``linf`` and ``l2``. ``queries`` are
    Square's. ``fast`` works on a bfloat16 copy.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 100
    targets: int = 9
    queries: int = 5000
    fast: bool = True

    def __call__(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Tensor:
        """See :class:`hauberk.attack.attack.Attack`."""
        require_norm(threat.norm, "linf", "l2")
        worst = Worst(attacks=self.attacks(threat.norm))
        return worst(model, batch, threat, task=task, rng=rng)

    def attacks(self, norm: Norm) -> tuple[Attack, ...]:
        """The attacks, in order."""
        fast, steps = self.fast, self.steps
        return (
            APGD(steps=steps, fast=fast),
            APGD(loss="targeted", steps=steps, targets=self.targets, fast=fast),
            FAB(steps=steps, targets=self.targets, fast=fast),
            _square(norm, self.queries, fast=fast),
        )


@dataclass(frozen=True, kw_only=True)
class Best:
    """A portfolio in stages, cheap ones first; the dear ones only where a sample is within reach.

    Every sample meets a short PGD, a short APGD-CE, and APGD towards its three nearest classes.
    Those whose margin sank below ``reach`` times the clean one then meet APGD towards the remaining
    classes and targeted FAB. On the others slopes did little, because the model is sure or because
    they mislead: these meet Square, ``queries`` of it. That is a bet on what each stage can do; a
    larger ``reach`` tries more. Which stages a sample meets depends on that sample alone, so
    figures do not depend on batches.

    Raises:
        UserError: if ``reach`` is not in [0, 1] or a number is out of range.
    """

    needs: ClassVar[Access] = Access.GRADIENTS

    steps: int = 50
    targets: int = 9
    queries: int = 100
    reach: float = 0.5
    fast: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.reach <= 1:
            raise UserError(f"best's reach must lie in [0, 1], not {self.reach}")
        if min(self.steps, self.targets, self.queries) < 1:
            raise UserError("best needs at least one step, one target and one query")

    def __call__(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Tensor:
        """See :class:`hauberk.attack.attack.Attack`."""
        require_norm(threat.norm, "linf", "l2")
        with Search(model, batch, threat, task=task, rng=rng, needs=self.needs) as search:
            if search.done():
                return search.result()
            clean = _lead(search.ask(search.x).out, search.y)
            for number, attack in enumerate(self._broad()):
                if search.done():
                    return search.result()
                child = np.random.default_rng([search.seed, number])
                answer = search.ask(attack(model, search.batch(), threat, task=task, rng=child))
                clean, left = clean[answer.keep], _lead(answer.out, search.y)
            if search.done():
                return search.result()
            near = left <= self.reach * clean
            for number, attack in enumerate(self._deep(threat.norm), 16):
                led = attack.needs == Access.GRADIENTS
                chosen = (near == led).nonzero().squeeze(1)
                if search.done():
                    break
                if len(chosen) == 0:
                    continue
                child = np.random.default_rng([search.seed, number])
                tried = attack(model, _rows(search.batch(), chosen), threat, task=task, rng=child)
                points = search.x.clone()
                points[chosen] = tried
                near = near[search.ask(points).keep]
            return search.result()

    def _broad(self) -> tuple[Attack, ...]:
        few = min(3, self.targets)
        return (
            PGD(steps=10, fast=self.fast),
            APGD(steps=self.steps // 2 or 1, fast=self.fast),
            APGD(loss="targeted", steps=self.steps, targets=few, fast=self.fast),
        )

    def _deep(self, norm: Norm) -> tuple[Attack, ...]:
        few, fast = min(3, self.targets), self.fast
        deep: tuple[Attack, ...] = (
            FAB(steps=self.steps // 2 or 1, targets=few, fast=fast),
            _square(norm, self.queries, fast=fast),
        )
        if few == self.targets:
            return deep
        rest = APGD(loss="targeted", steps=self.steps, targets=self.targets, skipped=few, fast=fast)
        return (rest, *deep)


def _square(norm: Norm, queries: int, *, fast: bool) -> Attack:
    kind = Square if norm == "linf" else SquareL2
    return kind(queries=queries, fast=fast)


def _lead(out: Tensor, y: Tensor) -> Tensor:
    own, other = own_and_other(rows_of_logits(out), y)
    return own - other


def _rows(batch: Batch, rows: Tensor) -> Batch:
    """The samples of a batch at these positions."""
    return type(batch)(x=batch.x[rows], y=batch.y[rows], index=batch.index[rows.cpu().numpy()])
