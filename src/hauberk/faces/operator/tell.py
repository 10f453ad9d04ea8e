"""What the operator tells of itself: lines of JSON, and figures for Prometheus."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec
from prometheus_client import CollectorRegistry, Histogram, start_http_server

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass
class Teller:
    """Writes to ``stream``; each shield's first round is a line, all rounds are counted."""

    stream: IO[str] = field(default_factory=lambda: sys.stderr)
    _known: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.registry = CollectorRegistry()
        self._rounds = Histogram(
            "hauberk_operator_round_seconds",
            "Time of one round of a shield.",
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def say(self, event: str, **facts: Any) -> None:
        """One line."""
        line = msgspec.json.encode({"at": round(time.time(), 3), "event": event, **facts})
        with self._lock:
            self.stream.write(line.decode() + "\n")
            self.stream.flush()

    def round(self, shield: str, seconds: float) -> None:
        """A round of a shield took so long."""
        self._rounds.observe(seconds)
        if shield not in self._known:
            self._known.add(shield)
            self.say("taken up", shield=shield, seconds=round(seconds, 4))

    def serve(self, host: str, port: int) -> None:
        """Answer ``/metrics``."""
        start_http_server(port, addr=host, registry=self.registry)
