"""Passing: a model that is not looked into, whose requests and answers flow through as they come.

Who may ask, and how often and how much, is held as for any model, and the sealed log has what the
policy says. No schema, filter or detector sees a tensor, and the monitors hear of no row.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from hauberk.adapters.upstream.channel import Channel
from hauberk.adapters.upstream.passage import Passage
from hauberk.adapters.upstream.trouble import Trouble
from hauberk.core.errors import ConfigError
from hauberk.faces.gateway.body import announced, check_type, is_known_type
from hauberk.faces.gateway.exchange import Answer, Flow
from hauberk.faces.gateway.faults import Missing, NotNow, Unreadable, fault_of
from hauberk.faces.gateway.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.core.spec import Spec
    from hauberk.faces.gateway.entrance import Entrance, Visit
    from hauberk.faces.gateway.exchange import Call
    from hauberk.faces.gateway.limits import Limits

T = TypeVar("T")
_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_THERE = (b"content-type", b"content-encoding", b"inference-header-content-length")
_BACK = (b"content-encoding", b"inference-header-content-length")
OF_TENSORS = (
    ("serve", "sanitise"),
    ("serve", "round_digits"),
    ("serve", "top_k"),
    ("serve", "grpc_port"),
    ("quota", "rows_per_second"),
    ("quota", "rows_per_day"),
)
"""Settings that need the tensors, or another way in, and cannot hold of what passes."""


@dataclass
class Passing:
    """One upstream of protocol ``v2``; ``keep`` seals payloads, ``waits`` if counting may block."""

    name: str
    path: str
    version: str
    passage: Passage
    channel: Channel
    entrance: Entrance
    limits: Limits
    seconds: float
    keep: bool = False
    waits: bool = False
    flying: int = 0
    why: str = "not asked yet"

    @property
    def ready(self) -> bool:
        """Whether it answered when it was last asked, and its circuit is not open."""
        return not self.why and self.passage.breaker.state != "open"

    def look(self) -> list[str]:
        """Ask whether it is ready; what changed, a line."""
        before = self.why
        try:
            self.channel.get("/v2/health/ready")
            self.why = ""
        except Trouble as trouble:
            self.why = str(trouble)
        return [] if self.why == before else [f"upstream: {self.why or 'ready'}"]

    async def metadata(self, model: str, version: str | None) -> dict[str, Any]:
        """What the upstream says of the model, under the name that it has here.

        Raises:
            Missing: if there is no such model or version.
            Fault: if the upstream does not tell.
        """
        path = self._path(model, version)
        try:
            reply = await asyncio.to_thread(self.channel.get, path)
            told = msgspec.json.decode(reply.body, type=dict[str, Any])
        except Trouble as trouble:
            raise fault_of(trouble) from None
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise Unreadable("the upstream's answer cannot be read") from None
        return {**told, "name": self.name}

    async def infer(self, call: Call, visit: Visit, version: str | None) -> Answer:
        """Send the body on as it comes; the answer flows while it is delivered.

        Raises:
            Missing: if there is no such model or version.
            Fault: if the body or the upstream is at fault, or the quota does not cover it.
            Gone: if the client went away.
        """
        path = f"{self._path(call.model, version)}/infer"
        check_type(call.headers)
        length = announced(call.headers, self.limits.body_bytes)
        there, back = Tally(keep=self.keep), Tally(keep=self.keep)
        async with AsyncExitStack() as stack:
            await self._admit(visit, call.model, length, stack)
            call.tallies = (there, back)
            ends = time.monotonic() + self.seconds
            sent = [(k, v) for k in _THERE if (v := call.headers.one(k)) is not None]
            try:
                stream = await self.passage.open(
                    path,
                    sent,
                    call.pieces(there, limits=self.limits, ends=ends),
                    length=length,
                    ends=ends,
                )
            except Trouble as trouble:
                raise fault_of(trouble) from None
            kind = stream.headers.get(b"content-type", b"")
            if not is_known_type(kind):
                await stream.close()
                raise Unreadable("the upstream's answer cannot be read")
            back_headers = tuple((k, v) for k in _BACK if (v := stream.headers.get(k)) is not None)
            flow = Flow(stream, back, stack.pop_all())
            return Answer(b"", kind=kind, headers=back_headers, flow=flow)

    async def _admit(
        self, visit: Visit, model: str, length: int | None, stack: AsyncExitStack
    ) -> None:
        """Count the request; what it holds is given back with the stack."""
        size = self.limits.body_bytes if length is None else length
        if self.flying >= self.limits.threads + self.limits.queue:
            raise NotNow("too many requests at once")
        self.flying += 1
        stack.callback(self._land)
        if not self.entrance.rules.any:
            return
        await self._count(self.entrance.charge_arrival, visit.principal, model, size)
        place = await self._count(self.entrance.seat, visit.principal, model)
        stack.push_async_callback(self._count, place.leave)

    async def _count(self, call: Callable[..., T], *given: Any) -> T:
        """Make a call that may have to wait for counts that are kept elsewhere."""
        return await asyncio.to_thread(call, *given) if self.waits else call(*given)

    def _land(self) -> None:
        self.flying -= 1

    def _path(self, model: str, version: str | None) -> str:
        if model != self.name:
            raise Missing("no such model")
        if version is not None and not (_VERSION.match(version) and version.strip(".")):
            raise Missing("no such version")
        if self.version and version not in {None, self.version}:
            raise Missing("no such version")
        wanted = version or self.version
        return f"{self.path}/versions/{wanted}" if wanted else self.path


def check_passing(spec: Spec) -> bool:
    """Whether a spec passes its model through.

    Raises:
        ConfigError: if another setting needs what nobody looks at.
    """
    upstream = spec.upstream
    if not upstream.url or upstream.inspect:
        return False
    if upstream.protocol != "v2":
        raise ConfigError('needs protocol "v2"', where="upstream.inspect")
    usual = type(spec)(model=spec.model)
    for section, key in OF_TENSORS:
        if getattr(getattr(spec, section), key) != getattr(getattr(usual, section), key):
            raise ConfigError(
                "needs the tensors, which nobody looks at",
                where=f"{section}.{key}",
                hint="leave it out, or upstream.inspect",
            )
    return True


def passing(spec: Spec, entrance: Entrance, limits: Limits) -> Passing | None:
    """What a spec passes through; None if it looks into its model.

    Raises:
        ConfigError: as :func:`check_passing` does.
    """
    if not check_passing(spec):
        return None
    upstream = spec.upstream
    return Passing(
        name=spec.model.name,
        path=f"/v2/models/{upstream.model or spec.model.name}",
        version=upstream.version,
        passage=Passage(upstream),
        channel=Channel(upstream),
        entrance=entrance,
        limits=limits,
        seconds=upstream.stream_seconds,
        keep=spec.seal.keep == "payloads",
        waits=spec.quota.backend != "memory",
    )
