"""Passage: exchanges with an HTTP server whose bodies flow through, a piece at a time.

Nothing is read of either body, so neither is held: a piece is asked for when the one before it was
taken, on both sides. What was begun cannot be repeated, since its body is gone.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import httpcore

from hauberk.adapters.upstream.breaker import Breaker
from hauberk.adapters.upstream.channel import IDLE_SECONDS, below, check_status, place, troubles
from hauberk.adapters.upstream.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

    from hauberk.core.spec import UpstreamSpec

_HELD = 2**17


class Stream:
    """An answer that began. To be closed, also where it was not read to its end."""

    def __init__(
        self, response: httpcore.Response, breaker: Breaker, spec: UpstreamSpec, ends: float
    ) -> None:
        self._response, self._breaker, self._spec, self._ends = response, breaker, spec, ends
        self.headers: Mapping[bytes, bytes] = {
            name.lower(): value for name, value in response.headers
        }

    @property
    def length(self) -> int | None:
        """How long the answer says that it is."""
        given = self.headers.get(b"content-length", b"")
        return int(given) if given.isdigit() else None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Its body.

        Raises:
            Trouble: if it breaks off, stops flowing, or is longer than it may be.
        """
        passed, most = 0, self._spec.max_answer_bytes
        try:
            with troubles(self._spec.timeout):
                async for piece in self._response.aiter_stream():
                    passed += len(piece)
                    if passed > most:
                        raise Trouble("garbage", f"its answer is longer than {most} bytes")
                    if time.monotonic() > self._ends:
                        raise Trouble("slow", f"it took over {self._spec.stream_seconds:g} s")
                    yield piece
        except Trouble:
            self._breaker.fail()
            raise
        self._breaker.succeed()

    async def close(self) -> None:
        """Let go of the connection; one within an answer is closed."""
        await self._response.aclose()


class Passage:
    """POSTs to one server from one event loop.

    Each step of an exchange has ``timeout`` seconds, all of it ``stream_seconds``.

    Raises:
        ConfigError: if the URL, the token or the authorities cannot be read.
    """

    def __init__(self, spec: UpstreamSpec) -> None:
        self._spec = spec
        self.breaker = Breaker(failures=spec.failures, pause=spec.pause_seconds)
        self._url, self._headers, secret = place(spec)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=secret,
            max_connections=spec.connections,
            keepalive_expiry=IDLE_SECONDS,
            # The event loop takes whatever the system holds before anybody can say that it is
            # enough for now: so the system holds little.
            socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, _HELD)],
        )
        steps = dict.fromkeys(("read", "write", "pool"), spec.timeout)
        self._extensions = {"timeout": {**steps, "connect": spec.connect_timeout}}

    async def open(
        self,
        path: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: AsyncIterable[bytes],
        *,
        length: int | None,
        ends: float,
    ) -> Stream:
        """Send a body as it comes and wait for the head of the answer.

        ``length`` is the body's, if it is known; ``ends`` when all must be over, by
        ``time.monotonic``.

        Raises:
            Trouble: if there is no answer of 200, or it says that it is too long.
            Exception: whatever the body raises.
        """
        frame = (b"transfer-encoding", b"chunked")
        if length is not None:
            frame = (b"content-length", b"%d" % length)
        for left in range(self._spec.retries, -1, -1):
            self.breaker.enter()
            request = httpcore.Request(
                "POST",
                below(self._url, path),
                headers=[*self._headers, *headers, frame],
                content=body,
                extensions=self._extensions,
            )
            try:
                return await self._ask(request, ends)
            except Trouble as trouble:
                if trouble.kind == "refused":  # it lives, and finds the request at fault
                    self.breaker.succeed()
                    raise
                self.breaker.fail()
                if not left or trouble.sent:
                    raise
        raise AssertionError

    async def _ask(self, request: httpcore.Request, ends: float) -> Stream:
        with troubles(self._spec.timeout):
            response = await self._pool.handle_async_request(request)
        made = Stream(response, self.breaker, self._spec, ends)
        try:
            check_status(response.status)
            if (made.length or 0) > self._spec.max_answer_bytes:
                raise Trouble("garbage", "its answer says that it is too long")
        except BaseException:
            await made.close()
            raise
        return made

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
