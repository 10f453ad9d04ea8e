"""The serving process: listen, serve, re-check what is served, drain on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import ssl
import sys
import threading
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from threadpoolctl import threadpool_limits

from hauberk.access.quota import QuotaRules
from hauberk.adapters.local.home import Home
from hauberk.adapters.local.records import RecordLog
from hauberk.adapters.local.sharing import shared_state
from hauberk.faces.gateway.certificate import Certificate
from hauberk.faces.gateway.compose import compose, local_world
from hauberk.faces.gateway.follow import Follower, OrdersFile, SharedOrders, replica_folder
from hauberk.faces.gateway.hand_over import HandOver
from hauberk.faces.gateway.identity import Clients
from hauberk.faces.gateway.listen import alone, announce, listen, reachable, retract
from hauberk.faces.gateway.logs import Relay
from hauberk.faces.gateway.processes import check_workers, told
from hauberk.faces.gateway.protocol import bounded
from hauberk.faces.gateway.reload import Reload

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hauberk.core.ports import GuardState
    from hauberk.core.spec import AccessSpec, Spec
    from hauberk.faces.gateway.compose import Gateway

_RECHECK_SECONDS, _LOOKS = 2.0, 16
_KEEP_ALIVE_SECONDS = 75
_SWITCH_SECONDS = 5e-5
_HERE = "127.0.0.1"
# A request makes no cycles. What waits for the tap and the log would be looked at with each pass.
_COLLECT = (20_000, 10, 20)


def serve(
    spec: Spec,
    *,
    state: Path,
    replica: str = "",
    digest: str = "",
    worker: str = "",
    read: Callable[[], Spec] | None = None,
) -> None:
    """Serve from a state directory until SIGTERM or Ctrl-C, then drain.

    With a ``replica``'s name it is one of several gateways of the service: it follows the routing
    ordered for all of them, and what it writes goes to a folder of its own. ``digest`` is the
    model that its revision was made for, where the cluster splits the traffic between revisions.
    ``worker`` is :data:`hauberk.faces.gateway.processes.WORKER`, if it is one of several processes
    behind one port; it is then reached alone by another port, which its ``gateway.json`` says.
    By ``spec.share`` the order, the records and who is throttled are shared beyond that folder.

    Beside ``spec.serve.clients`` the directory's own operator is known, by ``operator.token``.
    What the last routing names is verified anew; if it may not be served, or there is none, the
    gateway runs but is not ready, and says why in its log. Prints one line to stderr when it
    listens and writes ``gateway.json``. What ``read`` returns anew is taken as far as it may be
    while the gateway runs (:mod:`hauberk.faces.gateway.reload`).

    Raises:
        ConfigError: if no service was set up there and there is no upstream, or the clients
            contradict each other.
        EnvironmentFault: if the port is in use, or another gateway serves from there.
    """
    port = spec.serve.port
    own_port: AbstractContextManager[socket.socket | None] = nullcontext()
    if worker:
        check_workers(spec)
        number, port = told(worker)
        replica, own_port = f"{replica or 'worker'}-{number}", listen(_HERE, 0)
    bare = Home.create(state) if spec.upstream.url else Home(state)
    home = bare.placed(spec.state)
    clients = Clients((*spec.serve.clients, home.operator))
    own = replica_folder(state, replica) if replica else state
    records = RecordLog(own / "records") if replica else home.records
    shared = shared_state(spec, state)
    follower = _follower(spec, state, digest, shared) if replica or shared else None
    with (
        alone(own),
        own_port as also,
        listen(spec.serve.host, port, shared=bool(worker)) as sock,
    ):
        gateway = compose(
            spec,
            state=own,
            world=local_world(home),
            clients=clients,
            records=records,
            service=state,
            shared=shared,
        )
        if shared is not None:
            gateway = _sharing(gateway, own, shared, follower)
        if replica and (why := counts_alone(spec)):
            gateway.log.write("quotas", why=why)
        if read is not None:
            gateway.watchers.append(Reload(gateway, spec, read, (home.operator,)))
        run(gateway, spec, sock=sock, also=also, state=own, follower=follower)


def counts_alone(spec: Spec) -> str:
    """Why a replica's quotas hold of it alone; empty if they hold of the service, or bound nothing.

    Counts in SQLite are of one directory, which replicas have in common where they share by it.
    """
    backend = spec.quota.backend
    common = backend == "redis" or (backend == "sqlite" and spec.share.backend == "sqlite")
    if common or not QuotaRules.of(spec.quota).any:
        return ""
    return (
        f"quota.backend is {backend}: each replica counts for itself, so a client gets as many"
        ' quotas as there are replicas; set it to "redis", or both it and share.backend to "sqlite"'
    )


def _follower(spec: Spec, state: Path, digest: str, shared: GuardState | None) -> Follower:
    orders = state / "routing.json"
    if shared is None:
        return Follower(OrdersFile(orders), digest)
    patience = spec.share.patience_seconds if spec.share.on_loss == "twin" else None
    return Follower(SharedOrders(shared, orders), digest, patience)


def _sharing(gateway: Gateway, own: Path, shared: GuardState, follower: Follower | None) -> Gateway:
    """The gateway, telling its records to the shared state; its metrics show how that goes."""
    meters, report = gateway.app.control.meters, partial(gateway.log.write, "failed")
    if follower is not None:
        follower.cut_off = meters.cut_off.set
    hand_over = HandOver(
        RecordLog(own / "records"),
        shared,
        failed=lambda why: report(part="hand over", why=why),
        behind=meters.untold.set,
    )
    return replace(gateway, hand_over=hand_over)


def run(
    gateway: Gateway,
    spec: Spec,
    *,
    sock: socket.socket,
    state: Path,
    follower: Follower | None = None,
    also: socket.socket | None = None,
) -> None:
    """Serve a composed gateway on a listening socket until it is told to stop, then drain.

    ``also`` is a socket by which it alone is reached, if others listen where ``sock`` does.

    Waits at most ``spec.serve.drain_seconds`` for requests in flight, and writes what the tap
    still holds.
    """
    config = config_of(gateway, spec)
    relay, logger = Relay(gateway.log), logging.getLogger("uvicorn.error")
    logger.addHandler(relay)
    logger.propagate = False
    retract(state)
    if gateway.sealing is not None:
        gateway.sealing.start()
    gateway.tap.start()
    if gateway.hand_over is not None:
        gateway.hand_over.start()
    try:
        with _quick(), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            server = _Server(config, gateway, spec, state)
            runner.run(_serve(server, [sock, also] if also else [sock], follower))
    finally:
        retract(state)
        gateway.workers.close()
        gateway.app.plane.afterwards.close(spec.serve.drain_seconds)
        if gateway.app.traces is not None:
            gateway.app.traces.close()
        if gateway.app.payloads is not None:
            gateway.app.payloads.close(spec.serve.drain_seconds)
        gateway.tap.close(spec.serve.drain_seconds)
        if gateway.hand_over is not None:
            gateway.hand_over.close(spec.serve.drain_seconds)
        if gateway.sealing is not None:
            gateway.sealing.close(spec.serve.drain_seconds)
        gateway.log.write("stopped", last_seq=gateway.tap.last_seq)
        logger.removeHandler(relay)


@contextmanager
def _quick() -> Iterator[None]:
    """Keep the interpreter, the collector and linear algebra from holding up requests.

    A thread that writes records could keep the event loop waiting for 5 ms. What is loaded by now
    stays for good, so the collector need not look at it again and again. Threads that a product of
    small matrices is shared out to wait for one another in a loop, and burn a core with it.
    """
    before, rarely = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        sys.setswitchinterval(before)
        gc.set_threshold(*rarely)


def config_of(gateway: Gateway, spec: Spec) -> uvicorn.Config:
    """How uvicorn runs a gateway: bounded, silent, without what we do not use."""
    return uvicorn.Config(
        gateway.app,
        loop="uvloop",
        http=bounded(gateway.limits, None if gateway.app.passing else gateway.app),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=gateway.limits.connections,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(spec.serve.drain_seconds)),
        **_tls(spec.access),
    )


def _tls(access: AccessSpec) -> dict[str, Any]:
    """TLS as uvicorn takes it; with a client authority, a certificate may or must be shown."""
    if not access.tls_cert:
        return {}
    asked = ssl.CERT_OPTIONAL if access.tls_client_ca else ssl.CERT_NONE
    asked = ssl.CERT_REQUIRED if access.tls_client_required else asked
    return {
        "ssl_certfile": access.tls_cert,
        "ssl_keyfile": access.tls_key or None,
        "ssl_ca_certs": access.tls_client_ca or None,
        "ssl_cert_reqs": asked,
    }


class _Server(uvicorn.Server):
    """Uvicorn, which says when it listens and ends with success when it is told to end."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, spec: Spec, state: Path) -> None:
        super().__init__(config)
        self._gateway, self._spec, self._state = gateway, spec, state

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not sockets:
            return
        host, port = self._spec.serve.host, sockets[0].getsockname()[1]
        alone = (host, port) if len(sockets) == 1 else sockets[1].getsockname()[:2]
        lineup = self._gateway.pool.lineup
        passing = self._gateway.app.passing
        obstacle = self._gateway.pool.obstacle if passing is None else "passed through"
        what = lineup.primary.digest if lineup else f"none ({obstacle})"
        announce(self._state, *alone)
        sys.stderr.write(
            f"serving {self._spec.model.name} on http://{reachable(host)}:{port} digest {what}\n"
        )
        sys.stderr.flush()

    def stop(self) -> None:
        """Take no more requests, finish those in flight, end."""
        self._gateway.app.control.draining = True
        self._gateway.log.write("draining")
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on a signal; the base class would raise it again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


