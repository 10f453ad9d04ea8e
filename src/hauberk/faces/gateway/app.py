"""The HTTP face of the data plane: a bare ASGI application.

Open to all: ``/v2/health/live`` and ``/v2/health/ready``. To clients: ``/v2`` and
``/v2/models/…``. To operators: all of these and :mod:`hauberk.faces.gateway.control`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from hauberk.faces.gateway import codec_binary, codec_json
from hauberk.faces.gateway.body import Gone, Headers, check_type
from hauberk.faces.gateway.exchange import OCTETS, Answer, Call, split
from hauberk.faces.gateway.faults import Fault, Missing, NotNow, TooLarge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from hauberk.faces.gateway.body import Receive
    from hauberk.faces.gateway.control import Control
    from hauberk.faces.gateway.dataplane import DataPlane
    from hauberk.faces.gateway.identity import Clients, Principal
    from hauberk.faces.gateway.tensors import Request

    Scope = MutableMapping[str, Any]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class App:
    """An ASGI application over one data plane and its control."""

    plane: DataPlane
    control: Control
    clients: Clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; other kinds of scope are not served."""
        if scope["type"] != "http":
            return
        call = Call(
            method=scope["method"],
            path=split(scope["path"]),
            headers=Headers(scope["headers"]),
            receive=receive,
            started=time.perf_counter(),
        )
        try:
            answer = await self._answer(call)
        except Gone:
            return
        if call.path[-1:] == ("infer",):
            meters = self.control.meters
            meters.requests.labels(answer.status.value, answer.route).inc()
            meters.seconds.observe(time.perf_counter() - call.started)
        for message in answer.messages():
            await send(message)

    async def _answer(self, call: Call) -> Answer:
        """The answer or, of whatever went wrong, one line and a code."""
        try:
            return await self._dispatch(call)
        except Gone:
            raise
        except Fault as fault:
            self._note(call, fault.status, str(fault))
            return await call.settle(fault)
        except Exception as error:  # a client is never shown a traceback
            self._note(call, Fault.status, f"{type(error).__name__}: {error}")
            return await call.settle(Fault("internal error; the gateway's log says more"))

    async def _dispatch(self, call: Call) -> Answer:
        if call.headers.size > self.control.limits.header_bytes:
            raise TooLarge("the headers are too long")
        if call.path[:2] == ("v2", "health"):
            return self._health(call)
        principal = self.clients.identify(call.headers.one(b"authorization"))
        match call.path:
            case ("v2",):
                call.only("GET")
                return Answer.of(self.plane.server())
            case ("v2", "models", model, "versions", version, *rest):
                return await self._model(call, principal, (model, version), rest)
            case ("v2", "models", model, *rest):
                return await self._model(call, principal, (model, None), rest)
        return await self.control.answer(call, principal)

    def _health(self, call: Call) -> Answer:
        match call.path[2:]:
            case ("live",):
                call.only("GET")
                return Answer.of({"live": True})
            case ("ready",):
                call.only("GET")
                if not self.control.ready:
                    raise NotNow("not ready")
                return Answer.of({"ready": True})
        raise Missing("no such path")

    async def _model(
        self, call: Call, principal: Principal, target: tuple[str, str | None], rest: list[str]
    ) -> Answer:
        match rest:
            case []:
                call.only("GET")
                return Answer.of(self.plane.metadata(*target))
            case ["ready"]:
                call.only("GET")
                self.plane.ready(*target)
                return Answer.of({"name": target[0], "ready": True})
            case ["infer"]:
                call.only("POST")
                return await self._infer(call, principal, target)
        raise Missing("no such path")

    async def _infer(
        self, call: Call, principal: Principal, target: tuple[str, str | None]
    ) -> Answer:
        check_type(call.headers)
        limits = self.control.limits
        body = await call.body(limit=limits.body_bytes, seconds=limits.body_seconds)
        with self.control.meters.in_flight.track_inprogress():
            work = partial(self._compute, call, principal, target, body)
            return await self.control.workers.run(work)

    def _compute(
        self, call: Call, principal: Principal, target: tuple[str, str | None], body: memoryview
    ) -> Answer:
        """Decode, infer, encode: on a worker, since large tensors take their time."""
        request = _decode(body, call.headers.one(codec_binary.HEADER))
        response = self.plane.infer(
            request, model=target[0], version=target[1], principal=principal, started=call.started
        )
        encoded, length = codec_binary.write(response, request)
        route = str(response.parameters["hauberk_route"])
        if length is None:
            return Answer(encoded, route=route)
        mark = (codec_binary.HEADER, str(length).encode())
        return Answer(encoded, kind=OCTETS, headers=(mark,), route=route)

    def _note(self, call: Call, status: HTTPStatus, why: str) -> None:
        self.control.log.write(
            "refused" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed",
            method=call.method,
            path="/" + "/".join(call.path),
            code=status.value,
            why=why,
        )


def _decode(body: memoryview, mark: bytes | None) -> Request:
    if mark is None:
        return codec_json.read(body)
    return codec_binary.read(body, codec_binary.head_length(mark, size=len(body)))
