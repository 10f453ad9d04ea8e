"""Bounded: HTTP/1.1 whose headers must arrive in time and stay small.

Uvicorn bounds neither with httptools: a client that sends a byte now and then would hold its
connection for good, one that sends headers without end would fill the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

    from hauberk.faces.gateway.limits import Limits


class Bounded(HttpToolsProtocol):
    """One connection; closed when it is late, answered 400 when its headers are too long."""

    limits: Limits  # set by bounded()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0  # bytes of headers that are not complete yet; -1 within a body
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The certificate that TLS has verified goes with each request of the connection.
        certificate = transport.get_extra_info("peercert")
        if certificate:
            self.app_state = {**self.app_state, "certificate": certificate}
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head >= 0:
            if self._deadline is None:  # the first bytes of a further request
                self._arm()
            self._head += len(data)
        super().data_received(data)
        # A head that ended within these bytes is measured by the application.
        if self._head > self.limits.header_bytes and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

    def on_headers_complete(self) -> None:
        self._disarm()
        self._head = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head = 0
        self._disarm()

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self.limits.header_seconds, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def bounded(limits: Limits) -> type[Bounded]:
    """The protocol with its limits, as uvicorn's configuration takes it."""
    return type("BoundedHTTP", (Bounded,), {"limits": limits})
