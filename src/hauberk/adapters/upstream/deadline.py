"""Deadline: a connection pool whose every read and write ends with the exchange's time.

The library bounds each read alone, so that a server which sends a byte now and then could hold an
exchange for good.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpcore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_SHORTEST = 1e-3


class Clock(threading.local):
    """When the exchange of this thread must be over, by ``time.monotonic``."""

    ends: float = float("inf")

    def left(self, bound: float | None) -> float:
        """Seconds that a step may take.

        Raises:
            httpcore.ReadTimeout: if the time is over.
        """
        left = self.ends - time.monotonic()
        if left <= _SHORTEST:
            raise httpcore.ReadTimeout
        return left if bound is None else min(left, bound)


class DeadlineStream(httpcore.NetworkStream):
    """A connection under a clock."""

    def __init__(self, inner: httpcore.NetworkStream, clock: Clock) -> None:
        self._inner, self._clock = inner, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._clock.left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        made = self._inner.start_tls(ssl_context, server_hostname, self._clock.left(timeout))
        return DeadlineStream(made, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class DeadlineBackend(httpcore.NetworkBackend):
    """Makes connections under a clock."""

    def __init__(self, clock: Clock) -> None:
        self._inner, self._clock = httpcore.SyncBackend(), clock

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        made = self._inner.connect_tcp(
            host, port, self._clock.left(timeout), local_address, socket_options
        )
        return DeadlineStream(made, self._clock)
