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

_A_FEW = 16
_MAX_BYTES = 64 * 2**20
_ENCODER = msgspec.json.Encoder()


class SealSink(Protocol):
    """Where entries end up: :class:`hauberk.adapters.local.sealed.SealedLog`."""

    def seal(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Seal (tenant, JSON facts), to be written by the next flush."""

    def flush(self, *, at: float) -> int:
        """Write what was sealed durably, all or nothing; return the number of entries."""

    def open(self) -> int:
        """Become the writer; return the number of entries."""

    def close(self) -> None:
        """Let another process write."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one request; ``payload`` is the body that came and the one that went.

    ``passed`` says of bodies that flowed how long they were and, of long ones that the policy
    keeps, their digests.
    """

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
    passed: dict[str, Any] = msgspec.field(default_factory=dict)

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
            **self.passed,
        }
        if self.payload is not None:
            facts["request"], facts["answer"] = (b64encode(part).decode() for part in self.payload)
        return _ENCODER.encode(facts)

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return 0 if self.payload is None else sum(map(len, self.payload))


class Sealing:
    """A bounded queue before a :class:`SealSink`, flushed every ``seconds`` by a thread.

    A few facts without payloads are sealed where they come from, since a thread that computes
    holds the event loop up for longer than the work itself takes; the thread writes, and seals
    what is left. ``dropped`` is called with the number of entries lost, ``failed`` with the reason.
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
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="seal", daemon=True)
        self._sealed = self.committed = 0  # entries of the log so far, and those on the disk

    def __len__(self) -> int:
        return len(self._queue) + self._sealed - self.committed

    def start(self) -> None:
        """Become the log's writer and start.

        Raises:
            Untrusted: if the log was cut or altered at its end.
            EnvironmentFault: if it cannot be written.
        """
        self._sealed = self.committed = self._sink.open()
        self._thread.start()

    def put(self, fact: Fact) -> None:
        """Queue one request, or drop it; never waits for a disk."""
        if len(self) >= self._capacity or self._bytes > _MAX_BYTES:
            self._dropped(1)
            return
        self._bytes += fact.size
        self._queue.append(fact)
        if len(self._queue) >= _A_FEW and not self._bytes and self._thread.is_alive():
            self._seal(_A_FEW)

    def close(self, seconds: float = 5.0) -> None:
        """Commit what is queued and stop; what is not there in time is dropped and counted."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if left := len(self):
            self._dropped(left)
        self._sink.close()

    def _work(self) -> None:
        while not self._stop.wait(self._seconds):
            self._drain()
        self._drain()

    def _seal(self, most: int) -> None:
        """Seal the first of those that wait; if that fails, they are lost."""
        with self._turn:
            batch = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            self._bytes -= sum(fact.size for fact in batch)
            try:
                self._sink.seal([(fact.tenant, fact.encode()) for fact in batch])
                self._sealed += len(batch)
            except (HauberkError, OSError) as error:
                self._failed(str(error))
                self._dropped(len(batch))

    def _drain(self) -> None:
        # What comes meanwhile waits for the next turn: a few cost as much as many.
        for _ in range(0, len(self._queue), _A_FEW):
            self._seal(_A_FEW)
        try:
            committed = self._sink.flush(at=time.time())
        except (HauberkError, OSError) as error:
            with self._turn:  # also what was sealed since, as it follows what is not there
                lost, self._sealed = self._sealed - self.committed, self.committed
            if lost:
                self._failed(str(error))
                self._dropped(lost)
            return
        with self._turn:
            self.committed = committed
