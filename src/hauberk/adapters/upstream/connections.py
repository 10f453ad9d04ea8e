"""Connections: a bounded pool, of which each one serves one thread at a time."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hauberk.adapters.upstream.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpcore


class Connections:
    """At most ``limit`` connections, made by ``make`` when none is idle; the newest is used first.

    One that expired, or was left within an answer, is closed.
    """

    def __init__(self, make: Callable[[], httpcore.HTTPConnection], *, limit: int) -> None:
        self._make, self._seats = make, threading.BoundedSemaphore(limit)
        self._idle: deque[httpcore.HTTPConnection] = deque()

    @contextmanager
    def one(self, *, wait: float) -> Iterator[httpcore.HTTPConnection]:
        """A connection for as long as the block takes.

        Raises:
            Trouble: if all are in use for ``wait`` seconds.
        """
        if not self._seats.acquire(timeout=wait):
            raise Trouble("down", "all connections are in use", sent=False)
        connection = None
        try:
            connection = self._pop() or self._make()
            yield connection
        finally:
            if connection is not None:
                if connection.is_idle() and not connection.has_expired():
                    self._idle.append(connection)
                else:
                    connection.close()
            self._seats.release()

    def close(self) -> None:
        """Close those that are idle."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _pop(self) -> httpcore.HTTPConnection | None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_available() and not connection.has_expired():
                return connection
            connection.close()
