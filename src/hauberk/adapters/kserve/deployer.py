"""Routings put into force for the gateways of an ``InferenceService``, and declared in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.kserve.component import OURS, Shape, displaced
from hauberk.adapters.kserve.replicas import behind
from hauberk.adapters.kubernetes.cluster import MANAGER
from hauberk.adapters.kubernetes.kinds import CONFIG_MAP, LABEL, POD, SERVICE, SHIELD
from hauberk.adapters.local.files import read_file, write_file
from hauberk.adapters.local.sharing import ORDER
from hauberk.core.errors import ConfigError, DataError, EnvironmentFault
from hauberk.core.ports import Routing

if TYPE_CHECKING:
    from pathlib import Path

    from hauberk.adapters.kubernetes.cluster import Cluster
    from hauberk.adapters.local.trust import Trust
    from hauberk.core.ports import GuardState

ORIGINAL = "hauberk.dev/original"
"""On a ``ModelShield``: the component that the gateway replaced, as JSON."""
SIGNED = "hauberk-signed"
"""The ``ConfigMap`` with the digests that may be served, by shield."""
_MAX_ROUTING = 1 << 16


@dataclass(frozen=True, kw_only=True)
class KServeDeployer:
    """A :class:`hauberk.core.ports.Deployer` for the gateways of one ``ModelShield``.

    The order of the day is ``routing.json`` in the service's state directory, which every gateway
    follows: so containment needs neither the API server nor a new pod. Then the
    ``InferenceService`` is brought to say the same. ``elsewhere`` is the digest of an upstream,
    which is trusted as its settings are, and is in service before anything was ordered. With
    ``shared`` state the gateways follow the order that is there.
    """

    shape: Shape
    home: Path
    trust: Trust
    cluster: Cluster
    elsewhere: str = ""
    shared: GuardState | None = None

    def route(self, routing: Routing) -> None:
        """Order, declare, and see that every gateway has taken it.

        Raises:
            Untrusted: if a digest may not be served.
            EnvironmentFault: if the API server does not answer, or a gateway is still behind.
        """
        for digest in filter(None, (routing.primary, routing.twin, routing.canary)):
            if digest != self.elsewhere:
                self.trust.verified(digest)
        self._order(routing)
        self.settle(routing)
        pods = self.cluster.list(POD, labels={LABEL: self.shape.shield})
        if late := behind(self.home, pods, routing):
            raise EnvironmentFault(
                f"{len(late)} of its gateways have not taken the routing yet",
                where=late[0],
                hint="they follow within a second; a pod that hangs must be deleted",
            )

    def routing(self) -> Routing | None:
        data = read_file(self.home / "routing.json", limit=_MAX_ROUTING)
        if data is None:
            return Routing(primary=self.elsewhere) if self.elsewhere else None
        try:
            return msgspec.json.decode(data, type=Routing)
        except (msgspec.DecodeError, RecursionError):
            raise DataError("not a routing", where=str(self.home / "routing.json")) from None

    def settle(self, routing: Routing) -> None:
        """Bring the cluster to a routing; what says so already is left alone."""
        self._share(routing)
        self._admit(routing)
        service = labelled(self.cluster, self.shape.shield)
        wanted, part = self.shape.spec(routing), self.shape.cluster.inject
        self._displace(service, part, wanted[part]["containers"])
        name = service["metadata"]["name"]
        self.cluster.apply(SERVICE, {"metadata": {"name": name}, "spec": wanted})

    def _admit(self, routing: Routing) -> None:
        """Tell the cluster's admission policy, where there is one, what may be served here."""
        digests = " ".join(filter(None, (routing.primary, routing.twin, routing.canary)))
        listed = self.cluster.get(CONFIG_MAP, SIGNED)
        if listed and (listed.get("data") or {}).get(self.shape.shield) != digests:
            self.cluster.merge(CONFIG_MAP, SIGNED, {"data": {self.shape.shield: digests}})

    def _order(self, routing: Routing) -> None:
        if self.routing() != routing:
            write_file(self.home / "routing.json", msgspec.json.encode(routing))
        self._share(routing)

    def _share(self, routing: Routing) -> None:
        """Order it in the shared state too, where it may have been forgotten."""
        data = msgspec.json.encode(routing)
        if self.shared is not None and self.shared.cell(ORDER).data != data:
            self.shared.put(ORDER, data)

    def _displace(self, service: dict[str, Any], part: str, ours: list[dict[str, Any]]) -> None:
        """Keep what the gateway replaces, then put ours there; what was kept first stays kept.

        In one write: KServe wants a component to have exactly one implementation at any moment.
        """
        component = service["spec"].get(part) or {}
        standing = displaced(service["spec"], part)
        others = [one for one in component.get("containers") or () if not _is_ours(one, ours)]
        beside = [one for one in others if one["name"] not in {its["name"] for its in ours}]
        before = original(self.cluster, self.shape.shield)
        fresh = before is None and not _applied(service)
        if not (fresh or standing or len(beside) < len(others)):
            return
        kept = component if fresh else {**(before or {}), **standing}
        note = msgspec.json.encode(kept).decode()
        self.cluster.merge(
            SHIELD, self.shape.shield, {"metadata": {"annotations": {ORIGINAL: note}}}
        )
        if standing or len(beside) < len(others):
            change = {**dict.fromkeys(standing), "containers": [*beside, *ours]}
            self.cluster.merge(SERVICE, service["metadata"]["name"], {"spec": {part: change}})


