"""Our chart as Helm renders it, and what its objects would let whom do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VALUES: dict[str, Any] = {
    "image": {"repository": "registry.example/hauberk", "digest": "sha256:" + "0" * 64}
}


def rendered(
    chart: Path, *values: dict[str, Any], namespace: str = "models"
) -> list[dict[str, Any]]:
    """The chart's objects by Helm's own engine, later values over earlier ones.

    Raises:
        ImportError: where Helm's engine (the package ``helm-python-sdk``) is not installed.
    """
    import helm_python  # noqa: PLC0415 - of the dev extra, and not for every machine

    said: dict[str, Any] = {}
    for one in (VALUES, *values):
        said = over(said, one)
    texts = helm_python.Chart.load(chart).render(said, name="hauberk", namespace=namespace)
    trees: list[dict[str, Any]] = []
    for name, text in sorted(texts.items()):
        if name.endswith(".yaml"):
            trees += [tree for tree in yaml.safe_load_all(text) if tree]
    return trees


def over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Values laid over others, as Helm does."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = over(old, value) if both and isinstance(old, dict) else value
    return merged


def permits(roles: Iterable[dict[str, Any]], request: dict[str, str]) -> bool:
    """Whether one of the roles permits a request of an audit log."""
    return any(
        request["group"] in rule["apiGroups"]
        and request["resource"] in rule["resources"]
        and request["verb"] in rule["verbs"]
        and (not rule.get("resourceNames") or request["name"] in rule["resourceNames"])
        for role in roles
        for rule in role["rules"]
    )


def reaches(
    policies: Iterable[dict[str, Any]],
    source: dict[str, str],
    target: dict[str, str],
    port: int,
    *,
    spaces: tuple[str, str] = ("models", "models"),
) -> bool:
    """Whether pods with labels ``source`` reach a TCP port of pods with labels ``target``.

    ``spaces`` are the namespaces of the two; the policies are all of the namespace ``models``.
    Blocks of addresses are taken to be outside of the cluster.
    """
    found = list(policies)
    into = _open(found, "ingress", "from", target, source, port, own=spaces[1], other=spaces[0])
    out = _open(found, "egress", "to", source, target, port, own=spaces[0], other=spaces[1])
    return into and out


def _open(
    policies: list[dict[str, Any]],
    way: str,
    peers: str,
    pod: dict[str, str],
    other_pod: dict[str, str],
    port: int,
    *,
    own: str,
    other: str,
) -> bool:
    if own != "models":
        return True  # no policy of ours is there
    chosen = [
        one["spec"]
        for one in policies
        if way.capitalize() in one["spec"]["policyTypes"] and _fits(one["spec"]["podSelector"], pod)
    ]
    if not chosen:
        return True
    return any(
        _any_peer(rule.get(peers), other_pod, other) and _any_port(rule.get("ports"), port)
        for spec in chosen
        for rule in spec.get(way) or ()
    )


def _any_peer(peers: list[dict[str, Any]] | None, pod: dict[str, str], space: str) -> bool:
    if peers is None:
        return True
    for peer in peers:
        if "ipBlock" in peer:
            continue
        named = peer.get("namespaceSelector")
        here = space == "models" if named is None else _fits(
            named, {"kubernetes.io/metadata.name": space}
        )  # fmt: skip
        if here and _fits(peer.get("podSelector") or {}, pod):
            return True
    return False


def _any_port(ports: list[dict[str, Any]] | None, port: int) -> bool:
    if not ports:
        return True
    return any(one.get("protocol", "TCP") == "TCP" and one["port"] == port for one in ports)


def _fits(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for one in selector.get("matchExpressions") or ():
        if (one["key"] in labels) != (one["operator"] == "Exists"):
            return False
    return True


def by_kyverno(policy: dict[str, Any], name: str) -> dict[str, Any]:
    """A rule of Kyverno's ``ClusterPolicy`` as the admission policy that says the same."""
    (rule,) = [one for one in policy["spec"]["rules"] if one["name"] == name]
    cel = rule["validate"]["cel"]
    return {
        "spec": {
            "matchConditions": rule.get("celPreconditions") or [],
            "variables": cel["variables"],
            "validations": cel["expressions"],
        }
    }


def objections(
    policy: dict[str, Any],
    pod: dict[str, Any],
    *,
    signed: dict[str, str] | None = None,
    before: dict[str, Any] | None = None,
) -> list[str]:
    """Why a ``ValidatingAdmissionPolicy`` denies a pod; empty where it does not.

    Its expressions are evaluated by a CEL interpreter; ``params`` is a ConfigMap with ``signed``.
    """
    import celpy  # noqa: PLC0415 - of the dev extra
    from celpy.adapter import json_to_cel  # noqa: PLC0415

    environment = celpy.Environment()
    spec = policy["spec"]
    params = {"data": signed} if signed else {}
    names: dict[str, Any] = {
        "object": json_to_cel(pod),
        "oldObject": json_to_cel(before or {"spec": {}}),
        "params": json_to_cel(params),
        "request": json_to_cel({"operation": "UPDATE" if before else "CREATE"}),
    }

    def value(expression: str) -> Any:
        return environment.program(environment.compile(expression)).evaluate(names)

    for one in spec.get("matchConditions") or ():
        if not value(one["expression"]):
            return []
    variables = celpy.celtypes.MapType()
    for one in spec.get("variables") or ():
        names["variables"] = variables
        variables[celpy.celtypes.StringType(one["name"])] = value(one["expression"])
    names["variables"] = variables
    return [one["message"] for one in spec["validations"] if not value(one["expression"])]
