"""Reload: what of a changed configuration is taken while the gateway runs, and what waits.

Clients, quotas, filters, thresholds and budgets are taken at once; what the process is built on
(addresses, threads, keys of TLS, the log, the upstream) needs a restart, and the log says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.access.quota import QuotaRules
from hauberk.core.errors import HauberkError
from hauberk.faces.gateway.cleaning import cleaner
from hauberk.faces.gateway.identity import Clients
from hauberk.faces.gateway.outputs import Blunt
from hauberk.faces.gateway.passing import check_passing

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.spec import ClientSpec, Spec
    from hauberk.faces.gateway.compose import Gateway

TAKEN = {
    "serve": {"clients", "sanitise", "round_digits", "top_k", "consent"},
    "quota": {
        "requests_per_second",
        "bytes_per_second",
        "rows_per_second",
        "rows_per_day",
        "burst",
        "concurrent",
    },
    "detect": {"flag_p", "budget_ms", "over_budget"},
}
# Of other programs: the gateway does not read them.
_ELSEWHERE = {"data", "threat", "harden", "loop", "gate", "registry"}


@dataclass
class Reload:
    """Reads the spec anew by ``read`` and applies what may change; ``own`` are always clients."""

    gateway: Gateway
    spec: Spec
    read: Callable[[], Spec]
    own: tuple[ClientSpec, ...] = ()
    _failed: str = ""

    def __call__(self) -> list[str]:
        """What happened, a line each; a configuration that is wrong changes nothing."""
        try:
            new = self.read()
            if new == self.spec:
                self._failed = ""
                return []
            told = self._apply(new)
        except HauberkError as error:
            told = [] if str(error) == self._failed else [f"configuration not taken: {error}"]
            self._failed = str(error)
            return told
        self.spec, self._failed = new, ""
        return told

    def _apply(self, new: Spec) -> list[str]:
        gateway, plane = self.gateway, self.gateway.app.plane
        check_passing(msgspec.structs.replace(new, upstream=self.spec.upstream))
        clients = Clients((*new.serve.clients, *self.own))
        clean = cleaner(new.serve.sanitise)
        taken, waiting = _changes(self.spec, new)
        gateway.reception.entrance.proofs.keys = clients
        gateway.reception.entrance.rules = QuotaRules.of(new.quota)
        plane.pace.budget = None if new.detect.budget_ms is None else new.detect.budget_ms / 1e3
        plane.pace.over = new.detect.over_budget
        gateway.app.plane = replace(
            plane,
            clean=clean,
            blunt=Blunt(digits=new.serve.round_digits, top_k=new.serve.top_k),
            flag_p=new.detect.flag_p,
            consent=new.serve.consent,
        )
        told = [f"configuration taken: {', '.join(taken)}"] if taken else []
        return [*told, f"needs a restart: {', '.join(waiting)}"] if waiting else told


def _changes(old: Spec, new: Spec) -> tuple[list[str], list[str]]:
    """Keys that differ: those that are taken now, and those that are not."""
    before: dict[str, Any] = msgspec.to_builtins(old)
    taken: list[str] = []
    waiting: list[str] = []
    for section, fields in msgspec.to_builtins(new).items():
        if section in _ELSEWHERE:
            continue
        for key, value in fields.items():
            if before[section][key] != value:
                place = taken if key in TAKEN.get(section, ()) else waiting
                place.append(f"{section}.{key}")
    return taken, waiting
