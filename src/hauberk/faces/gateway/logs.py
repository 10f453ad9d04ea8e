"""Logs: one JSON line an event; no payload, no token, and no more lines than bearable."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, TextIO

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 300


class Log:
    """Writes events; beyond ``per_second`` in one second it counts them instead.

    A stream that fails is no reason to stop serving, so it is ignored.
    """

    def __init__(
        self, stream: TextIO, *, clock: Callable[[], float] = time.time, per_second: int = 50
    ) -> None:
        self._stream, self._clock, self._per_second = stream, clock, per_second
        self._lock = threading.Lock()
        self._second, self._written, self._held_back = 0, 0, 0

    def write(self, event: str, **facts: str | float | None) -> None:
        """Write one event; long texts are cut, line breaks escaped."""
        now = self._clock()
        with self._lock:
            if int(now) != self._second:
                self._second, self._written = int(now), 0
            if self._written >= self._per_second:
                self._held_back += 1
                return
            self._written += 1
            line: dict[str, object] = {"at": round(now, 3), "event": event}
            for key, fact in facts.items():
                line[key] = fact[:_LONGEST] if isinstance(fact, str) else fact
            if self._held_back:
                line["held_back"], self._held_back = self._held_back, 0
            try:
                self._stream.write(msgspec.json.encode(line).decode() + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return


class Relay(logging.Handler):
    """Passes the warnings of a library's logger on as events, without their tracebacks."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write("server", level=record.levelname.lower(), why=record.getMessage())
