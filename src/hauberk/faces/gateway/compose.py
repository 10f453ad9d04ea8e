"""Composition: the gateway of one state directory, put together from its parts."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from hauberk.adapters.local.log_home import existing_log, sealed_log
from hauberk.adapters.local.sharing import fingerprint_key
from hauberk.adapters.models.session import Session
from hauberk.core.digest import short
from hauberk.core.errors import DataError
from hauberk.core.model import Bounds
from hauberk.core.ports import Routing
from hauberk.faces.gateway.afterwards import Afterwards
from hauberk.faces.gateway.app import App
from hauberk.faces.gateway.batching import Batching
from hauberk.faces.gateway.cleaning import cleaner
from hauberk.faces.gateway.control import Control
from hauberk.faces.gateway.dataplane import DataPlane
from hauberk.faces.gateway.elsewhere import with_upstream
from hauberk.faces.gateway.limits import Limits
from hauberk.faces.gateway.logs import Log
from hauberk.faces.gateway.meters import Meters
from hauberk.faces.gateway.outputs import Blunt
from hauberk.faces.gateway.own_log import OwnLog
from hauberk.faces.gateway.pace import Pace
from hauberk.faces.gateway.passing import passing
from hauberk.faces.gateway.payloads import Payloads
from hauberk.faces.gateway.pool import Pool
from hauberk.faces.gateway.quarantine import Quarantine
from hauberk.faces.gateway.reception import Reception, receive
from hauberk.faces.gateway.room import Rooms
from hauberk.faces.gateway.sampling import Sampling, Unforeseen
from hauberk.faces.gateway.sealing import Sealing
from hauberk.faces.gateway.served import World
from hauberk.faces.gateway.tap import Tap
from hauberk.faces.gateway.traces import traces
from hauberk.faces.gateway.workers import Workers
from hauberk.guard.fingerprint import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from hauberk.adapters.local.home import Home
    from hauberk.core.ports import GuardState
    from hauberk.core.record import Record
    from hauberk.core.spec import Spec
    from hauberk.faces.gateway.hand_over import HandOver
    from hauberk.faces.gateway.identity import Clients
    from hauberk.faces.gateway.served import Runner
    from hauberk.faces.gateway.tap import RecordSink


_INLINE_SECONDS = 0.002


@dataclass(frozen=True)
class Gateway:
    """One gateway, ready to be run: the application and what lives as long as it does."""

    app: App
    tap: Tap
    workers: Workers
    pool: Pool
    log: Log
    limits: Limits
    reception: Reception
    sealing: Sealing | None = None
    hand_over: HandOver | None = None
    upstream: str = ""
    # What is looked at every few seconds; each tells what happened, a line each.
    watchers: list[Callable[[], list[str]]] = field(default_factory=list)

    def restore(self) -> None:
        """Put the last routing into force; with an upstream, at first the upstream itself.

        What cannot be served now is left out, and :attr:`Pool.obstacle` says why.
        """
        if self.app.passing is not None:
            self.app.passing.look()
            return
        self.pool.restore()
        if self.upstream and self.pool.lineup is None and not self.pool.may_return:
            self.pool.begin(Routing(primary=self.upstream))


def local_world(home: Home) -> World:
    """The outside world of a state directory: its store, its ledger and its trusted keys."""
    return World(
        verify=home.trust.verified,
        fetch=home.store.get,
        bounds=partial(model_bounds, home),
        start=Session,
    )


def starter(spec: Spec, world: World) -> Callable[[bytes], Runner]:
    """What makes a runner of a model's bytes, with the threads and the batching of the spec."""
    serve = spec.serve
    start: Callable[[bytes], Runner] = world.start
    if start is Session:
        start = partial(Session, threads=serve.model_threads)
    if serve.batch_rows == 1:
        return start
    seconds = serve.batch_wait_ms / 1e3
    return lambda data: Batching(start(data), rows=serve.batch_rows, seconds=seconds)


def model_bounds(home: Home, digest: str) -> Bounds:
    """The input range in the weights from which a model was exported; [0, 1] if it has none.

    Raises:
        DataError: if the weights' header cannot be read.
        Untrusted: if the weights were altered.
    """
    entries = home.ledger.entries(kind="model", subject=digest)
    weights = entries[-1].body.get("weights") if entries else None
    if not isinstance(weights, str):
        return Bounds()
    try:
        with safe_open(home.store.path(weights), framework="np") as file:
            declared = json.loads((file.metadata() or {}).get("hauberk", "{}"))
        low, high = declared.get("bounds", (0.0, 1.0))
        return Bounds(float(low), float(high))
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"no bounds in its header: {error}", where=short(weights)) from None