def _is_ours(container: dict[str, Any], ours: list[dict[str, Any]]) -> bool:
    same = ("name", "image", "command")
    return any(all(container.get(key) == one.get(key) for key in same) for one in ours)


def _applied(service: dict[str, Any]) -> bool:
    """Whether a gateway of ours stands in a service: fields of it are there by our apply."""
    owners = service["metadata"].get("managedFields") or ()
    return any((one.get("manager"), one.get("operation")) == (MANAGER, "Apply") for one in owners)


def restore(cluster: Cluster, shape: Shape) -> None:
    """Give an ``InferenceService`` back what the gateway replaced, and give up our fields.

    Where it is gone, is not the only one with the label, or no gateway of ours stood in it,
    nothing is given back; nor to a predictor of which nothing was kept, since it must have one.
    """
    try:
        service = labelled(cluster, shape.shield)
    except ConfigError:
        return
    name, part = service["metadata"]["name"], shape.cluster.inject
    before = original(cluster, shape.shield)
    if (before or part == "transformer") and (before is not None or _applied(service)):
        back: dict[str, Any] = {**dict.fromkeys(OURS), **(before or {})}
        cluster.merge(SERVICE, name, {"spec": {part: back if before else None, "canary": None}})
        cluster.apply(SERVICE, {"metadata": {"name": name}})
    if cluster.get(CONFIG_MAP, SIGNED):
        cluster.merge(CONFIG_MAP, SIGNED, {"data": {shape.shield: None}})


def original(cluster: Cluster, shield: str) -> dict[str, Any] | None:
    """The component that the gateway replaced, as a ``ModelShield`` keeps it; None if it has none.

    It is empty where there was no such component.
    """
    tree = cluster.get(SHIELD, shield) or {}
    text = (tree.get("metadata", {}).get("annotations") or {}).get(ORIGINAL)
    try:
        found = msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        found = None
    return found if isinstance(found, dict) else None


def labelled(cluster: Cluster, shield: str) -> dict[str, Any]:
    """The one ``InferenceService`` that bears a shield's name in its label.

    Raises:
        ConfigError: if there is none, or more than one.
    """
    found = cluster.list(SERVICE, labels={LABEL: shield})
    found = [one for one in found if "deletionTimestamp" not in one["metadata"]]
    if len(found) != 1:
        raise ConfigError(
            f"{len(found)} InferenceServices are labelled {LABEL}={shield}",
            where=f"ModelShield {shield}",
            hint="label exactly one",
        )
    return found[0]
