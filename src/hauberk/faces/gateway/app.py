"""The HTTP face of the data plane: a bare ASGI application.

Open to all: ``/v2/health/live``, ``/v2/health/ready`` and ``/v2/hauberk/openapi.json``. By a token
of its own: :mod:`hauberk.faces.gateway.payloads`. By policy: ``/v2`` and ``/v2/models/…``,
``/v1/models/…``, a principal's own entries of the sealed log at ``/v2/hauberk/log``, the repository
(:mod:`hauberk.faces.gateway.repository`) and, for operators, :mod:`hauberk.faces.gateway.control`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from hauberk.adapters.upstream.trouble import Trouble
from hauberk.faces.gateway import (
    codec_binary,
    codec_json,
    codec_v1,
    extensions,
    openapi,
    repository,
)
from hauberk.faces.gateway.body import Gone, Headers, check_type
from hauberk.faces.gateway.cleaning import as_it_came
from hauberk.faces.gateway.exchange import OCTETS, Answer, Call, deliver, split
from hauberk.faces.gateway.faults import Fault, Forbidden, Missing, NotNow, TooLarge, fault_of
from hauberk.faces.gateway.payloads import PATH as PAYLOADS
from hauberk.faces.gateway.room import Rooms, need_of

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from hauberk.access.principal import Action
    from hauberk.faces.gateway.body import Receive
    from hauberk.faces.gateway.control import Control
    from hauberk.faces.gateway.dataplane import DataPlane
    from hauberk.faces.gateway.entrance import Entrance, Visit
    from hauberk.faces.gateway.exchange import Send
    from hauberk.faces.gateway.own_log import OwnLog
    from hauberk.faces.gateway.passing import Passing
    from hauberk.faces.gateway.payloads import Payloads
    from hauberk.faces.gateway.sealing import Sealing
    from hauberk.faces.gateway.tensors import Request
    from hauberk.faces.gateway.traces import Traces

    Scope = MutableMapping[str, Any]
_PREDICT = ":predict"
CLIENT_LEFT = 499
"""Counted and sealed where nobody was left to be answered."""
OWN_LOG = ("v2", "hauberk", "log")
OPENAPI = ("v2", "hauberk", "openapi.json")


@dataclass
class App:
    """An ASGI application over one data plane and its control; ``sealing`` None seals nothing."""

    plane: DataPlane
    control: Control
    entrance: Entrance
    sealing: Sealing | None = None
    keep_payloads: bool = False
    payloads: Payloads | None = None
    traces: Traces | None = None
    own_log: OwnLog | None = None
    passing: Passing | None = None
    rooms: Rooms = field(default_factory=lambda: Rooms(512 * 2**20))
    text_upstream: bool = False

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
            certificate=scope.get("state", {}).get("certificate"),
            query=scope.get("query_string", b""),
        )
        with suppress(Gone):
            answer = await self.respond(call)
            if answer.flow is None:
                await deliver(call, answer, send)
            else:
                await self._pass_on(call, answer, send, scope.get("state", {}).get("abort"))

    async def respond(self, call: Call) -> Answer:
        """The answer to one call, counted and sealed.

        Raises:
            Gone: if the client went away before its body was there.
        """
        if self.traces is not None:
            call.span = self.traces.begin(call)
        try:
            answer = await self._answer(call)
        except Gone:
            if call.tallies is not None:  # the upstream may have got it all the same
                self._over(call, Answer(b""), CLIENT_LEFT)
            raise
        finally:
            if call.held:
                self.rooms.give(_owner(call), call.held)
        if answer.flow is None:
            self._over(call, answer, answer.status.value)
        return answer

    def _over(self, call: Call, answer: Answer, code: int) -> None:
        """Count and seal what came of a call."""
        if self.traces is not None:
            self.traces.end(call.span, call, answer)
        if call.action == "infer":
            self.control.meters.answered(code, answer.route, time.perf_counter() - call.started)
        if self.sealing is not None and call.principal is not None:
            self.sealing.put(call.fact(answer, payload=self.keep_payloads, code=code))

    async def _pass_on(
        self, call: Call, answer: Answer, send: Send, abort: Callable[[], None] | None
    ) -> None:
        """Deliver an answer that flows; one that breaks off takes its connection with it."""
        assert answer.flow is not None
        code = CLIENT_LEFT
        self.control.meters.flying += 1
        try:
            await deliver(call, answer, send)
            code = answer.status.value
        except Trouble as trouble:
            fault = fault_of(trouble)
            code = fault.status.value
            self._note(call, fault.status, f"broken off: {trouble}")
            if abort is None:
                raise
            abort()
            await asyncio.sleep(0)  # the connection's end is noticed in the loop's next turn
        finally:
            self.control.meters.flying -= 1
            try:
                await answer.flow.close()
            finally:
                self._over(call, answer, code)

    async def _answer(self, call: Call) -> Answer:
        """The answer or, of whatever went wrong, one line and a code."""
        try:
            return await self._dispatch(call)
        except Gone:
            raise
        except Fault as fault:
            if isinstance(fault, Forbidden):
                call.policy = fault.policy
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
        if call.path == OPENAPI:
            call.only("GET")
            return Answer.of(openapi.document())
        if self.payloads is not None and call.path[:3] == PAYLOADS:
            return await self.payloads.receive(call)
        call.principal = await self.entrance.identify(
            call.headers.one(b"authorization"), call.certificate
        )
        if call.path == OWN_LOG:
            return await self._own(call)
        return await self._route(call)

    async def _own(self, call: Call) -> Answer:
        """What the sealed log holds of who asks."""
        call.only("GET")
        self._permit(call, "read", self.plane.name)
        if self.own_log is None:
            raise Missing("no log is kept")
        assert call.principal is not None
        query = call.query.decode("latin-1")
        return Answer.of(await asyncio.to_thread(self.own_log.read, call.principal, query))

    async def _route(self, call: Call) -> Answer:
        match call.path:
            case ("v2",) | ("v1", "models"):
                call.only("GET")
                self._permit(call, "read", self.plane.name)
                first = call.path[0] == "v1"
                return Answer.of({"models": [self.plane.name]} if first else self.plane.server())
            case ("v2", "models", model, "versions", version, *rest):
                return await self._model(call, (model, version), rest)
            case ("v2", "models", model, *rest):
                return await self._model(call, (model, None), rest)
            case ("v2", "repository", *rest):
                return await self._repository(call, rest)
            case ("v1", "models", name):
                return await self._first(call, name)
        call.action, call.model = "control", self.plane.name
        assert call.principal is not None
        return await self.control.answer(call, call.principal)

    def _permit(self, call: Call, action: Action, model: str) -> Visit:
        """Hold the call against the policy; the record of the call says what it was."""
        assert call.principal is not None
        call.action, call.model = action, model
        visit = self.entrance.permit(call.principal, action, model)
        call.policy = visit.policy
        return visit

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

    async def _model(self, call: Call, target: tuple[str, str | None], rest: list[str]) -> Answer:
        if self.passing is not None:
            return await self._passed(self.passing, call, target, rest)
        match rest:
            case []:
                call.only("GET")
                self._permit(call, "read", target[0])
                return Answer.of(self.plane.metadata(*target))
            case ["ready"]:
                call.only("GET")
                self._permit(call, "read", target[0])
                self.plane.ready(*target)
                return Answer.of({"name": target[0], "ready": True})
            case ["infer"]:
                call.only("POST")
                return await self._infer(call, target, self._compute)
            case ["config"]:
                call.only("GET")
                self._permit(call, "read", target[0])
                return Answer.of(extensions.config(self.plane, *target))
            case ["stats"]:
                call.only("GET")
                self._permit(call, "read", target[0])
                return Answer.of(extensions.statistics(self.plane, self.control.meters, *target))
        raise Missing("no such path")

    async def _passed(
        self, passing: Passing, call: Call, target: tuple[str, str | None], rest: list[str]
    ) -> Answer:
        """The same of a model that is passed through."""
        match rest:
            case [] | ["ready"]:
                call.only("GET")
                self._permit(call, "read", target[0])
                if not rest:
                    return Answer.of(await passing.metadata(*target))
                if not passing.ready:
                    raise NotNow("the model is not ready")
                return Answer.of({"name": target[0], "ready": True})
            case ["infer"]:
                call.only("POST")
                return await passing.infer(call, self._permit(call, "infer", target[0]), target[1])
        raise Missing("no such path, or not of a model that is passed through")

    async def _first(self, call: Call, name: str) -> Answer:
        """The V1 protocol's model and its prediction."""
        if self.passing is not None:
            raise Missing("not of a model that is passed through")
        if name.endswith(_PREDICT):
            call.only("POST")
            target = (name.removesuffix(_PREDICT), None)
            return await self._infer(call, target, self._predict)
        call.only("GET")
        self._permit(call, "read", name)
        self.plane.ready(name)
        return Answer.of({"name": name, "ready": True})

    async def _repository(self, call: Call, rest: list[str]) -> Answer:
        call.only("POST")
        match rest:
            case ["index"]:
                self._permit(call, "read", self.plane.name)
                await call.body(limit=self.control.limits.control_bytes, seconds=5.0)
                return Answer.of(repository.index(self.plane))
            case ["models", model, ("load" | "unload") as verb] if self.passing is None:
                self._permit(call, "load", model)
                await call.body(limit=self.control.limits.control_bytes, seconds=5.0)
                return Answer.of(await repository.change(self.plane, model, verb))
        raise Missing("no such path")

    async def _infer(
        self,
        call: Call,
        target: tuple[str, str | None],
        compute: Callable[[Call, Visit, tuple[str, str | None], memoryview], Answer],
    ) -> Answer:
        visit = self._permit(call, "infer", target[0])
        check_type(call.headers)
        limits = self.control.limits
        if call.whole is None:
            await self._make_room(call)
        body = await call.body(limit=limits.body_bytes, seconds=limits.body_seconds)
        call.content = body
        work = partial(self._charged, call, visit, target, compute)
        self.control.meters.flying += 1
        try:
            small = len(body) <= limits.inline_bytes and self.entrance.is_near(
                visit.principal, target[0], len(body), limits.rows
            )
            return await self.control.workers.run(work, small=small)
        finally:
            self.control.meters.flying -= 1

    async def _make_room(self, call: Call) -> None:
        """Wait until there is room for a body that has not come yet."""
        limits = self.control.limits
        need = need_of(
            call.headers,
            limit=limits.body_bytes,
            filtered=self.plane.clean is not as_it_came,
            text=self.text_upstream,
        )
        call.held = await self.rooms.take(_owner(call), need, seconds=limits.body_seconds)

    def _charged(
        self,
        call: Call,
        visit: Visit,
        target: tuple[str, str | None],
        compute: Callable[[Call, Visit, tuple[str, str | None], memoryview], Answer],
    ) -> Answer:
        """On a worker, since quotas and large tensors take their time."""
        assert call.content is not None
        if not self.entrance.rules.any:
            return compute(call, visit, target, call.content)
        self.entrance.charge_arrival(visit.principal, target[0], len(call.content))
        with self.entrance.seat(visit.principal, target[0]):
            return compute(call, visit, target, call.content)

    def _compute(
        self, call: Call, visit: Visit, target: tuple[str, str | None], body: memoryview
    ) -> Answer:
        """Decode, infer, encode."""
        request = _decode(body, call.headers.one(codec_binary.HEADER))
        response = self.plane.infer(
            request, model=target[0], version=target[1], visit=visit, started=call.started
        )
        encoded, length = codec_binary.write(response, request)
        if length is None:
            return Answer(encoded, told=response)
        mark = (codec_binary.HEADER, str(length).encode())
        return Answer(encoded, kind=OCTETS, headers=(mark,), told=response)

    def _predict(
        self, call: Call, visit: Visit, target: tuple[str, str | None], body: memoryview
    ) -> Answer:
        """The same for the V1 protocol."""
        request = codec_v1.read(body)
        response = self.plane.infer(
            request, model=target[0], version=target[1], visit=visit, started=call.started
        )
        return Answer(codec_v1.write(response), told=response)

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


def _owner(call: Call) -> str:
    assert call.principal is not None
    return f"{call.principal.tenant}/{call.principal.name}"
