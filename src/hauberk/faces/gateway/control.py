"""The operators' side of the gateway: the routing, the status, the metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.upstream.remote import RemoteModel
from hauberk.faces.gateway.body import check_type
from hauberk.faces.gateway.exchange import Answer
from hauberk.faces.gateway.faults import Conflict, Missing
from hauberk.faces.gateway.meters import CONTENT_TYPE
from hauberk.faces.gateway.pool import read_routing

if TYPE_CHECKING:
    from hauberk.access.principal import Principal
    from hauberk.faces.gateway.entrance import Entrance
    from hauberk.faces.gateway.exchange import Call
    from hauberk.faces.gateway.limits import Limits
    from hauberk.faces.gateway.logs import Log
    from hauberk.faces.gateway.meters import Meters
    from hauberk.faces.gateway.passing import Passing
    from hauberk.faces.gateway.pool import Pool
    from hauberk.faces.gateway.tap import Tap
    from hauberk.faces.gateway.workers import Workers

METRICS = ("metrics",)
STATUS = ("v2", "hauberk", "status")
ROUTING = ("v2", "hauberk", "routing")
PATHS = (METRICS, STATUS, ROUTING)


@dataclass(kw_only=True)
class Control:
    """``/v2/hauberk/routing``, ``/v2/hauberk/status`` and ``/metrics``, for operators alone.

    ``draining`` is set while the gateway finishes its last requests.
    """

    name: str
    pool: Pool
    workers: Workers
    tap: Tap
    meters: Meters
    log: Log
    limits: Limits
    entrance: Entrance
    draining: bool = False
    passing: Passing | None = None

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here."""
        if self.passing is not None:
            return self.passing.ready and not self.draining
        return not (self.pool.obstacle or self.draining)

    async def answer(self, call: Call, principal: Principal) -> Answer:
        """Answer a call to one of the three paths.

        Raises:
            Forbidden: if the policy does not let the principal control the gateway.
            Missing: if it is another path, or no routing is in force yet.
            Fault: as :meth:`Call.body`, :func:`read_routing` and :meth:`Pool.arrange` say.
        """
        if call.path not in PATHS:
            raise Missing("no such path")
        call.policy = self.entrance.permit(principal, "control", self.name).policy
        if call.path == METRICS:
            call.only("GET")
            return self._metrics()
        if call.path == STATUS:
            call.only("GET")
            return Answer.of(self._status())
        call.only("GET", "PUT")
        if call.method == "PUT":
            await self._arrange(call, principal)
        if (lineup := self.pool.lineup) is None:
            raise Missing("no routing is in force")
        return Answer.of(msgspec.to_builtins(lineup.routing))

    async def _arrange(self, call: Call, principal: Principal) -> None:
        if self.passing is not None:
            raise Conflict("the upstream is passed through: nothing is routed")
        check_type(call.headers)
        limit, seconds = self.limits.control_bytes, self.limits.body_seconds
        routing = read_routing(await call.body(limit=limit, seconds=seconds))
        await asyncio.to_thread(self.pool.arrange, routing)
        facts = msgspec.to_builtins(routing)
        self.log.write("routing", principal=principal.name, **facts)

    def _metrics(self) -> Answer:
        self.meters.queued.set(len(self.tap))
        self.meters.ready.set(self.ready)
        if (state := self._upstream()) is not None:
            self.meters.upstream.state(state)
        return Answer(self.meters.page(), kind=CONTENT_TYPE)

    def _status(self) -> dict[str, Any]:
        lineup = self.pool.lineup
        return {
            "name": self.name,
            "ready": self.ready,
            "obstacle": self.pool.obstacle if self.passing is None else self.passing.why,
            "draining": self.draining,
            "routing": None if lineup is None else msgspec.to_builtins(lineup.routing),
            "withheld": {} if lineup is None else dict(lineup.withheld),
            "in_flight": self.workers.busy,
            "upstream": self._upstream(),
            "tap": {"queued": len(self.tap), "last_seq": self.tap.last_seq},
        }

    def _upstream(self) -> str | None:
        """The state of the upstream's circuit, if another server runs the primary."""
        if self.passing is not None:
            return self.passing.passage.breaker.state
        lineup = self.pool.lineup
        run = None if lineup is None else lineup.primary.run
        return run.breaker.state if isinstance(run, RemoteModel) else None
