"""The operator's process: wait to lead, then handle events until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import kopf

from hauberk.adapters.kubernetes.cluster import Cluster
from hauberk.adapters.kubernetes.lease import Leadership
from hauberk.core.errors import EnvironmentFault, HauberkError
from hauberk.faces.operator.handlers import Watchhouse, register
from hauberk.faces.operator.shield import Defaults
from hauberk.faces.operator.tell import Teller

if TYPE_CHECKING:
    from pathlib import Path

LEASE = "hauberk-operator"
_LOST = 4
"""Exit status of a process that may no longer act: Kubernetes starts it anew."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """How the operator runs. ``lease`` is the length of its lease in seconds."""

    namespace: str
    state: Path
    image: str
    logger: str = ""
    lease: int = 15
    metrics_host: str = ""
    metrics_port: int = 0


def run(orders: Orders) -> None:
    """Lead, and drive every ``ModelShield`` of the namespace, until SIGTERM.

    A second operator waits until the first one's lease is old. One that loses its lease, or finds
    that another drove a service, ends at once: what it was doing is in the journal.
    """
    tell, stop = Teller(), threading.Event()
    _quiet_kopf(tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if orders.metrics_port:
        tell.serve(orders.metrics_host or "127.0.0.1", orders.metrics_port)
    with Cluster(orders.namespace) as cluster:
        identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        leader = Leadership(cluster, LEASE, identity, seconds=orders.lease)
        tell.say("waiting to lead", namespace=orders.namespace, identity=identity)
        if not leader.wait(stop.wait):
            return
        tell.say("leading", identity=identity)
        keeper = threading.Thread(target=_keep, args=(leader, stop, tell), daemon=True)
        keeper.start()
        house = Watchhouse(
            cluster=cluster,
            defaults=Defaults(state=orders.state, image=orders.image, logger=orders.logger),
            tell=tell,
            fail=lambda why: _end(tell, why),
        )
        asyncio.run(_handle(house, orders.namespace))
        stop.set()
        keeper.join()
        try:
            leader.release()
        except HauberkError as error:
            tell.say("lease not released", why=str(error))
        tell.say("stopped")


async def _handle(house: Watchhouse, namespace: str) -> None:
    """Run kopf until a signal, which it takes over."""
    await kopf.operator(registry=register(house), namespaces=[namespace], standalone=True)


def _keep(leader: Leadership, stop: threading.Event, tell: Teller) -> None:
    """Renew the lease until told to stop; without it, end before another may begin."""
    while not stop.wait(leader.seconds / 5):
        try:
            leader.attempt()
        except EnvironmentFault as error:
            tell.say("lease not renewed", why=str(error))
        except HauberkError as error:
            _end(tell, str(error))
        # A fifth of the lease early: acting after it would be acting beside another.
        if leader.remaining < leader.seconds / 5:
            _end(tell, "the lease is lost")


def _end(tell: Teller, why: str) -> None:
    """End at once; nothing is cleaned up, as nothing is after kill -9."""
    tell.say("ended", why=why)
    os._exit(_LOST)


class _Lines(logging.Handler):
    """kopf's warnings as our lines."""

    def __init__(self, tell: Teller) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell.say("kopf", level=record.levelname, message=record.getMessage()[:2000])


def _quiet_kopf(tell: Teller) -> None:
    logger = logging.getLogger("kopf")
    logger.addHandler(_Lines(tell))
    logger.propagate = False
