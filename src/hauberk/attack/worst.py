"""The worst case over several attacks, which is an attack again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hauberk.attack.search import Search
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.attack.attack import Attack
    from hauberk.core.data import Batch
    from hauberk.core.model import Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel


@dataclass(frozen=True, kw_only=True)
class Worst:
    """Run ``attacks`` in turn, each only on the samples that withstood those before it.

    Put the cheap ones first. A budget of queries is shared out evenly, one query of each share
    being the check of what an attack brought back (Croce and Hein 2020 run their ensemble so).

    Raises:
        UserError: if there is no attack, or the budget is too small to be shared.
    """

    attacks: tuple[Attack, ...]

    def __post_init__(self) -> None:
        if not self.attacks:
            raise UserError("the worst case over no attack is not a claim")

    @property
    def needs(self) -> Access:
        """The most that any of the attacks needs."""
        return max(attack.needs for attack in self.attacks)

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
        own = threat if self.needs == Access.GRADIENTS else self._share(threat)
        with Search(model, batch, threat, task=task, rng=rng, needs=self.needs) as search:
            if not search.done():
                search.ask(search.x)
            for number, attack in enumerate(self.attacks):
                if search.done():
                    break
                # Seeded by number: what one attack draws does not depend on the others.
                child = np.random.default_rng([search.seed, number])
                search.ask(attack(model, search.batch(), own, task=task, rng=child))
            return search.result()

    def _share(self, threat: ThreatModel) -> ThreatModel:
        if threat.queries is None:
            return threat
        share = (threat.queries - 1) // len(self.attacks) - 1
        if share < 1:
            raise UserError(
                f"{threat.queries} queries are too few for {len(self.attacks)} attacks",
                hint=f"allow at least {1 + 2 * len(self.attacks)}",
            )
        return replace(threat, queries=share)