def compose(
    spec: Spec,
    *,
    state: Path,
    world: World,
    clients: Clients,
    records: RecordSink,
    service: Path | None = None,
    shared: GuardState | None = None,
) -> Gateway:
    """Put a gateway together; it serves nothing before :meth:`Pool.restore`.

    ``state`` is its own folder; ``service`` the directory of its service, by default the same, and
    ``shared`` what it knows together with other gateways of that service.
    """
    service = service or state
    upstream = ""
    world = replace(world, start=starter(spec, world))
    if spec.upstream.url and spec.upstream.inspect:
        world, upstream = with_upstream(world, spec, state)
    limits, log, meters = Limits.of(spec), Log(sys.stderr), Meters()
    report = partial(log.write, "failed")
    tap = Tap(
        records,
        capacity=spec.serve.tap_queue,
        keeper=Quarantine(state / "quarantine"),
        mark=Fingerprint(fingerprint_key(service, shared)),
        dropped=meters.dropped.inc,
        failed=lambda why: report(part="tap", why=why),
    )
    pool = Pool(world, state / "routing.json", max_rows=limits.rows, changed=meters.changed)
    reception = receive(spec, state=state, keys=clients, service=service, shared=shared)
    through = passing(spec, reception.entrance, limits)
    # A model that runs elsewhere makes a request wait: then never on the event loop. Requests that
    # are to be run together must not hold it up one by one either.
    waits = spec.upstream.url or spec.serve.batch_rows > 1
    inline = 0.0 if waits else _INLINE_SECONDS
    workers = Workers(threads=limits.threads, queue=limits.queue, inline_seconds=inline)

    def tell(
        told: Sequence[Record],
        flagged: dict[int, NDArray[np.float32]],
        x: NDArray[np.float32] | None = None,
    ) -> None:
        tap.put(told, flagged, x)
        meters.told(told)

    afterwards = Afterwards(dropped=meters.unscreened.inc)
    plane = DataPlane(
        name=spec.model.name,
        pool=pool,
        tell=tell,
        failed=lambda why: report(part="model", why=why),
        flag_p=spec.detect.flag_p,
        key=secrets.token_bytes(32),
        sampling=Sampling(Unforeseen()),
        consent=spec.serve.consent,
        clean=cleaner(spec.serve.sanitise),
        blunt=Blunt(digits=spec.serve.round_digits, top_k=spec.serve.top_k),
        pace=Pace(
            budget=None if spec.detect.budget_ms is None else spec.detect.budget_ms / 1e3,
            over=spec.detect.over_budget,
            draw=Unforeseen(),
            told=meters.screened,
        ),
        afterwards=afterwards,
    )
    control = Control(
        name=spec.model.name,
        pool=pool,
        workers=workers,
        tap=tap,
        meters=meters,
        log=log,
        limits=limits,
        entrance=reception.entrance,
        passing=through,
    )
    sealing = None
    if spec.seal.keep != "off":
        sealing = Sealing(
            sealed_log(state),
            capacity=spec.seal.queue,
            seconds=spec.seal.commit_seconds,
            dropped=meters.unsealed.inc,
            failed=lambda why: report(part="seal", why=why),
        )
    keep = spec.seal.keep == "payloads"
    payloads = None
    if spec.payloads.token_sha256:
        payloads = Payloads(
            spec=spec.payloads,
            tell=tell,
            look=plane.look,
            told=meters.payload,
            sealing=sealing,
            keep=keep,
            flag_p=spec.detect.flag_p,
            limit=limits.body_bytes,
        )
    app = App(
        plane,
        control,
        reception.entrance,
        sealing,
        keep,
        payloads,
        traces(spec.trace, spec.model.name),
        OwnLog(partial(existing_log, state)) if sealing is not None else None,
        passing=through,
        rooms=Rooms(max(limits.bodies_bytes, 2 * limits.body_bytes)),
        text_upstream=bool(upstream) and spec.upstream.protocol in {"tensorflow", "json"},
    )
    made = Gateway(
        app, tap, workers, pool, log, limits, reception, sealing=sealing, upstream=upstream
    )
    if through is not None:
        made.watchers.append(through.look)
    made.watchers.append(reception.entrance.tidy)
    return made
