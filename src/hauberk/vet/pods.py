"""Pods and containers: what they may do to their host, and what they bring along in plain sight."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.credentials import at, credential, image, secret_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case

_HARMLESS_RIGHTS = frozenset({"NET_BIND_SERVICE", "CHOWN", "SETUID", "SETGID", "KILL"})
_OVERSEERS = frozenset({"cluster-admin", "admin", "system:admin"})
_PICKLED = re.compile(r"\.(pkl|pickle|joblib|dill|cloudpickle|pt|pth|npy)\Z", re.IGNORECASE)
_PICKLED_FORMATS = frozenset({"sklearn", "lightgbm-pickle", "pytorch-pickle"})


def pods(tree: Any) -> Iterator[dict[str, Any]]:
    """Every pod's spec within an object, wherever its kind keeps it."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if isinstance(node.get("containers"), list):
                yield node
            todo += node.values()
        elif isinstance(node, list):
            todo += node


def vet_pod(spec: dict[str, Any], case: Case, where: str) -> None:
    """Judge one pod's spec."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key) is True:
            case.find("HB-V104", f"it shares the host's {key.removeprefix('host')}", where)
    for volume in spec.get("volumes") or ():
        path = at(volume, "hostPath", "path")
        if path:
            case.find("HB-V104", f"it mounts {str(path)[:80]} of the host", where)
    account = str(spec.get("serviceAccountName") or spec.get("serviceAccount") or "")
    if account in _OVERSEERS:
        case.find("HB-V110", f"it runs as {account}", where)
    outer = spec.get("securityContext") or {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        if isinstance(container, dict):
            _container(container, outer if isinstance(outer, dict) else {}, case, where)


def _container(container: dict[str, Any], outer: dict[str, Any], case: Case, where: str) -> None:
    name = container.get("name", "?")
    inner = container.get("securityContext")
    context = {**outer, **(inner if isinstance(inner, dict) else {})}
    image(str(container.get("image") or ""), case, where)
    _privileges(str(name), context, case, where)
    for port in container.get("ports") or ():
        if at(port, "hostPort"):
            case.find("HB-V102", f"container {name} takes a port of the host", where)
    for variable in container.get("env") or ():
        if isinstance(variable, dict) and "value" in variable:
            key, value = str(variable.get("name")), str(variable.get("value"))
            credential(key, value, case, where)
            secret_setting(key, value, case, where)


def _privileges(name: str, context: dict[str, Any], case: Case, where: str) -> None:
    if context.get("privileged") is True:
        case.find("HB-V103", f"container {name} is privileged", where)
    added = set(map(str, at(context, "capabilities", "add") or ()))
    if {"ALL", "SYS_ADMIN"} & added:
        case.find("HB-V103", f"container {name} has all capabilities", where)
    elif added - _HARMLESS_RIGHTS:
        rights = ", ".join(sorted(added - _HARMLESS_RIGHTS))
        case.find("HB-V103", f"container {name} is given {rights[:80]}", where, Severity.MEDIUM)
    if context.get("allowPrivilegeEscalation") is True:
        message = f"container {name} may gain privileges"
        case.find("HB-V103", message, where, Severity.MEDIUM)
    if at(context, "seccompProfile", "type") == "Unconfined":
        case.find("HB-V103", f"container {name} may call the kernel as it likes", where)
    if context.get("procMount") == "Unmasked":
        case.find("HB-V103", f"container {name} sees all of /proc", where)
    user = context.get("runAsUser")
    if user == 0 or (user is None and context.get("runAsNonRoot") is not True):
        case.find("HB-V103", f"container {name} may run as root", where, Severity.MEDIUM)


def vet_serving(tree: dict[str, Any], case: Case, where: str) -> None:
    """Where a served model comes from, and whether it is a pickle."""
    todo: list[Any] = [tree.get("spec")]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        if not isinstance(node, dict):
            continue
        todo += node.values()
        uri = node.get("storageUri") or node.get("modelUri")
        if isinstance(uri, str):
            if uri.startswith("http://"):
                case.find("HB-V206", f"the model comes over an open line: {uri[:100]}", where)
            if uri.startswith(("hostpath:", "file:///")):
                case.find("HB-V104", f"the model lies on the host: {uri[:100]}", where)
            if _PICKLED.search(uri):
                case.find("HB-V108", f"the model is a pickle: {uri[:100]}", where)
        if at(node, "modelFormat", "name") in _PICKLED_FORMATS or "sklearn" in node:
            case.find("HB-V108", "the runtime for scikit-learn loads pickles", where)
