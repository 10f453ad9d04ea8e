"""Engines on this machine: this process, or several that are started for the work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, cast

import msgspec

from hauberk.core import errors
from hauberk.core.errors import EnvironmentFault, HauberkError, UserError
from hauberk.core.ports import Shard, Work
from hauberk.core.sharding import opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

_SPAWN = multiprocessing.get_context("spawn")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of one shard: the result, or the error that the work raised."""

    result: bytes = b""
    kind: str = ""
    what: str = ""
    where: str = ""
    hint: str = ""

    @classmethod
    def of(cls, error: Exception) -> Reply:
        """An error as a reply."""
        if isinstance(error, HauberkError):
            kind = type(error).__name__
            return cls(kind=kind, what=error.what, where=error.where, hint=error.hint)
        return cls(kind="HauberkError", what=f"{type(error).__name__}: {error}")

    def taken(self) -> bytes:
        """The result.

        Raises:
            HauberkError: what the work raised, of the same kind.
        """
        if not self.kind:
            return self.result
        kind = getattr(errors, self.kind, HauberkError)
        error = cast("HauberkError", kind.__new__(kind))
        HauberkError.__init__(error, self.what, where=self.where, hint=self.hint)
        raise error


@dataclass(frozen=True, kw_only=True)
class Inline:
    """This process, one shard after the other.

    Raises:
        UserError: if more than one worker is asked for.
    """

    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers != 1:
            raise UserError("inline work has one worker", hint="choose the engine processes")

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, bytes]]:
        """See :class:`hauberk.core.ports.Executor`."""
        do = opened(work)
        for shard in shards:
            yield shard, do(shard)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """``workers`` processes of this machine that share its cores; one shard at a time each.

    A shard is given up after ``attempts`` processes died of it.

    Raises:
        UserError: if a number is below 1.
    """

    workers: int = 2
    attempts: int = 3

    def __post_init__(self) -> None:
        if min(self.workers, self.attempts) < 1:
            raise UserError(f"no work is done by {self.workers} workers")

    def run(self, work: Work, shards: Sequence[Shard]) -> Iterator[tuple[Shard, bytes]]:
        """See :class:`hauberk.core.ports.Executor`."""
        waiting, deaths = deque(shards), Counter[Shard]()
        count = min(self.workers, len(shards))
        team = [_Worker(work, _threads(count)) for _ in range(count)]
        try:
            while waiting or any(worker.shard for worker in team):
                for worker in team:
                    if worker.shard is None and waiting:
                        worker.give(waiting.popleft())
                for worker in _ready(team):
                    shard, reply = worker.taken()
                    if reply is not None:
                        yield shard, reply.taken()
                        continue
                    deaths[shard] += 1
                    if deaths[shard] >= self.attempts:
                        raise _given_up(shard, self.attempts, worker)
                    waiting.appendleft(shard)
                    worker.replace()
        finally:
            for worker in team:
                worker.end()


class _Worker:
    """One process and the shard that it is at."""

    def __init__(self, work: Work, threads: int) -> None:
        self._work, self._threads = work, threads
        self.shard: Shard | None = None
        self._start()

    def _start(self) -> None:
        self.link, far = _SPAWN.Pipe()
        arguments = (far, self._work, self._threads)
        self.process: BaseProcess = _SPAWN.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        far.close()

    def give(self, shard: Shard) -> None:
        self.shard = shard
        with suppress(OSError):  # it has died: its link says so when it is read
            self.link.send_bytes(msgspec.msgpack.encode(shard))

    def taken(self) -> tuple[Shard, Reply | None]:
        """The shard that it was at, and its reply; None if the process died of it."""
        if self.shard is None:
            raise HauberkError("a process replied without having been asked")
        shard, self.shard = self.shard, None
        try:
            return shard, msgspec.msgpack.decode(self.link.recv_bytes(), type=Reply)
        except (EOFError, OSError):
            return shard, None

    def replace(self) -> None:
        self.end()
        self._start()

    def end(self) -> None:
        self.link.close()
        self.process.kill()
        self.process.join()


def _ready(team: Sequence[_Worker]) -> list[_Worker]:
    """Those of the busy that have something to say or have died; waits for one at least."""
    busy: dict[Any, _Worker] = {worker.link: worker for worker in team if worker.shard}
    return [busy[link] for link in wait(list(busy))]


def _given_up(shard: Shard, attempts: int, worker: _Worker) -> EnvironmentFault:
    worker.process.join()
    return EnvironmentFault(
        f"the process at samples {shard.start} to {shard.stop} died {attempts} times, "
        f"at last with exit code {worker.process.exitcode}",
        hint="out of memory? use fewer workers",
    )


def _threads(workers: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // workers)


def _serve(link: Connection, work: Work, threads: int) -> None:
    """The life of a process: open the work, do shards, end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in _THREADS:  # read by torch and numpy when they are imported, which comes below
        os.environ[name] = str(threads)
    do = None
    while True:
        try:
            shard = msgspec.msgpack.decode(link.recv_bytes(), type=Shard)
        except EOFError:
            return
        try:
            do = do or opened(work)
            reply = Reply(result=do(shard))
        except Exception as error:  # whatever it is, the parent must hear of it
            reply = Reply.of(error)
        link.send_bytes(msgspec.msgpack.encode(reply))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
