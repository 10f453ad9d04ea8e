"""Who may do what: roles and their bindings, policies of networks, meshes and buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.credentials import at

if TYPE_CHECKING:
    from hauberk.vet.case import Case

_ANYBODY = frozenset({"system:anonymous", "system:unauthenticated", "system:authenticated"})
_DELICATE = frozenset(
    {"secrets", "pods/exec", "pods/attach", "serviceaccounts/token", "nodes/proxy"}
)
_TAKEOVER = frozenset({"escalate", "bind", "impersonate"})


def vet_role(tree: dict[str, Any], case: Case, where: str) -> None:
    """A role that may do everything, or take what it was not given."""
    for rule in tree.get("rules") or ():
        entry = rule if isinstance(rule, dict) else {}
        verbs, resources = (set(map(str, entry.get(key) or ())) for key in ("verbs", "resources"))
        if "*" in verbs and "*" in resources:
            case.find("HB-V110", "a role may do everything", where)
        elif "*" in verbs and (_DELICATE & resources):
            found = ", ".join(sorted(_DELICATE & resources))
            case.find("HB-V110", f"a role may do everything with {found}", where)
        elif "*" in resources and verbs - {"get", "list", "watch"}:
            case.find("HB-V110", "a role may change everything", where)
        if _TAKEOVER & verbs:
            found = ", ".join(sorted(_TAKEOVER & verbs))
            case.find("HB-V110", f"a role may take more rights: {found}", where)


def vet_binding(tree: dict[str, Any], case: Case, where: str) -> None:
    """A role that is given to anybody, or the highest one that is given at all."""
    role = str(at(tree, "roleRef", "name") or "")
    names = {str(at(one, "name")) for one in tree.get("subjects") or ()}
    if names & _ANYBODY:
        case.find("HB-V102", f"anybody has the role {role[:80]}", where)
    if role == "cluster-admin":
        case.find("HB-V110", "somebody is made administrator of the cluster", where)


def is_closed(policy: dict[str, Any]) -> bool:
    """Whether a network policy keeps anything out: one that lets all in is none."""
    ingress = at(policy, "spec", "ingress")
    return not any(
        isinstance(rule, dict) and (not rule.get("from") or _everywhere(rule["from"]))
        for rule in (ingress if isinstance(ingress, list) else ())
        if not (isinstance(rule, dict) and rule.get("ports"))
    )


def _everywhere(peers: Any) -> bool:
    blocks = [at(one, "ipBlock", "cidr") for one in peers] if isinstance(peers, list) else []
    return any(one in {"0.0.0.0/0", "::/0"} for one in blocks)


def vet_mesh(tree: dict[str, Any], case: Case, where: str) -> None:
    """Policies of a service mesh that ask nobody who is there."""
    kind = tree.get("kind")
    if kind == "PeerAuthentication":
        mode = at(tree, "spec", "mtls", "mode")
        if mode in {"DISABLE", "PERMISSIVE"}:
            severity = Severity.MEDIUM if mode == "PERMISSIVE" else None
            case.find("HB-V102", f"services need not prove who they are: {mode}", where, severity)
    elif kind == "AuthorizationPolicy" and at(tree, "spec", "action") in {None, "ALLOW"}:
        rules = at(tree, "spec", "rules")
        if isinstance(rules, list) and any(one in ({}, None) for one in rules):
            case.find("HB-V102", "everybody may ask everything", where)


def vet_statements(tree: dict[str, Any], case: Case, where: str) -> None:
    """A bucket's policy: what anybody may do."""
    statements = tree.get("Statement")
    for one in statements if isinstance(statements, list) else [statements]:
        if not isinstance(one, dict) or one.get("Effect") != "Allow":
            continue
        principal = one.get("Principal")
        named = principal.get("AWS") if isinstance(principal, dict) else principal
        if "*" in (named if isinstance(named, list) else [named]):
            case.find("HB-V106", f"anybody may {str(one.get('Action'))[:80]}", where)