async def _serve(server: _Server, sockets: list[socket.socket], follower: Follower | None) -> None:
    gateway = server._gateway  # noqa: SLF001 - of this file
    await asyncio.to_thread(gateway.restore)
    if follower:
        await asyncio.to_thread(follower.step, gateway.pool, gateway.log)
    passing = gateway.app.passing
    if why := gateway.pool.obstacle if passing is None else passing.why:
        gateway.log.write("not ready", why=why)
    server.config.load()
    if server.config.ssl is not None:
        access = server._spec.access  # noqa: SLF001 - of this file
        gateway.watchers.append(Certificate(access, server.config.ssl).renew)
    watch = asyncio.gather(_watch(gateway), *([follower.run(gateway)] if follower else []))
    rpc = await _rpc(server)
    try:
        await server.serve(sockets=sockets)
    finally:
        if rpc is not None:
            await rpc.stop(server.config.timeout_graceful_shutdown)
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        if passing is not None:
            await passing.passage.close()


async def _rpc(server: _Server) -> Any:
    """The gRPC server, if one is wanted."""
    gateway, spec = server._gateway, server._spec  # noqa: SLF001 - of this file
    if spec.serve.grpc_port is None:
        return None
    from hauberk.faces.gateway.rpc import start  # noqa: PLC0415 - of an extra

    rpc, port = await start(
        gateway.app,
        spec.access,
        host=spec.serve.host,
        port=spec.serve.grpc_port,
        shared=spec.serve.workers > 1,
    )
    gateway.log.write("grpc", port=port)
    return rpc


async def _watch(gateway: Gateway) -> None:
    """Verify again, every few seconds, what is served, and take what changed."""
    before: dict[str, str] = {}
    while True:
        for _ in range(_LOOKS):
            await asyncio.sleep(_RECHECK_SECONDS / _LOOKS)
            if gateway.reception.hears():  # a client to hold does not wait for the rest
                break
        if gateway.pool.lineup is None and gateway.pool.may_return:
            await asyncio.to_thread(gateway.restore)
        withheld = await asyncio.to_thread(gateway.pool.recheck)
        if withheld != before:
            gateway.log.write("withheld", why="; ".join(withheld.values()) or "nothing")
        before = withheld
        for part in (gateway.reception.reload, *gateway.watchers):
            for line in await asyncio.to_thread(part):
                gateway.log.write("reloaded", why=line)
