"""One exchange over HTTP: the call as it came, the answer as it goes back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.faces.gateway.body import decoded, encoding_of, fitting, pass_over, read_body
from hauberk.faces.gateway.codec_json import encode
from hauberk.faces.gateway.faults import TooSlow, WrongMethod
from hauberk.faces.gateway.sealing import Fact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.access.principal import Principal
    from hauberk.faces.gateway.body import Headers, Receive
    from hauberk.faces.gateway.faults import Fault
    from hauberk.faces.gateway.tensors import Response

JSON = b"application/json"
OCTETS = b"application/octet-stream"
_CLOSE = (b"connection", b"close")
_PASS_BYTES, _PASS_SECONDS = 32 * 2**20, 2.0


@dataclass(kw_only=True)
class Call:
    """One HTTP request; ``started`` is by ``time.perf_counter``.

    Its body is the ``whole`` that came with it, or still to be read by ``receive``.

    What is found out about it on its way is noted here: who asks, for what, and by which policy.
    """

    method: str
    path: tuple[str, ...]
    headers: Headers
    started: float
    receive: Receive | None = None
    certificate: Mapping[str, Any] | None = None
    query: bytes = b""
    principal: Principal | None = None
    action: str = ""
    model: str = ""
    policy: str = ""
    content: memoryview | None = None
    whole: bytes | None = None
    _read: bool = False

    def only(self, *methods: str) -> None:
        """Refuse any other method.

        Raises:
            WrongMethod: if it is another.
        """
        if self.method not in methods:
            raise WrongMethod(f"use {' or '.join(methods)}", allowed=methods)

    async def body(self, *, limit: int, seconds: float) -> memoryview:
        """The body, decoded; raises as :func:`read_body` and :func:`decoded` do."""
        data: bytes | bytearray
        if self.whole is None:
            assert self.receive is not None
            data = await read_body(self.receive, self.headers, limit=limit, seconds=seconds)
        else:
            data = fitting(self.whole, limit)
        self._read = True
        encoding = encoding_of(self.headers)
        if encoding == b"identity":
            return memoryview(data)
        return memoryview(await asyncio.to_thread(decoded, bytes(data), encoding, limit=limit))

    def fact(self, answer: Answer, *, payload: bool) -> Fact:
        """What the sealed log keeps of it, once its principal is known."""
        assert self.principal is not None
        told = answer.told
        facts = {} if told is None else told.parameters
        bodies = (self.content, answer.body) if payload and self.content is not None else None
        return Fact(
            at=time.time(),
            tenant=self.principal.tenant,
            principal=self.principal.name,
            action=self.action or "none",
            model=self.model,
            policy=self.policy,
            code=answer.status.value,
            id="" if told is None else told.id,
            outcome=str(facts.get("hauberk_outcome", "")),
            route=str(facts.get("hauberk_route", "")),
            digest=str(facts.get("hauberk_digest", "")),
            latency_ms=(time.perf_counter() - self.started) * 1e3,
            payload=bodies,
        )

    async def settle(self, fault: Fault) -> Answer:
        """The answer to a fault, once what is left of the body is out of the way."""
        over = self._read or self.whole is not None or not self.headers.announce_body
        if not (over or self.headers.await_consent or isinstance(fault, TooSlow)):
            assert self.receive is not None
            over = await pass_over(self.receive, limit=_PASS_BYTES, seconds=_PASS_SECONDS)
        return Answer.to(fault, close=not over)


class Answer(msgspec.Struct, frozen=True):
    """What goes back; ``told`` is the response of the data plane within it."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    told: Response | None = None

    @property
    def route(self) -> str:
        """Who answered an inference."""
        return "none" if self.told is None else str(self.told.parameters["hauberk_route"])

    @classmethod
    def of(cls, value: Any) -> Answer:
        """Plain values as JSON."""
        return cls(encode(value))

    @classmethod
    def to(cls, fault: Fault, *, close: bool = False) -> Answer:
        """The one line that a client is told of a fault."""
        text = f"{fault}; {fault.hint}" if fault.hint else str(fault)
        headers = (*fault.headers, _CLOSE) if close else fault.headers
        return cls(encode({"error": text}), fault.status, headers=headers)

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Its HTTP headers."""
        return [
            (b"content-type", self.kind),
            (b"content-length", b"%d" % len(self.body)),
            (b"x-content-type-options", b"nosniff"),
            *self.headers,
        ]

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The two ASGI messages that send it."""
        status, headers = self.status.value, self.fields()
        return (
            {"type": "http.response.start", "status": status, "headers": headers},
            {"type": "http.response.body", "body": self.body},
        )


def split(path: str) -> tuple[str, ...]:
    """Parts of a path; one slash at its end is allowed, as in the specification's ``/v2/``."""
    return tuple(path.removesuffix("/").split("/")[1:])
