"""Bounded: HTTP/1.1 whose headers must arrive in time and stay small.

Uvicorn bounds neither with httptools: a client that sends a byte now and then would hold its
connection for good, one that sends headers without end would fill the memory, one that takes no
part of a large answer would keep it there.

A small POST that is there as a whole is answered at once where the application can
(:class:`Quick`), since a task, a cycle and two messages cost more than many a model.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache
from types import coroutine
from typing import TYPE_CHECKING, Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from hauberk.faces.gateway.body import Headers
from hauberk.faces.gateway.exchange import Answer, Call, split
from hauberk.faces.gateway.faults import Fault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Generator

    from hauberk.faces.gateway.limits import Limits

_JOINED, _BLANK = 2**16, b"\r\n\r\n"
_PLAIN = re.compile(rb"/[^%#\x80-\xff]*\Z")  # a path that needs no decoding, and no host before it


class Quick(Protocol):
    """An application that answers calls whose body is there: :class:`hauberk…app.App`."""

    async def respond(self, call: Call) -> Answer:
        """Answer a call; never raises where the body is there."""


class _Head:
    """The head of a request as it is read; kept, since a client's next one mostly is the same."""

    __slots__ = ("headers", "pairs", "path", "query", "raw", "size", "url")

    def __init__(self, url: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
        self.url, self.pairs = url, pairs
        self.raw, self.size = b"", 0  # its own bytes, and those of the whole request
        path, _, self.query = url.partition(b"?")
        self.path = split(path.decode("latin-1"))
        self.headers = Headers(pairs)


class Bounded(HttpToolsProtocol):
    """One connection; closed when it is late, answered 400 when its headers are too long."""

    limits: Limits  # set by bounded()
    quick: Quick | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0  # bytes of headers that are not complete yet; -1 within a body
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._parts: list[bytes] | None = None  # of a body that may be answered at once
        self._lives = True
        self._first = False  # whether no request of the bytes at hand was answered at once
        self._last: _Head | None = None
        self._within = False  # whether a message began that is not complete
        self._seen = self._whole = 0  # messages in the bytes at hand, and the body of the last
        self._answered = 0.0  # when the last request was answered at once, by the loop's clock
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The certificate that TLS has verified goes with each request of the connection.
        certificate = transport.get_extra_info("peercert")
        if certificate:
            self.app_state = {**self.app_state, "certificate": certificate}
        self.app_state = {**self.app_state, "abort": transport.abort}
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._unstall()
        if self._idle is not None:
            self._idle.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        seconds = self.limits.body_seconds  # for it to take some of what it asked for
        self._stalled = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._unstall()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        last = self._last
        if (
            last is not None
            and last.size == len(data)
            and not self._within
            and data.startswith(last.raw)
            and self._is_free()
        ):
            # The bytes of the head before, and as many of a body: they mean what they meant.
            self._unset_keepalive_if_required()
            self._answer(data[len(last.raw) :])
            return
        fresh, self._seen = not self._within, 0
        if self._head >= 0:
            self._head += len(data)
        self._first = True
        super().data_received(data)
        if fresh and self._seen == 1 and not self._within and self._last is not last:
            self._remember(data)
        if self._head > 0 and self._deadline is None and not self.transport.is_closing():
            self._arm()  # the first bytes of a further request, but not all of its head
        if self._parts is not None and not self.transport.is_closing():
            self._wait()
        # A head that ended within these bytes is measured by the application.
        if self._head > self.limits.header_bytes and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def _remember(self, data: bytes) -> None:
        """Keep the bytes of a head, if what came is that head and its body and nothing else.

        What a parser might read otherwise is left to it: the blank line that ends the head is the
        first in it, and the body is as long as its only ``Content-Length`` says.
        """
        head, raw = self._last, data[: len(data) - self._whole]
        if head is None or not self._lives or raw.find(_BLANK) != len(raw) - len(_BLANK):
            return
        lengths = [value for name, value in head.pairs if name == b"content-length"]
        if lengths == [b"%d" % self._whole] and b"transfer-encoding" not in head.headers:
            head.raw, head.size = raw, len(data)

    def on_message_begin(self) -> None:
        self._within = True
        # The scope is made when it is needed.
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        self._disarm()
        self._head = -1
        if self._is_quick():
            self._lives = self.parser.should_keep_alive()
            self._parts, self._first = [], False
            return
        self._begin()

    def on_body(self, body: bytes) -> None:
        if self._parts is not None:
            self._parts.append(body)
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._within = False
        if self._parts is not None:
            parts, self._parts = self._parts, None
            head = self._last
            if head is None or head.url != self.url or head.pairs != self.headers:
                self._last = _Head(self.url, self.headers)
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            self._seen, self._whole = self._seen + 1, len(body)
            self._answer(body)
        else:
            self._seen += 2  # not one that is answered at once
            super().on_message_complete()
        self._head = 0
        self._disarm()

    def _is_quick(self) -> bool:
        """Whether the application may be asked without a cycle of its own.

        Of several requests in one piece the first alone, lest other connections wait for all.
        """
        if self.quick is None or not self._first or self.parser.get_method() != b"POST":
            return False
        if self.expect_100_continue or not self._is_free():
            return False
        if self.parser.should_upgrade() or self.parser.get_http_version() != "1.1":
            return False
        return _PLAIN.match(self.url) is not None

    def _is_free(self) -> bool:
        """Whether nothing is before the next request, nor as much as is borne beside it."""
        busy = self.pipeline or not (self.cycle is None or self.cycle.response_complete)
        most = self.limits.connections
        full = len(self.connections) >= most or len(self.tasks) >= most
        return not (busy or full or self.flow.write_paused)

    def _answer(self, body: bytes) -> None:
        assert self.quick is not None
        head = self._last
        assert head is not None
        call = Call(
            method="POST",
            path=head.path,
            headers=head.headers,
            started=time.perf_counter(),
            certificate=self.app_state.get("certificate"),
            query=head.query,
            whole=body,
        )
        work = self.quick.respond(call)
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            self._send(done.value)
            return
        except Exception:  # a client is never shown a traceback
            self.logger.exception("the application failed")
            self._lives = False
            self._send(Answer.to(Fault("internal error; the gateway's log says more")))
            return
        self._go_on(resumed(work, waits_for))

    def _send(self, answer: Answer) -> None:
        """Write the answer whole and wait for the next request."""
        content = [STATUS_LINE[answer.status]]
        for name, value in self.server_state.default_headers:
            content += (name, b": ", value, b"\r\n")
        content.append(_fields(answer.kind, answer.headers) % len(answer.body))
        content.append(b"\r\n" if self._lives else b"connection: close\r\n\r\n")
        if len(answer.body) > _JOINED:
            self.transport.write(b"".join(content))
            self.transport.write(answer.body)
        else:
            self.transport.write(b"".join([*content, answer.body]))
        self.server_state.total_requests += 1
        if not self._lives:
            self.transport.close()
            return
        # One timer a connection: to set one for each request costs as much as a check of it.
        self._answered = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        """Close the connection if nothing came since the last answer for as long as is borne."""
        left = self._answered + self.timeout_keep_alive - self.loop.time()
        # Within a request, or after one that was answered by a task, others look after it.
        busy = self._head or self.timeout_keep_alive_task is not None
        if busy or not (self.cycle is None or self.cycle.response_complete):
            left = self.timeout_keep_alive
        if left <= 0:
            self.timeout_keep_alive_handler()
            return
        self._idle = self.loop.call_later(left, self._look)

    def _begin(self) -> None:
        """A cycle of its own for the request whose headers are complete."""
        self._unset_keepalive_if_required()  # armed by an answer to what came in the same piece
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def _wait(self) -> None:
        """The body is not there yet: go on as any other request does."""
        parts, self._parts = self._parts or [], None
        self._begin()
        for part in parts:
            super().on_body(part)

    def _go_on(self, work: Coroutine[Any, Any, Answer]) -> None:
        """The answer takes its time: send it from a cycle, so that further requests queue up."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            del scope, receive
            for message in (await work).messages():
                await send(message)

        usual, self.app = self.app, app
        self._begin()
        self.app = usual
        super().on_message_complete()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.limits.header_seconds, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


@lru_cache(maxsize=256)
def _fields(kind: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """An answer's header lines, with a place for its length; most answers have the same."""
    answer = Answer(b"", kind=kind, headers=headers)
    lines = [
        (name, b"%d" if name == b"content-length" else value.replace(b"%", b"%%"))
        for name, value in answer.fields()
    ]
    return b"".join(b"%b: %b\r\n" % line for line in lines)


@coroutine
def resumed(work: Coroutine[Any, Any, Answer], waits_for: Any) -> Generator[Any, Any, Answer]:
    """What is left of a coroutine that was begun outside a task and now waits for something."""
    try:
        while True:
            try:
                came = yield waits_for
            except BaseException as error:  # its own to handle, a cancellation too
                waits_for = work.throw(error)
            else:
                waits_for = work.send(came)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    finally:
        work.close()


def bounded(limits: Limits, quick: Quick | None = None) -> type[Bounded]:
    """The protocol with its limits, as uvicorn's configuration takes it."""
    return type("BoundedHTTP", (Bounded,), {"limits": limits, "quick": quick})
