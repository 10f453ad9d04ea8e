"""Sealing: requests and answers on their way to the sealed log, beside the requests.

A thread commits what came in groups; a process that is killed loses what waits for the next one.
A full queue drops what comes next and counts it.
"""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from hauberk.core.errors import HauberkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BATCH = 1024
_MAX_BYTES = 64 * 2**20
_ENCODER = msgspec.json.Encoder()


class SealSink(Protocol):
    """Where entries end up: :class:`hauberk.adapters.local.sealed.SealedLog`."""

    def commit(self, entries: Sequence[tuple[str, bytes]], *, at: float) -> int:
        """Write a group of (tenant, JSON facts) durably; return the number of entries."""

    def open(self) -> int:
        """Become the writer; return the number of entries."""

    def close(self) -> None:
        """Let another process write."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one request; ``payload`` is the body that came and the one that went."""

    at: float
    tenant: str
    principal: str
    action: str
    model: str
    policy: str = ""
    code: int = 200
    id: str = ""
    outcome: str = ""
    route: str = ""
    digest: str = ""
    latency_ms: float = 0.0
    payload: tuple[Any, bytes] | None = None

    def encode(self) -> bytes:
        """As JSON, payloads in base64."""
        facts: dict[str, Any] = {
            "at": self.at,
            "principal": self.principal,
            "action": self.action,
            "model": self.model,
            "policy": self.policy,
            "code": self.code,
            "id": self.id,
            "outcome": self.outcome,
            "route": self.route,
            "digest": self.digest,
            "latency_ms": self.latency_ms,
        }
        if self.payload is not None:
            facts["request"], facts["answer"] = (b64encode(part).decode() for part in self.payload)
        return _ENCODER.encode(facts)

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return 0 if self.payload is None else sum(map(len, self.payload))


class Sealing:
    """A bounded queue before a :class:`SealSink`, emptied every ``seconds``.

    ``dropped`` is called with the number of entries lost, ``failed`` with the reason.
    """

    def __init__(
        self,
        sink: SealSink,
        *,
        capacity: int,
        seconds: float = 0.05,
        dropped: Callable[[int], None] = lambda _: None,
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._sink, self._capacity, self._seconds = sink, capacity, seconds
        self._dropped, self._failed = dropped, failed
        self._queue: deque[Fact] = deque()
        self._bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="seal", daemon=True)
        self.committed = 0

    def __len__(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        """Become the log's writer and start.

        Raises:
            Untrusted: if the log was cut or altered at its end.
            EnvironmentFault: if it cannot be written.
        """
        self.committed = self._sink.open()
        self._thread.start()

    def put(self, fact: Fact) -> None:
        """Queue one request, or drop it; never waits."""
        if len(self._queue) >= self._capacity or self._bytes > _MAX_BYTES:
            self._dropped(1)
            return
        self._bytes += fact.size
        self._queue.append(fact)

    def close(self, seconds: float = 5.0) -> None:
        """Commit what is queued and stop; what is not there in time is dropped and counted."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self._queue:
            self._dropped(len(self._queue))
        self._sink.close()

    def _work(self) -> None:
        while not self._stop.wait(self._seconds):
            self._drain()
        self._drain()

    def _drain(self) -> None:
        # What comes meanwhile waits for the next turn: a few cost as much as many.
        waiting = len(self._queue)
        while waiting > 0:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, waiting))]
            waiting -= len(batch)
            self._bytes -= sum(fact.size for fact in batch)
            try:
                entries = [(fact.tenant, fact.encode()) for fact in batch]
                self.committed = self._sink.commit(entries, at=time.time())
            except (HauberkError, OSError) as error:
                self._failed(str(error))
                self._dropped(len(batch))
                return
