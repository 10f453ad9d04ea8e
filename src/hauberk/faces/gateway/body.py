"""Reading a request's headers and body from a client that may be wrong, large or slow."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from typing import TYPE_CHECKING, Any

from hauberk.faces.gateway.faults import BadRequest, TooLarge, TooSlow, WrongType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

NUMBER = re.compile(rb"[0-9]{1,18}\Z")
_TYPES = {b"", b"application/json", b"application/octet-stream"}
# zlib's window argument: 16 more reads a gzip header.
_ENCODINGS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


class Gone(Exception):
    """The client went away; nobody is left to be told."""


class Headers:
    """Headers by lower-case name; ``size`` is the bytes of all."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, bytes] = {}
        self._more: dict[bytes, list[bytes]] = {}  # of those that were given more than once
        size, values = 0, self._values
        for given, value in pairs:
            name = given.lower()
            size += len(name) + len(value)
            if name in values:
                self._more.setdefault(name, []).append(value.strip())
            else:
                values[name] = value.strip()
        self.size = size
        self.checked = False  # by check_type, whose answer does not change

    def __contains__(self, name: bytes) -> bool:
        return name in self._values

    def one(self, name: bytes) -> bytes | None:
        """The value of a header that may be given once.

        Raises:
            BadRequest: if it is given twice.
        """
        if name in self._more:
            raise BadRequest("given more than once", where=name.decode("latin-1"))
        return self._values.get(name)

    @property
    def announce_body(self) -> bool:
        """Whether a body follows them."""
        lengths = (
            self._values.get(b"content-length", b"0"),
            *self._more.get(b"content-length", ()),
        )
        return b"transfer-encoding" in self._values or any(one != b"0" for one in lengths)

    @property
    def await_consent(self) -> bool:
        """Whether the client holds the body back until it is asked for it."""
        return b"expect" in self._values


def check_type(headers: Headers) -> None:
    """Refuse a body that is declared as something else than JSON or binary tensors.

    Raises:
        WrongType: if it is.
        BadRequest: if a header is given twice.
    """
    if headers.checked:
        return
    if not is_known_type(headers.one(b"content-type") or b""):
        raise WrongType("Content-Type must be application/json or application/octet-stream")
    if encoding_of(headers) not in {b"identity", *_ENCODINGS}:
        raise WrongType("Content-Encoding must be gzip, deflate or identity")
    headers.checked = True


def is_known_type(kind: bytes) -> bool:
    """Whether a content type is none, JSON or binary tensors."""
    return kind in _TYPES or kind.partition(b";")[0].strip().lower() in _TYPES


def encoding_of(headers: Headers) -> bytes:
    """How the body is encoded; ``identity`` if it is not.

    Raises:
        BadRequest: if the header is given twice.
    """
    return (headers.one(b"content-encoding") or b"identity").lower()


def decoded(body: bytes | bytearray, encoding: bytes, *, limit: int) -> bytes | bytearray:
    """The body as it was before it was encoded.

    Raises:
        BadRequest: if it was not encoded so, or something follows it.
        TooLarge: if it grows beyond ``limit`` bytes; it is not grown further.
    """
    if encoding not in _ENCODINGS:
        return body
    inflate = zlib.decompressobj(_ENCODINGS[encoding])
    try:
        data = inflate.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest("cannot be decoded", where="Content-Encoding") from None
    if len(data) > limit:
        raise TooLarge(f"a body may have {limit} bytes when it is decoded")
    if not inflate.eof or inflate.unused_data:
        raise BadRequest("is cut off, or something follows it", where="Content-Encoding")
    return data


def fitting(body: bytes, limit: int) -> bytes:
    """A body that is there as a whole.

    Raises:
        TooLarge: if it is longer than ``limit`` bytes.
    """
    if len(body) > limit:
        raise TooLarge(f"a body may have {limit} bytes")
    return body


def announced(headers: Headers, limit: int) -> int | None:
    """The length of the body, where its headers say so.

    Raises:
        BadRequest: if ``Content-Length`` is no number, or given twice.
        TooLarge: if it is longer than ``limit`` bytes.
    """
    given = headers.one(b"content-length")
    if given is None:
        return None
    if not NUMBER.match(given):
        raise BadRequest("not a number", where="Content-Length")
    if int(given) > limit:
        raise TooLarge(f"a body may have {limit} bytes")
    return int(given)


async def read_body(receive: Receive, headers: Headers, *, limit: int, seconds: float) -> bytearray:
    """The whole body, in memory once.

    Raises:
        BadRequest: if ``Content-Length`` is no number.
        TooLarge: if it is announced as, or turns out to be, longer than ``limit`` bytes.
        TooSlow: if it is not there after ``seconds``.
        Gone: if the client went away.
    """
    # Memory that is announced costs nothing before it is written to.
    body, size = bytearray(announced(headers, limit) or 0), 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Gone
                piece = message.get("body", b"")
                end = size + len(piece)
                if end > limit:
                    raise TooLarge(f"a body may have {limit} bytes")
                body[size:end] = piece
                size = end
                if not message.get("more_body", False):
                    del body[size:]
                    return body
    except TimeoutError:
        raise TooSlow(f"the body was not there after {seconds:g} s") from None


async def flowing(
    receive: Receive, *, limit: int, seconds: float, ends: float
) -> AsyncIterator[bytes]:
    """A body piece by piece, each read when the one before was taken.

    A piece has ``seconds`` to arrive, and all of them until ``ends`` by ``time.monotonic``.

    Raises:
        TooLarge: if it turns out to be longer than ``limit`` bytes.
        TooSlow: if it is late.
        Gone: if the client went away.
    """
    passed = 0
    while True:
        left = min(seconds, ends - time.monotonic())
        try:
            async with asyncio.timeout(max(0.0, left)):
                message = await receive()
        except TimeoutError:
            raise TooSlow("the body came too slowly") from None
        if message["type"] != "http.request":
            raise Gone
        piece = message.get("body", b"")
        passed += len(piece)
        if passed > limit:
            raise TooLarge(f"a body may have {limit} bytes")
        if piece:
            yield bytes(piece)
        if not message.get("more_body", False):
            return


async def pass_over(receive: Receive, *, limit: int, seconds: float) -> bool:
    """Read a body and forget it, so that the answer is not lost with a connection cut short.

    Returns whether it ended within ``limit`` bytes and ``seconds``.
    """
    passed = 0
    try:
        async with asyncio.timeout(seconds):
            while passed <= limit:
                message = await receive()
                if message["type"] != "http.request":
                    return False
                passed += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return True
    except TimeoutError:
        pass
    return False
