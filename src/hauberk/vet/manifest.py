"""Kubernetes objects and Compose services: what they open to whom, and with which rights."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.harmful import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case

# Passwords that products ship with, and the accounts that are as bad with any of them.
DEFAULTS = words(
    """
    minio123 minioadmin changeme password admin123 postgres mysql root123 12341234 secret
    guest admin mlflow kubeflow test1234 test
    """
)
_SECRET_NAME = re.compile(
    r"(?i)pass(word|wd)?$|secret_?(access)?_?(key)?$|token$|(root|access)_?key$"
)
_WORKLOADS = frozenset(
    {"Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet"}
)
_OFF = re.compile(
    r"(?i)--(auth|authentication|no-auth)=?(none|false|disabled)?$|--insecure\b|--disable-auth"
    r"|--NotebookApp\.token=['\"]{0,2}$|--ServerApp\.token=['\"]{0,2}$|--anonymous-auth=true"
    r"|--no-authentication|APP_SECURE_COOKIES=false"
)
_ANYWHERE = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|--host[= ]\*|\[::\]")
_PUBLIC = re.compile(
    r"(?i)mc (anonymous|policy) set[- ]?(json )?(public|download|upload)|public-read(-write)?"
    r"|--acl[= ]public|allusers|MINIO_.*PUBLIC|\"Principal\":\s*(\"\*\"|\{\"AWS\":\s*\[?\"\*)"
)
_PICKLES = re.compile(
    r"(?i)serialization_format['\"]?\s*[:=]\s*['\"]?(pickle|cloudpickle)|weights_only\s*=\s*False"
    r"|allow_pickle\s*[:=]\s*true|pickled_model|\bpickle\.load|python_function.*pickle|MLFLOW_ALLOW_PICKLE"
)
_MOVING = frozenset({"latest", "master", "main", "stable", "nightly", "edge", "dev"})


def vet_object(tree: dict[str, Any], case: Case, where: str) -> None:
    """Examine one Kubernetes object."""
    kind, name = str(tree.get("kind", "")), _at(tree, "metadata", "name") or "?"
    place = f"{where}#{kind}/{name}"[:300]
    namespace = str(_at(tree, "metadata", "namespace") or "default")
    if kind in _WORKLOADS:
        case.traits.add(f"workload {namespace}")
        for spec in _pods(tree):
            _pod(spec, case, place)
    elif kind == "NetworkPolicy":
        case.traits.add(f"policy {namespace}")
    elif kind == "Service" and _at(tree, "spec", "type") in {"NodePort", "LoadBalancer"}:
        case.find("HB-V102", f"service {name} is reachable from outside the cluster", place)
    elif kind in {"Secret", "ConfigMap"}:
        _data(tree, case, place)
    elif kind in {"Role", "ClusterRole"}:
        _rights(tree, case, place)
    elif kind == "PersistentVolume" and _at(tree, "spec", "hostPath"):
        case.find("HB-V104", f"volume {name} is a path of the host", place)
    elif kind == "Ingress" and not _at(tree, "spec", "tls"):
        case.find("HB-V102", f"ingress {name} has no TLS", place)


def vet_compose(tree: dict[str, Any], case: Case, where: str) -> None:
    """Examine the services of a Compose file."""
    for name, service in _items(tree.get("services")):
        if not isinstance(service, dict):
            continue
        place = f"{where}#{name}"
        image(str(service.get("image") or ""), case, place)
        if service.get("privileged") is True:
            case.find("HB-V103", f"{name} is privileged", place)
        for mount in service.get("volumes") or ():
            if re.match(r"(/|/var/run/docker\.sock)(:|\Z)", str(mount)) or "docker.sock" in str(
                mount
            ):
                case.find("HB-V104", f"{name} mounts {str(mount)[:80]} of the host", place)
        environment = service.get("environment") or {}
        pairs = _items(environment) if isinstance(environment, dict) else (
            tuple(str(one).partition("=")[::2]) for one in environment
        )  # fmt: skip
        for key, value in pairs:
            credential(str(key), str(value), case, place)


def credential(key: str, value: str, case: Case, where: str) -> None:
    """A setting by name and value: a default password is a finding."""
    plain = value.strip("'\"").lower()
    account = key.upper().endswith(("USER", "USERNAME", "ACCESS_KEY", "ACCESSKEY"))
    if (_SECRET_NAME.search(key) and plain in DEFAULTS) or (
        account and plain in {"minio", "minioadmin"}
    ):
        case.find("HB-V101", f"{key[:80]} is what the product ships with", where)


def image(name: str, case: Case, where: str) -> None:
    """An image by its reference."""
    if not name or "@sha256:" in name or "$" in name:
        return
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag or tag in _MOVING:
        case.find("HB-V107", f"image {name[:120]} has a tag that moves", where)


def settings_text(text: str, case: Case, where: str) -> None:
    """What commands and settings say in any format."""
    for rule, form, message in (
        ("HB-V102", _ANYWHERE, "it listens on every address"),
        ("HB-V106", _PUBLIC, "it makes storage public"),
        ("HB-V108", _PICKLES, "it asks for a pickle"),
    ):
        match = form.search(text)
        if match:
            line = text.count("\n", 0, match.start()) + 1
            case.find(rule, f"{message}: {match[0][:60]}", f"{where}:{line}")
    for word in re.split(r"[\s\"',\[\]]+", text):
        if _OFF.fullmatch(word):
            case.find("HB-V102", f"authentication is switched off: {word[:60]}", where)


def _pod(spec: dict[str, Any], case: Case, where: str) -> None:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key) is True:
            case.find("HB-V104", f"it shares the host's {key.removeprefix('host')}", where)
    for volume in spec.get("volumes") or ():
        path = _at(volume, "hostPath", "path")
        if path:
            case.find("HB-V104", f"it mounts {str(path)[:80]} of the host", where)
    outer = spec.get("securityContext") or {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        if isinstance(container, dict):
            _container(container, outer if isinstance(outer, dict) else {}, case, where)


def _container(container: dict[str, Any], outer: dict[str, Any], case: Case, where: str) -> None:
    name = container.get("name", "?")
    inner = container.get("securityContext")
    context = {**outer, **(inner if isinstance(inner, dict) else {})}
    image(str(container.get("image") or ""), case, where)
    if context.get("privileged") is True:
        case.find("HB-V103", f"container {name} is privileged", where)
    added = _at(context, "capabilities", "add") or ()
    if {"ALL", "SYS_ADMIN"} & set(map(str, added)):
        case.find("HB-V103", f"container {name} has all capabilities", where)
    user = context.get("runAsUser")
    if user == 0 or (user is None and context.get("runAsNonRoot") is not True):
        case.find("HB-V103", f"container {name} may run as root", where, Severity.MEDIUM)
    for variable in container.get("env") or ():
        if isinstance(variable, dict):
            credential(str(variable.get("name")), str(variable.get("value")), case, where)


def _data(tree: dict[str, Any], case: Case, where: str) -> None:
    for key, value in _items(tree.get("stringData")):
        credential(str(key), str(value), case, where)
    for key, value in _items(tree.get("data")):
        text = str(value)
        if tree.get("kind") == "Secret":
            try:
                text = base64.b64decode(text, validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                continue
        credential(str(key), text.strip(), case, where)


def _rights(tree: dict[str, Any], case: Case, where: str) -> None:
    for rule in tree.get("rules") or ():
        entry = rule if isinstance(rule, dict) else {}
        if all("*" in (entry.get(key) or ()) for key in ("verbs", "resources")):
            case.find("HB-V110", "a role may do everything", where)


def _pods(tree: Any) -> Iterator[dict[str, Any]]:
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


def _items(tree: Any) -> Any:
    return tree.items() if isinstance(tree, dict) else ()


def _at(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree
