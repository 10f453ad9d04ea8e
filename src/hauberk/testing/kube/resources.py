"""Which resources the server has: the built-in ones, and those that definitions add."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource of one version; ``schema`` is structural, None where the type is built in."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = True
    short: tuple[str, ...] = ()
    schema: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    @property
    def api_version(self) -> str:
        """As ``apiVersion`` writes it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def entries(self) -> list[dict[str, Any]]:
        """The lines of the discovery document: the resource, and its status where it has one."""
        line = {
            "name": self.plural,
            "singularName": self.kind.lower(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": list(_VERBS),
            **({"shortNames": list(self.short)} if self.short else {}),
        }
        status = {**line, "name": f"{self.plural}/status", "verbs": ["get", "patch", "update"]}
        return [line, status] if self.status else [line]


def _builtin(
    group: str, *names: str, version: str = "v1", namespaced: bool = True
) -> list[Resource]:
    pairs = (name.split(":") for name in names)
    return [
        Resource(group=group, version=version, plural=plural, kind=kind, namespaced=namespaced)
        for plural, kind in pairs
    ]


BUILTIN: tuple[Resource, ...] = (
    *_builtin("", "namespaces:Namespace", "persistentvolumes:PersistentVolume", namespaced=False),
    *_builtin(
        "",
        "configmaps:ConfigMap",
        "events:Event",
        "persistentvolumeclaims:PersistentVolumeClaim",
        "pods:Pod",
        "secrets:Secret",
        "serviceaccounts:ServiceAccount",
        "services:Service",
    ),
    *_builtin("apps", "deployments:Deployment"),
    *_builtin("autoscaling", "horizontalpodautoscalers:HorizontalPodAutoscaler", version="v2"),
    *_builtin("batch", "jobs:Job"),
    *_builtin("coordination.k8s.io", "leases:Lease"),
    *_builtin("events.k8s.io", "events:Event"),
    *_builtin("networking.k8s.io", "networkpolicies:NetworkPolicy"),
    *_builtin("policy", "poddisruptionbudgets:PodDisruptionBudget"),
    *_builtin("rbac.authorization.k8s.io", "roles:Role", "rolebindings:RoleBinding"),
    *_builtin(
        "rbac.authorization.k8s.io",
        "clusterroles:ClusterRole",
        "clusterrolebindings:ClusterRoleBinding",
        namespaced=False,
    ),
    *_builtin(
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies:ValidatingAdmissionPolicy",
        "validatingadmissionpolicybindings:ValidatingAdmissionPolicyBinding",
        namespaced=False,
    ),
    *_builtin(
        "apiextensions.k8s.io",
        "customresourcedefinitions:CustomResourceDefinition",
        namespaced=False,
    ),
)
DEFINITIONS = next(r for r in BUILTIN if r.kind == "CustomResourceDefinition")


def defined_by(definition: dict[str, Any]) -> list[Resource]:
    """The resources that a ``CustomResourceDefinition`` serves, one for each version."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            status="status" in version.get("subresources", {}),
            short=tuple(names.get("shortNames", ())),
            schema=version["schema"]["openAPIV3Schema"],
        )
        for version in spec["versions"]
        if version.get("served")
    ]
