"""The gateway as a component of an ``InferenceService``: what we apply, and what it displaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hauberk.adapters.kubernetes.kinds import DIGEST, LABEL
from hauberk.core.digest import short

if TYPE_CHECKING:
    from hauberk.core.ports import Routing
    from hauberk.core.spec import ClusterSpec

MOUNT = "/var/lib/hauberk"
"""Where a pod sees its service's state directory."""
PORT = 8080
_CONTAINER = "kserve-container"  # the one that KServe sends requests to
FRAMEWORKS = (
    "huggingface",
    "lightgbm",
    "model",
    "onnx",
    "paddle",
    "pmml",
    "pytorch",
    "sklearn",
    "tensorflow",
    "triton",
    "workerSpec",
    "xgboost",
)
"""What a predictor may be instead of containers of its own."""
OURS = (
    "annotations",
    "automountServiceAccountToken",
    "canaryTrafficPercent",
    "containers",
    "labels",
    "logger",
    "name",
    "securityContext",
    "volumes",
)
"""The fields of a component that we may set."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the gateways of one shield have in common."""

    shield: str
    cluster: ClusterSpec

    def spec(self, routing: Routing) -> dict[str, Any]:
        """The fields of an ``InferenceService``'s ``spec`` that are ours under a routing.

        As a predictor the candidate is, in serverless mode, the newest revision with a percentage,
        and in standard mode a canary of its own with a weight. As a transformer the gateways
        split the traffic themselves. Containment changes nothing here: the gateways follow the
        routing at once, without a new revision.
        """
        percent = percent_of(routing)
        rival = routing.canary if percent else None
        if self.cluster.inject == "transformer":
            return {"transformer": self.component(None)}
        if self.cluster.mode == "serverless":
            newest = self.component(rival or routing.primary)
            share = {"canaryTrafficPercent": percent} if rival else {}
            return {"predictor": newest | share}
        found: dict[str, Any] = {"predictor": self.component(routing.primary, named=True)}
        if rival:
            canary = self.component(rival, named=True)
            found["canary"] = [{"predictor": canary, "trafficPercent": percent}]
        return found

    def component(self, digest: str | None, *, named: bool = False) -> dict[str, Any]:
        """The gateway; with a ``digest`` for the revision or deployment that was made for it."""
        host = "127.0.0.1" if self.cluster.mode == "serverless" else "0.0.0.0"  # noqa: S104 - behind a NetworkPolicy
        settings = f"{MOUNT}/jobs/hauberk.toml"
        container = {
            "name": _CONTAINER,
            "image": self.cluster.image,
            "command": ["hauberk"],
            "args": ["serve", "--state", MOUNT, "--config", settings, "--port", str(PORT)],
            "env": [
                {"name": "HAUBERK_SERVE_HOST", "value": host},
                *([{"name": "HAUBERK_DIGEST", "value": digest}] if digest else []),
                {
                    "name": "HAUBERK_REPLICA",
                    "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
                },
            ],
            "ports": [{"containerPort": PORT, "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": PORT}},
            "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": PORT}},
            "resources": {
                "requests": {"cpu": "250m", "memory": "512Mi"},
                "limits": {"memory": "2Gi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [
                {"name": "hauberk-state", "mountPath": MOUNT, "subPath": self.shield},
                {"name": "hauberk-tmp", "mountPath": "/tmp"},  # noqa: S108 - of the pod
            ],
        }
        return {
            **({"name": f"m{short(digest)}"} if named and digest else {}),
            **({"annotations": {DIGEST: digest}} if digest else {}),
            "labels": {LABEL: self.shield},
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {
                    "name": "hauberk-state",
                    "persistentVolumeClaim": {"claimName": self.cluster.volume},
                },
                {"name": "hauberk-tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            ],
            **self._logger(),
        }

    def _logger(self) -> dict[str, Any]:
        url = self.cluster.logger
        return {"logger": {"mode": "all", "url": url}} if url else {}


def percent_of(routing: Routing) -> int:
    """The canary's share in percent: 0 without one, at least 1 with one."""
    if routing.canary is None or routing.canary_share <= 0:
        return 0
    return min(100, max(1, round(100 * routing.canary_share)))


def displaced(spec: dict[str, Any], part: str) -> dict[str, Any]:
    """What stands where the gateway goes: frameworks beside containers are not allowed."""
    component = spec.get(part) or {}
    return {key: component[key] for key in FRAMEWORKS if key in component}
