"""One ``ModelShield``: the loop of its service, over the ports of the cluster."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.kserve.component import Shape
from hauberk.adapters.kserve.deployer import KServeDeployer, labelled, restore
from hauberk.adapters.kserve.replicas import GatheredRecords
from hauberk.adapters.kubeflow.trainer import KubeflowTrainer
from hauberk.adapters.kubernetes.events import EventPager
from hauberk.adapters.kubernetes.kinds import SHIELD
from hauberk.adapters.local.controller import make_loop
from hauberk.adapters.local.files import write_file
from hauberk.adapters.local.home import Home
from hauberk.adapters.local.inbox import Inbox
from hauberk.adapters.local.sharing import shared_state
from hauberk.adapters.mlflow.following import following
from hauberk.adapters.upstream.description import described
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ConfigError, EnvironmentFault, HauberkError
from hauberk.core.spec import ClusterSpec, Spec, parse_spec, write_spec
from hauberk.faces.operator.orders import orders
from hauberk.faces.operator.status import conditions_of, status_of, steady
from hauberk.loop.hands import Ports
from hauberk.loop.turns import Rival

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.kubernetes.cluster import Cluster
    from hauberk.adapters.mlflow.following import Following
    from hauberk.core.ports import Entry
    from hauberk.loop.run import Loop
    from hauberk.loop.state import State
    from hauberk.loop.turns import Turn


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What the operator adds where a ``ModelShield`` leaves it empty."""

    state: Path
    image: str
    logger: str = ""


class Shield:
    """Drives one service: a round takes orders, lets the loop do its work, writes the status.

    It decides nothing. ``wake`` is set when something in the cluster changed.
    """

    def __init__(self, tree: dict[str, Any], cluster: Cluster, defaults: Defaults) -> None:
        self.name: str = tree["metadata"]["name"]
        self.home = Home(defaults.state / self.name)
        self.wake = threading.Event()
        self._cluster, self._defaults, self._tree = cluster, defaults, tree
        self._lock = threading.Lock()
        self._closed = False
        self._loop: Loop | None = None
        self._deployer: KServeDeployer | None = None
        self._pager: EventPager | None = None
        self._shown: Following | None = None
        self._driven: dict[str, Any] | None = None  # the spec that the loop was started with
        self._stale = True  # whether the InferenceService has to be looked at
        self._obstacle = "not looked at yet"
        self._doubt = ""  # why a new spec is not in force
        self._evidence: Entry | None = None
        self._status: dict[str, Any] = {}

    @property
    def state(self) -> State | None:
        """The loop's state; None before it could start."""
        return self._loop.state if self._loop else None

    def look_again(self) -> None:
        """The InferenceService changed: see in the next round, which comes now, what is left."""
        self._stale = True
        self.wake.set()

    def round(self, tree: dict[str, Any]) -> None:
        """One round, by the object as it is now; a failure is told in the status and tried again.

        Raises:
            Rival: if another operator drives this service.
        """
        with self._lock:
            if self._closed:
                return
            try:
                self._renew(tree)
                self._doubt = ""
            except Rival:
                raise
            except (HauberkError, OSError) as error:  # what was in force goes on protecting
                self._doubt = str(error)
            if self._loop and self._deployer:
                self._drive(self._loop, self._deployer, tree)
            with suppress(HauberkError):  # it is written in the next round
                self._tell(tree)

    def close(self) -> None:
        """The object is being deleted: give the ``InferenceService`` back.

        Raises:
            EnvironmentFault: if that cannot be done now.
        """
        with self._lock:
            self._closed = True
            if self._shown:
                self._shown.close()
            said = (self._tree.get("spec") or {}).get("cluster") or {}
            plain = ClusterSpec()  # what else the spec says does not matter now
            if said.get("inject") == "transformer":
                plain = ClusterSpec(inject="transformer")
            restore(self._cluster, Shape(shield=self.name, cluster=plain))

    def _renew(self, tree: dict[str, Any]) -> None:
        """Start the loop, and start it anew where its spec changed."""
        self._tree = tree
        if self._loop and tree.get("spec") == self._driven:
            return
        spec, deployer, pager = self._parts(tree)
        if spec.upstream.url:
            Home.create(self.home.folder)
        home = self.home
        if not home.exists:
            raise ConfigError(
                "no model is registered for it",
                where=f"state directory {self.name}",
                hint="`hauberk models register` makes one",
            )
        home = self.home = home.placed(spec.state)
        write_file(home.orders, write_spec(spec).encode())
        reference = {
            "apiVersion": SHIELD.api_version,
            "kind": SHIELD.kind,
            "name": self.name,
            "uid": tree["metadata"]["uid"],
        }
        ports = Ports(
            deployer=deployer,
            trainer=KubeflowTrainer(
                jobs=home.folder / "jobs",
                cluster=self._cluster,
                spec=spec.cluster,
                shield=self.name,
                owner=reference,
            ),
            ledger=home.ledger,
            journal=home.journal,
            trust=home.trust,
            pager=pager,
            records=deployer.shared or GatheredRecords(home.folder, home.records),
        )
        loop = make_loop(home, spec, ports=ports, on_turn=self._took)
        loop.start()
        if self._shown:
            self._shown.close()
        self._shown = following(
            spec,
            ledger=home.ledger,
            store=home.store,
            trust=home.trust,
            tell=lambda why: pager.page(self.name, why, at=time.time()),
        )
        self._loop, self._deployer, self._pager, self._stale = loop, deployer, pager, True
        self._driven = tree.get("spec")
        found = home.ledger.entries(kind="evidence")
        self._evidence = found[-1] if found else None

    def _parts(self, tree: dict[str, Any]) -> tuple[Spec, KServeDeployer, EventPager]:
        spec = self._spec(tree)
        home = self.home
        if spec.share.backend == "sqlite":
            raise ConfigError(
                "a file cannot be shared by pods", where="share.backend", hint="redis"
            )
        deployer = KServeDeployer(
            shape=Shape(shield=self.name, cluster=spec.cluster),
            home=home.folder,
            trust=home.trust,
            cluster=self._cluster,
            elsewhere=digest_bytes(described(spec)[1]) if spec.upstream.url else "",
            shared=shared_state(spec, home.folder),
        )
        about = {
            "apiVersion": SHIELD.api_version,
            "kind": SHIELD.kind,
            "name": self.name,
            "namespace": self._cluster.namespace,
            "uid": tree["metadata"]["uid"],
        }
        return spec, deployer, EventPager(cluster=self._cluster, about=about, also=home.pager)

    def _spec(self, tree: dict[str, Any]) -> Spec:
        """The Spec of the object; what it leaves out the object's name or the operator says."""
        said = tree.get("spec") or {}
        named = {**said, "model": {"name": self.name, **(said.get("model") or {})}}
        spec = parse_spec(named, where=f"ModelShield {self.name}")
        cluster = spec.cluster
        filled = msgspec.structs.replace(
            cluster,
            image=cluster.image or self._defaults.image,
            logger=cluster.logger or self._defaults.logger,
        )
        upstream = spec.upstream
        if cluster.inject == "transformer" and not upstream.url:
            upstream = msgspec.structs.replace(upstream, url=self._predictor())
        return msgspec.structs.replace(spec, cluster=filled, upstream=upstream)

    def _predictor(self) -> str:
        """Where KServe serves the predictor behind a transformer, within the cluster."""
        service = labelled(self._cluster, self.name)["metadata"]["name"]
        return f"http://{service}-predictor.{self._cluster.namespace}.svc.cluster.local"

    def _drive(self, loop: Loop, deployer: KServeDeployer, tree: dict[str, Any]) -> None:
        """Settle what someone changed, take orders, and let the loop do its round."""
        if self._stale:
            self._stale = False  # before, lest a change meanwhile is lost
            try:
                deployer.settle(loop.state.routing)
                self._obstacle = ""
            except HauberkError as error:  # the loop goes on all the same: gateways may be there
                self._stale, self._obstacle = True, str(error)
        annotations = tree["metadata"].get("annotations") or {}
        with suppress(EnvironmentFault):  # they are still there in the next round
            for order in orders(annotations, loop.state, at=time.time()):
                loop.take(order)
            for path, command in Inbox(self.home.folder / "inbox").waiting():
                if command:
                    loop.take(command)
                path.unlink()
        loop.tick()
        if self._shown:
            self._shown.see(loop.state.routing)

    def _took(self, turn: Turn) -> None:
        """A turn was journalled: show it as an event."""
        if self._pager is None:
            return
        doing = ", ".join(type(action).__name__.lower() for action in turn.actions) or "nothing"
        told = f"{type(turn.event).__name__}: now {turn.state.phase}; to do: {doing}"
        with suppress(HauberkError):  # the journal has it
            self._pager.tell(
                turn.state.phase.capitalize(), told, at=turn.at, key=f"{turn.at}:{told}"
            )
        notes = self.home.ledger.entries(kind="evidence")
        self._evidence = notes[-1] if notes else self._evidence

    def _tell(self, tree: dict[str, Any]) -> None:
        """Write the status, if it changed."""
        generation = int(tree["metadata"].get("generation", 0))
        before = self._status or tree.get("status") or {}
        conditions = conditions_of(
            self.state,
            obstacle=self._obstacle if self._loop else self._doubt,
            fault=self._doubt or (self._loop.fault if self._loop else ""),
            generation=generation,
            at=time.time(),
        )
        status = status_of(
            self.state,
            conditions=steady(conditions, before.get("conditions") or []),
            evidence=self._evidence,
            generation=generation,
        )
        if status != self._status:
            self._cluster.status(SHIELD, self.name, status)
            self._status = status
