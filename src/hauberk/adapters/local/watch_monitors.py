"""All the monitors that a state directory can have, with what benign records teach them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.adapters.local.budget_file import kept
from hauberk.adapters.local.members import trained_on
from hauberk.adapters.local.watching import lines
from hauberk.core.errors import HauberkError
from hauberk.monitor.budget import BudgetMonitor, volumes
from hauberk.monitor.campaign import bases
from hauberk.monitor.membership import MembershipMonitor, shares
from hauberk.monitor.station import HELD, monitors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hauberk.adapters.local.home import Home
    from hauberk.adapters.local.watching import Watched
    from hauberk.core.ports import GuardState
    from hauberk.core.spec import Spec
    from hauberk.monitor.fold import Monitor
    from hauberk.monitor.trained import Trained


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What benign records show of each tenant: signs of a campaign, and how much is asked."""

    bases: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)
    log: Path | None = None

    @classmethod
    def of(cls, log: Path | None) -> Usual:
        """Read a log; without one nothing is known."""
        if log is None:
            return cls()
        return cls(bases=bases(lines(log)), volumes=volumes(lines(log)), log=log)

    def shares(self, trained: Trained) -> Mapping[str, float]:
        """What share of each tenant's inputs looks like training samples."""
        return shares(lines(self.log), trained) if self.log else {}


def every_monitor(
    home: Home,
    pair: Watched,
    spec: Spec,
    usual: Usual,
    say: Callable[[str], None],
    *,
    shared: GuardState | None = None,
) -> dict[str, Monitor]:
    """All monitors of a pair that it can have here, by name; what one of them lacks is said."""
    made = monitors(
        pair.calibration,
        gauge=pair.gauge,
        alpha=spec.detect.alpha,
        usual=usual.bases,
        repeats=spec.detect.repeats,
    )
    try:
        trained = trained_on(home, spec, shared)
    except HauberkError as error:
        say(f"who asks about the training samples is not noticed, they are not here: {error}")
    else:
        made["membership"] = MembershipMonitor(
            trained=trained, run_length=HELD * 1e4, tenants=usual.shares(trained)
        )
    budget = kept(home.folder, pair.routing.primary)
    if budget is None:
        say("what a copy of this model takes is not known: `hauberk watch budget` tells")
    else:
        made["budget"] = BudgetMonitor(budget=budget, usual=usual.volumes)
    return made
