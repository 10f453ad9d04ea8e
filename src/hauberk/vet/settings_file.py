"""Settings in text: Kubernetes and Compose YAML, Dockerfiles, environment files, our own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.credentials import credential, image
from hauberk.vet.gateway_file import vet_gateway
from hauberk.vet.manifest import settings_text, vet_compose, vet_object
from hauberk.vet.values_file import vet_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hauberk.vet.case import Case

_KUBERNETES = re.compile(r"^[ \t]*-?[ \t]*apiVersion:", re.MULTILINE)
_COMPOSE = re.compile(r"^services:\s*$", re.MULTILINE)
_CONDA = re.compile(r"^dependencies:[ \t]*(\n[ \t]*(#.*)?)*\n[ \t]*- ", re.MULTILINE)
_MAPPING = re.compile(r"^[ \t]*-?[ \t]*['\"]?[\w./-]+['\"]?:([ \t]|$)", re.MULTILINE)
_DOCKERFILE = re.compile(r"\A([ \t]*(#.*|ARG .*)?\n)*+FROM\s+\S+", re.IGNORECASE)
_ENVIRONMENT = re.compile(r"\A([ \t]*(#.*)?\n)*+(export\s+)?[A-Z][A-Z0-9_]*=")
_SETTING = re.compile(
    r"^[ \t]*(?:(?:export|ENV|ARG)[ \t]+)?([A-Za-z_][\w.]*)[ =][ \t]*(\S*)", re.MULTILINE
)
_LONGEST, _MOST_EVENTS, _MOST_ALIASES = 1 << 20, 100_000, 100


def vet_settings(text: str, case: Case, where: str) -> bool:
    """Examine a text of settings; False if it is none of the known kinds."""
    if _DOCKERFILE.match(text):
        _dockerfile(text, case, where)
    elif _KUBERNETES.search(text):
        _each(text, case, where, lambda tree: vet_objects(tree, "", case, where))
    elif _COMPOSE.search(text):
        _each(text, case, where, lambda tree: vet_compose(tree, case, where))
    elif _CONDA.search(text):
        _conda(text, case, where)
    elif where.endswith((".yaml", ".yml", "MLmodel")) and _MAPPING.search(text):
        _each(text, case, where, lambda tree: vet_values(tree, case, where))
    elif _ENVIRONMENT.match(text):
        for match in _SETTING.finditer(text):
            credential(match[1], match[2], case, where)
    else:
        # What listens beyond its host is no finding there: a gateway answers nobody unknown.
        return vet_gateway(text, case, where)
    case.traits.add("settings")
    settings_text(text, case, where)
    return True


def _each(text: str, case: Case, where: str, judge: Callable[[Any], object]) -> None:
    """Every document of a text that is a mapping or a list."""
    for tree in _documents(text, case, where):
        if isinstance(tree, dict | list):
            judge(tree)


def vet_objects(tree: Any, text: str, case: Case, where: str) -> None:
    """Examine Kubernetes objects that are there as a tree."""
    for one in _objects(tree):
        vet_object(one, case, where)
    case.traits.add("settings")
    settings_text(text, case, where)


def _conda(text: str, case: Case, where: str) -> None:
    from hauberk.vet.lock_file import vet_conda  # noqa: PLC0415 - rarely needed

    _each(text, case, where, lambda tree: vet_conda(tree, case, where))


def _dockerfile(text: str, case: Case, where: str) -> None:
    user, stages = "", set()
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "FROM":
            parts = rest.split()
            parts = [part for part in parts if not part.startswith("--")]
            if parts and parts[0] not in stages and parts[0] != "scratch":
                image(parts[0], case, where)
            stages |= set(parts[2:3])
            user = ""
        elif word.upper() == "USER":
            user = rest.strip().partition(":")[0]
        elif word.upper() in {"ENV", "ARG"}:
            match = _SETTING.match(f"ENV {rest}")
            if match:
                credential(match[1], match[2], case, where)
    if user in {"", "root", "0"}:
        case.find("HB-V103", "the image runs as root", where, Severity.MEDIUM)


def _documents(text: str, case: Case, where: str) -> Iterator[Any]:
    """The documents of a YAML text; what cannot be read is for review."""
    if len(text) > _LONGEST:
        case.gap("a manifest too long to be read", where)
        return
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - for YAML alone
    except ImportError:
        case.gap("YAML is not read here: PyYAML is not installed", where)
        return
    try:
        aliases = 0
        for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
            aliases += isinstance(event, yaml.AliasEvent)
            if count > _MOST_EVENTS or aliases > _MOST_ALIASES:
                case.gap("a manifest with more parts than are read", where)
                return
        yield from yaml.safe_load_all(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        told = str(error).splitlines()[0][:100]
        case.gap(f"the YAML cannot be read: {told}", where)


def _objects(tree: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict) and isinstance(tree.get("items"), list) and depth < 4:
        for one in tree["items"]:
            yield from _objects(one, depth + 1)
    elif isinstance(tree, dict) and "kind" in tree:
        yield tree
