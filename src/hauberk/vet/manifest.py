"""Kubernetes objects and Compose services: what they open to whom, and with which rights."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.credentials import at, credential, image, secret_setting
from hauberk.vet.gateway_file import vet_spec
from hauberk.vet.pods import pods, vet_pod, vet_serving
from hauberk.vet.rights import is_closed, vet_binding, vet_mesh, vet_role

if TYPE_CHECKING:
    from collections.abc import Callable

    from hauberk.vet.case import Case

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
FETCHED = re.compile(
    r"(?i)\b(curl|wget|fetch)\b[^|;&\n]*\|\s*(sudo\s+)?(ba|z|da)?sh\b|\bpython3?\s+-c\s.*urlopen"
    r"|\bpip3?\s+install\b[^\n]*(--trusted-host|--extra-index-url|(-i|--index-url)[= ]http:)"
    r"|^\s*ADD\s+(--\S+\s+)*https?://",
    re.MULTILINE,
)


def vet_object(tree: dict[str, Any], case: Case, where: str) -> None:
    """Examine one Kubernetes object."""
    kind = str(tree.get("kind", ""))
    place = f"{where}#{kind}/{_name(tree)}"[:300]
    judge = _KINDS.get(kind)
    if judge is not None:
        judge(tree, case, place)


def _name(tree: dict[str, Any]) -> str:
    return str(at(tree, "metadata", "name") or "?")


def _namespace(tree: dict[str, Any]) -> str:
    return str(at(tree, "metadata", "namespace") or "default")


def _workload(tree: dict[str, Any], case: Case, where: str) -> None:
    case.traits.add(f"workload {_namespace(tree)}")
    for spec in pods(tree):
        vet_pod(spec, case, where)


def _shield(tree: dict[str, Any], case: Case, where: str) -> None:
    spec = tree.get("spec")
    vet_spec(spec if isinstance(spec, dict) else {}, case, where)


def _serving(tree: dict[str, Any], case: Case, where: str) -> None:
    vet_serving(tree, case, where)
    for spec in pods(tree):
        vet_pod(spec, case, where)


def _network_policy(tree: dict[str, Any], case: Case, where: str) -> None:
    if is_closed(tree):
        case.traits.add(f"policy {_namespace(tree)}")
    else:
        case.find("HB-V105", f"policy {_name(tree)} lets everything in", where)


def _service(tree: dict[str, Any], case: Case, where: str) -> None:
    if at(tree, "spec", "type") in {"NodePort", "LoadBalancer"} or at(tree, "spec", "externalIPs"):
        message = f"service {_name(tree)} is reachable from outside the cluster"
        case.find("HB-V102", message, where)


def _ingress(tree: dict[str, Any], case: Case, where: str) -> None:
    if not at(tree, "spec", "tls"):
        case.find("HB-V102", f"ingress {_name(tree)} has no TLS", where)


def _volume(tree: dict[str, Any], case: Case, where: str) -> None:
    if at(tree, "spec", "hostPath"):
        case.find("HB-V104", f"volume {_name(tree)} is a path of the host", where)


def vet_compose(tree: dict[str, Any], case: Case, where: str) -> None:
    """Examine the services of a Compose file."""
    for name, service in _items(at(tree, "services")):
        if not isinstance(service, dict):
            continue
        place = f"{where}#{name}"
        image(str(service.get("image") or ""), case, place)
        if service.get("privileged") is True:
            case.find("HB-V103", f"{name} is privileged", place)
        for key in ("network_mode", "pid", "ipc"):
            if service.get(key) == "host":
                case.find("HB-V104", f"{name} shares the host's {key}", place)
        if service.get("cap_add"):
            case.find("HB-V103", f"{name} is given {str(service['cap_add'])[:80]}", place)
        if str(service.get("user", "")).partition(":")[0] in {"0", "root"}:
            case.find("HB-V103", f"{name} runs as root", place, Severity.MEDIUM)
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
            secret_setting(str(key), str(value), case, place)


def settings_text(text: str, case: Case, where: str) -> None:
    """What commands and settings say in any format."""
    for rule, form, message in (
        ("HB-V102", _ANYWHERE, "it listens on every address"),
        ("HB-V106", _PUBLIC, "it makes storage public"),
        ("HB-V108", _PICKLES, "it asks for a pickle"),
        ("HB-V206", FETCHED, "it runs what it fetches"),
    ):
        match = form.search(text)
        if match:
            line = text.count("\n", 0, match.start()) + 1
            case.find(rule, f"{message}: {match[0][:60]}", f"{where}:{line}")
    for word in re.split(r"[\s\"',\[\]]+", text):
        if _OFF.fullmatch(word):
            case.find("HB-V102", f"authentication is switched off: {word[:60]}", where)


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


def _items(tree: Any) -> Any:
    return tree.items() if isinstance(tree, dict) else ()


_KINDS: dict[str, Callable[[dict[str, Any], Case, str], None]] = {
    **dict.fromkeys(("Pod", "Deployment", "StatefulSet", "DaemonSet", "Job"), _workload),
    **dict.fromkeys(("CronJob", "ReplicaSet", "ReplicationController"), _workload),
    **dict.fromkeys(("InferenceService", "ServingRuntime", "ClusterServingRuntime"), _serving),
    **dict.fromkeys(("SeldonDeployment", "TrainedModel"), _serving),
    **dict.fromkeys(("Secret", "ConfigMap"), _data),
    **dict.fromkeys(("Role", "ClusterRole"), vet_role),
    **dict.fromkeys(("RoleBinding", "ClusterRoleBinding"), vet_binding),
    **dict.fromkeys(("PeerAuthentication", "AuthorizationPolicy"), vet_mesh),
    "NetworkPolicy": _network_policy,
    "Service": _service,
    "Ingress": _ingress,
    "PersistentVolume": _volume,
    "ModelShield": _shield,
}
