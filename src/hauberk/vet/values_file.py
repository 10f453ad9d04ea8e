"""Settings of any program in YAML, such as the values of a Helm chart: names say what they mean."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hauberk.vet.credentials import credential, image, secret_setting

if TYPE_CHECKING:
    from hauberk.vet.case import Case

_MOST = 100_000
# Names that are bad when switched on, and those that are bad when switched off.
_ON = {
    "anonymous": ("HB-V102", "anybody may ask"),
    "anonymousauth": ("HB-V102", "anybody may ask"),
    "anonymousaccess": ("HB-V102", "anybody may ask"),
    "insecure": ("HB-V102", "lines are not authenticated"),
    "insecureskipverify": ("HB-V102", "no certificate is checked"),
    "disableauth": ("HB-V102", "authentication is switched off"),
    "allowemptypassword": ("HB-V101", "an empty password will do"),
    "privileged": ("HB-V103", "it is privileged"),
    "allowprivilegeescalation": ("HB-V103", "it may gain privileges"),
    "hostnetwork": ("HB-V104", "it shares the host's network"),
    "hostpid": ("HB-V104", "it shares the host's processes"),
    "publicread": ("HB-V106", "anybody may read"),
    "public": ("HB-V106", "it is public"),
    "allowpickle": ("HB-V108", "it loads pickles"),
}
_OFF = {
    "auth": ("HB-V102", "authentication is switched off"),
    "authentication": ("HB-V102", "authentication is switched off"),
    "authenabled": ("HB-V102", "authentication is switched off"),
    "tls": ("HB-V102", "lines are not encrypted"),
    "networkpolicy": ("HB-V105", "there is no network policy"),
    "runasnonroot": ("HB-V103", "it may run as root"),
    "verifyssl": ("HB-V102", "no certificate is checked"),
    "weightsonly": ("HB-V108", "it loads pickles"),
}


def vet_values(tree: Any, case: Case, where: str) -> None:
    """Judge every setting of a tree by its name and value."""
    todo: list[tuple[str, Any]] = [("", tree)]
    count = 0
    while todo:
        path, node = todo.pop()
        count += 1
        if count > _MOST:
            case.gap("settings with more parts than are read", where)
            return
        if isinstance(node, list):
            todo += [(path, one) for one in node]
        elif isinstance(node, dict):
            tag = node.get("tag")
            if "repository" in node and isinstance(tag, str | None) and "digest" not in node:
                image(f"{node['repository']}:{tag or ''}".rstrip(":"), case, where)
            todo += [(f"{path}.{key}" if path else str(key), value) for key, value in node.items()]
        else:
            _setting(path, node, case, where)


def _setting(path: str, value: Any, case: Case, where: str) -> None:
    key = path.rpartition(".")[2]
    plain = re.sub(r"[\W_]", "", key).lower()
    if plain == "enabled":
        plain = re.sub(r"[\W_]", "", path.rpartition(".")[0].rpartition(".")[2]).lower()
    place = f"{where}#{path}"[:300]
    if value is True and plain in _ON:
        rule, message = _ON[plain]
        case.find(rule, message, place)
    elif value is False and plain in _OFF:
        rule, message = _OFF[plain]
        case.find(rule, message, place)
    elif plain in {"runasuser", "uid"} and value == 0 and not isinstance(value, bool):
        case.find("HB-V103", "it runs as root", place)
    elif isinstance(value, str):
        credential(key, value, case, place)
        secret_setting(key, value, case, place)
        if plain == "image":
            image(value, case, place)
