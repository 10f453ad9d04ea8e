"""One exchange over HTTP: the call as it came, the answer as it goes back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.faces.gateway.body import (
    Gone,
    decoded,
    encoding_of,
    fitting,
    flowing,
    pass_over,
    read_body,
)
from hauberk.faces.gateway.codec_json import encode
from hauberk.faces.gateway.faults import TooSlow, WrongMethod
from hauberk.faces.gateway.sealing import Fact

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
    from contextlib import AsyncExitStack

    from hauberk.access.principal import Principal
    from hauberk.adapters.upstream.passage import Stream
    from hauberk.faces.gateway.body import Headers, Receive
    from hauberk.faces.gateway.faults import Fault
    from hauberk.faces.gateway.limits import Limits
    from hauberk.faces.gateway.tally import Tally
    from hauberk.faces.gateway.tensors import Response

    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

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
    tallies: tuple[Tally, Tally] | None = None
    held: int = 0
    span: Any = None
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
        return memoryview(await asyncio.to_thread(decoded, data, encoding, limit=limit))

    async def pieces(self, tally: Tally, *, limits: Limits, ends: float) -> AsyncIterator[bytes]:
        """The body as it comes and as it is encoded, counted; raises as :func:`flowing` does."""
        assert self.receive is not None
        limit, seconds = limits.body_bytes, limits.body_seconds
        async for piece in flowing(self.receive, limit=limit, seconds=seconds, ends=ends):
            tally.add(piece)
            yield piece
        self._read = True

    def fact(self, answer: Answer, *, payload: bool, code: int | None = None) -> Fact:
        """What the sealed log keeps of it, once its principal is known.

        ``code`` is what came of an answer that flowed, which began with another.
        """
        assert self.principal is not None
        told = answer.told
        facts = {} if told is None else told.parameters
        bodies: tuple[Any, bytes] | None = None
        passed: dict[str, Any] = {}
        if self.tallies is not None:
            there, back = self.tallies
            passed = {"request_bytes": there.size, "answer_bytes": back.size}
            if there.kept is not None and back.kept is not None:
                bodies = (there.kept, back.kept)
            elif payload:
                passed |= {"request_digest": there.digest, "answer_digest": back.digest}
        elif payload and self.content is not None:
            bodies = (self.content, answer.body)
        return Fact(
            at=time.time(),
            tenant=self.principal.tenant,
            principal=self.principal.name,
            action=self.action or "none",
            model=self.model,
            policy=self.policy,
            code=answer.status.value if code is None else code,
            id="" if told is None else told.id,
            outcome=str(facts.get("hauberk_outcome", "")),
            route=str(facts.get("hauberk_route", "")),
            digest=str(facts.get("hauberk_digest", "")),
            latency_ms=(time.perf_counter() - self.started) * 1e3,
            payload=bodies,
            passed=passed,
        )

    async def settle(self, fault: Fault) -> Answer:
        """The answer to a fault, once what is left of the body is out of the way."""
        over = self._read or self.whole is not None or not self.headers.announce_body
        if not (over or self.headers.await_consent or isinstance(fault, TooSlow)):
            assert self.receive is not None
            over = await pass_over(self.receive, limit=_PASS_BYTES, seconds=_PASS_SECONDS)
        return Answer.to(fault, close=not over)


class Flow:
    """An answer's body that is still to come; ``held`` is let go of when it is closed."""

    def __init__(self, stream: Stream, tally: Tally, held: AsyncExitStack) -> None:
        self._stream, self._tally, self._held = stream, tally, held

    @property
    def length(self) -> int | None:
        """How long it will be, if that is known."""
        return self._stream.length

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, counted.

        Raises:
            Trouble: if the upstream breaks it off.
        """
        async for piece in self._stream.pieces():
            self._tally.add(piece)
            yield piece

    async def close(self) -> None:
        """Let go of the upstream's connection and of the place among the requests."""
        async with self._held:
            await self._stream.close()


class Answer(msgspec.Struct, frozen=True):
    """What goes back; ``told`` is the response of the data plane within it."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    told: Response | None = None
    flow: Flow | None = None

    @property
    def route(self) -> str:
        """Who answered an inference."""
        if self.flow is not None:
            return "passed"
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
        """Its HTTP headers; an answer that flows may not know its length."""
        length = len(self.body) if self.flow is None else self.flow.length
        return [
            (b"content-type", self.kind or JSON),
            *([] if length is None else [(b"content-length", b"%d" % length)]),
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


async def deliver(call: Call, answer: Answer, send: Send) -> None:
    """Send an answer, whole or as it flows: the next piece is asked for when this one is gone.

    Raises:
        Gone: if the client went away.
        Trouble: if the upstream breaks it off, which its client must see.
    """
    if answer.flow is None:
        for message in answer.messages():
            await send(message)
        return
    assert call.receive is not None
    await send(answer.messages()[0])
    left = asyncio.ensure_future(call.receive())
    try:
        async for piece in answer.flow.pieces():
            if left.done() and left.result()["type"] == "http.disconnect":
                raise Gone
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        left.cancel()
    await send({"type": "http.response.body", "body": b""})


def split(path: str) -> tuple[str, ...]:
    """Parts of a path; one slash at its end is allowed, as in the specification's ``/v2/``."""
    return tuple(path.removesuffix("/").split("/")[1:])
