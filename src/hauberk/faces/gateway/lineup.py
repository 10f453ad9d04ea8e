"""Lineup: the models of one routing, in memory; immutable, so a request sees one throughout."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

from hauberk.core.digest import check_digest, short
from hauberk.core.errors import UserError
from hauberk.faces.gateway.faults import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.core.ports import Routing
    from hauberk.core.record import Route
    from hauberk.faces.gateway.screen import Screen
    from hauberk.faces.gateway.served import Served


@dataclass(frozen=True, kw_only=True)
class Lineup:
    """Who answers. ``withheld`` maps digests that may no longer be served to the reason."""

    routing: Routing
    primary: Served
    twin: Served | None = None
    canary: Served | None = None
    screen: Screen | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> dict[Route, Served]:
        """The models by their part."""
        models: dict[Route, Served] = {"primary": self.primary}
        if self.twin:
            models["twin"] = self.twin
        if self.canary:
            models["canary"] = self.canary
        return models

    @property
    def version(self) -> str:
        """The model's version as clients know it: the short digest of the primary."""
        return short(self.primary.digest)

    @property
    def steady(self) -> tuple[Route, Served | None]:
        """Who answers all that the canary does not; None if it may not be served."""
        if self.routing.mode == "contained":
            return "twin", self.fit(self.twin)
        return "primary", self.fit(self.primary)

    def fit(self, model: Served | None) -> Served | None:
        """The model, if there is one and it may be served."""
        return None if model is None or model.digest in self.withheld else model

    def choose(self, share: float) -> tuple[Route, Served | None]:
        """Who answers a request whose place in [0, 1) is ``share``."""
        canary = self.fit(self.canary)
        if canary and share < self.routing.canary_share:
            return "canary", canary
        return self.steady


def check_routing(routing: Routing) -> None:
    """Refuse a routing that contradicts itself; loads nothing.

    Raises:
        BadRequest: saying what does not go together.
    """
    try:
        for digest in (routing.primary, routing.twin, routing.calibration, routing.canary):
            if digest is not None:
                check_digest(digest)
    except UserError as error:
        raise BadRequest(error.what, where="routing", hint=error.hint) from None
    share = routing.canary_share
    wrong = (
        (not (isfinite(share) and 0.0 <= share <= 1.0), "canary_share must lie in [0, 1]"),
        (share > 0 and routing.canary is None, "a canary_share needs a canary"),
        (routing.mode == "contained" and routing.twin is None, "contained mode needs a twin"),
        (
            routing.calibration is not None and routing.twin is None,
            "a calibration needs a twin, since it is of the pair",
        ),
    )
    for is_wrong, why in wrong:
        if is_wrong:
            raise BadRequest(why, where="routing")
