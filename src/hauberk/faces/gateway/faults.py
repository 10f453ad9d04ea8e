"""What the gateway tells a client that it does not answer; a transport maps it to its codes.

::

    Fault                 500   the model failed
    ├── BadRequest        400   the body or a header is at fault
    ├── Unauthenticated   401   no token that we know
    ├── Forbidden         403   the policy does not allow it
    ├── Missing           404   no such path, model or version
    ├── WrongMethod       405   the path exists, the method does not
    ├── TooSlow           408   the body did not arrive in time
    ├── Conflict          409   a digest that may not be served
    ├── TooLarge          413   more bytes than the limit
    ├── WrongType         415   a content type or encoding that is not read
    ├── TooMany           429   over a quota; try again later
    ├── NotNow            503   not ready, draining or full; try again
    ├── Unreadable        502   the upstream's answer cannot be read
    └── UpstreamSlow      504   the upstream did not answer in time
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar

from hauberk.core.errors import HauberkError

if TYPE_CHECKING:
    from hauberk.adapters.upstream.trouble import Trouble


class Fault(HauberkError):
    """Base of what a client is told; ``status`` is its HTTP code."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """HTTP headers that belong to it."""
        return ()


class BadRequest(Fault):
    """The body or a header is at fault."""

    status = HTTPStatus.BAD_REQUEST


class Unauthenticated(Fault):
    """No token, or none that we know."""

    status = HTTPStatus.UNAUTHORIZED

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"www-authenticate", b'Bearer realm="hauberk"'),)


class Forbidden(Fault):
    """The policy does not allow it; ``policy`` is the id of the one that said so."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, what: str, *, policy: str = "") -> None:
        super().__init__(what)
        self.policy = policy


class Missing(Fault):
    """There is no such path, model or version."""

    status = HTTPStatus.NOT_FOUND


class WrongMethod(Fault):
    """The path exists, but not for that method; ``allowed`` names those it has."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, what: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(what)
        self.allowed = allowed

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"allow", ", ".join(self.allowed).encode()),)


class TooSlow(Fault):
    """The body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT


class Conflict(Fault):
    """A routing that names a digest which may not be served."""

    status = HTTPStatus.CONFLICT


class TooLarge(Fault):
    """More bytes than the limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class WrongType(Fault):
    """A content type or encoding that is not read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class TooMany(Fault):
    """Over a quota; ``wait`` are the seconds after which it may pass, None if it never will."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, what: str, *, wait: float | None) -> None:
        super().__init__(what)
        self.wait = wait

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        # What never passes gets a day, so that a client which repeats it does so rarely.
        seconds = 86400 if self.wait is None else max(1, math.ceil(self.wait))
        return ((b"retry-after", str(seconds).encode()),)


class NotNow(Fault):
    """Not ready, draining or full: the same request may be answered later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return ((b"retry-after", b"1"),)


class Unreadable(Fault):
    """The upstream answered what cannot be read."""

    status = HTTPStatus.BAD_GATEWAY


class UpstreamSlow(NotNow):
    """The upstream did not answer in time."""

    status = HTTPStatus.GATEWAY_TIMEOUT


def fault_of(trouble: Trouble) -> Fault:
    """What a client is told of an upstream's trouble; the details are the operator's."""
    match trouble.kind:
        case "refused":
            return BadRequest("the upstream refuses the input")
        case "slow":
            return UpstreamSlow("the upstream did not answer in time")
        case "garbage":
            return Unreadable("the upstream's answer cannot be read")
        case _:
            return NotNow("the upstream does not answer")
