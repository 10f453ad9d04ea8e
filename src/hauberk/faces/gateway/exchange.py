"""One exchange over HTTP: the call as it came, the answer as it goes back."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from hauberk.faces.gateway.body import pass_over, read_body
from hauberk.faces.gateway.codec_json import encode
from hauberk.faces.gateway.faults import TooSlow, WrongMethod

if TYPE_CHECKING:
    from hauberk.faces.gateway.body import Headers, Receive
    from hauberk.faces.gateway.faults import Fault

JSON = b"application/json"
OCTETS = b"application/octet-stream"
_CLOSE = (b"connection", b"close")
_PASS_BYTES, _PASS_SECONDS = 32 * 2**20, 2.0


@dataclass(kw_only=True)
class Call:
    """One HTTP request, its body still to be read; ``started`` is by ``time.perf_counter``."""

    method: str
    path: tuple[str, ...]
    headers: Headers
    receive: Receive
    started: float
    _read: bool = False

    def only(self, *methods: str) -> None:
        """Refuse any other method.

        Raises:
            WrongMethod: if it is another.
        """
        if self.method not in methods:
            raise WrongMethod(f"use {' or '.join(methods)}", allowed=methods)

    async def body(self, *, limit: int, seconds: float) -> memoryview:
        """The body; raises as :func:`read_body` does."""
        data = await read_body(self.receive, self.headers, limit=limit, seconds=seconds)
        self._read = True
        return memoryview(data)

    async def settle(self, fault: Fault) -> Answer:
        """The answer to a fault, once what is left of the body is out of the way."""
        over = self._read or not self.headers.announce_body
        if not (over or self.headers.await_consent or isinstance(fault, TooSlow)):
            over = await pass_over(self.receive, limit=_PASS_BYTES, seconds=_PASS_SECONDS)
        return Answer.to(fault, close=not over)


@dataclass(frozen=True)
class Answer:
    """What goes back; ``route`` says who answered an inference."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    route: str = "none"

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

    def messages(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The two ASGI messages that send it."""
        headers = [
            (b"content-type", self.kind),
            (b"content-length", str(len(self.body)).encode()),
            (b"x-content-type-options", b"nosniff"),
            *self.headers,
        ]
        return (
            {"type": "http.response.start", "status": self.status.value, "headers": headers},
            {"type": "http.response.body", "body": self.body},
        )


def split(path: str) -> tuple[str, ...]:
    """Parts of a path; one slash at its end is allowed, as in the specification's ``/v2/``."""
    return tuple(path.removesuffix("/").split("/")[1:])
