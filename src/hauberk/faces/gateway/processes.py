"""Several worker processes of one gateway behind one port.

Each worker is a gateway of the service as any replica: it follows the shared order, tells its
records to the shared state, and keeps what is its own below ``replicas``. All listen on the same
port, among which the system shares out the connections (``SO_REUSEPORT``). This process starts
them, starts anew one that dies, and passes a signal to stop on to all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hauberk.access.quota import QuotaRules
from hauberk.core.errors import ConfigError, EnvironmentFault
from hauberk.faces.gateway.listen import alone, announce, reachable, reserve, retract

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hauberk.core.spec import Spec

WORKER = "HAUBERK_WORKER"
"""Tells a worker its number and the port, as ``2:8080``."""
_LOOK_SECONDS = 0.1
_YOUNG_SECONDS, _MOST_FALLS = 10.0, 5  # a worker that dies young that often is not started again


def check_workers(spec: Spec) -> None:
    """Refuse what several processes could not do together.

    Raises:
        ConfigError: if they would not know the same order, or count each for itself.
    """
    if spec.share.backend == "off":
        raise ConfigError(
            "several workers need a state that they share",
            where="share.backend",
            hint='set it to "sqlite" for workers of one machine',
        )
    if QuotaRules.of(spec.quota).any and spec.quota.backend == "memory":
        raise ConfigError(
            "several workers would count each for itself",
            where="quota.backend",
            hint='set it to "sqlite" or "redis"',
        )


def told(value: str) -> tuple[int, int]:
    """Number and port of a worker, from :data:`WORKER`.

    Raises:
        ConfigError: if they cannot be read.
    """
    number, _, port = value.partition(":")
    if not (number.isdecimal() and port.isdecimal() and len(value) < 16):
        raise ConfigError("not a worker's number and port", where=WORKER)
    return int(number), int(port)


@dataclass
class _Worker:
    """One process, when it was started and how often it died young."""

    command: Sequence[str]
    word: str
    falls: int = 0
    begun: float = 0.0
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.begun = time.monotonic()
        self.process = subprocess.Popen(self.command, env={**os.environ, WORKER: self.word})


def supervise(spec: Spec, *, state: Path, command: Sequence[str]) -> int:
    """Run ``serve.workers`` processes of a command until SIGTERM or Ctrl-C; the worst's status.

    Raises:
        ConfigError: as :func:`check_workers` does.
        EnvironmentFault: if the port is in use, another gateway serves from there, or a worker
            dies again and again.
    """
    check_workers(spec)
    stopping: list[int] = []
    before = {
        number: signal.signal(number, lambda got, _: stopping.append(got))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    workers: list[_Worker] = []
    try:
        with alone(state), reserve(spec.serve.host, spec.serve.port) as port:
            for number in range(1, spec.serve.workers + 1):
                workers.append(_Worker(command, f"{number}:{port}"))
                workers[-1].start()
            announce(state, spec.serve.host, port)
            where = f"http://{reachable(spec.serve.host)}:{port}"
            sys.stderr.write(f"{len(workers)} workers on {where}\n")
            while not stopping:
                time.sleep(_LOOK_SECONDS)
                for worker in workers:
                    _tend(worker)
    finally:
        retract(state)
        status = _stop(workers, spec.serve.drain_seconds)
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def _tend(worker: _Worker) -> None:
    """Start a worker anew that died.

    Raises:
        ConfigError: if it says that it cannot be started so.
        EnvironmentFault: if it died young again and again.
    """
    status = worker.process.poll()
    if status is None:
        return
    young = time.monotonic() - worker.begun < _YOUNG_SECONDS
    worker.falls = worker.falls + 1 if young else 0
    if status == ConfigError.exit_code and young:
        raise ConfigError("a worker cannot start", where=f"worker {worker.word}")
    if worker.falls >= _MOST_FALLS:
        raise EnvironmentFault("a worker dies again and again", where=f"worker {worker.word}")
    sys.stderr.write(f"worker {worker.word} ended with {status}: starting it anew\n")
    worker.start()


def _stop(workers: Sequence[_Worker], drain: float) -> int:
    """Let all drain, and end who does not."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGTERM)
    worst, until = 0, time.monotonic() + 3 * drain + 10
    for worker in workers:
        try:
            status = worker.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            status = worker.process.wait()
        worst = max(worst, abs(status))
    return worst
