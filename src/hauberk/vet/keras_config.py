"""Keras configurations in JSON: layers that bring code, and names that loading would import.

Source: Keras 3, ``serialization_lib``; the known holes in it (CVE-2024-3660, CVE-2025-1550,
CVE-2025-8747, CVE-2025-9905) are shapes that are looked for here.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.names import Trust, judge

if TYPE_CHECKING:
    from hauberk.vet.case import Case

_DEEPEST, _MOST = 200, 400_000
_OURS = re.compile(
    r"(keras(_core|_hub|_nlp|_cv)?|keras\.src|tf_keras(\.src)?|tensorflow(\.python)?\.keras)(\.\w+)*"
)
_ROOMS = re.compile(r"(utils|saving|config|export|callbacks|datasets|wrappers)\b")
_FUNCTIONS = re.compile(
    r"activations|initializers|losses|metrics|regularizers|constraints|ops|backend"
)
_BUILTINS = frozenset({"dict", "list", "tuple", "slice", "float", "int", "bool", "str", "function"})
_RISKY = re.compile(
    rb"system|popen|exec|eval|__import__|subprocess|socket|urlopen|urlretrieve|requests|open|b64decode"
    rb"|compile|getattr|globals|builtins|shutil|\bos\b|sys|marshal|pickle|ctypes|write"
)


def vet_config_text(raw: bytes, case: Case, where: str) -> bool:
    """Examine a text of JSON; False if it is none."""
    try:
        tree = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    vet_config(tree, case, where)
    return True


def vet_config(tree: Any, case: Case, where: str) -> None:
    """Examine every object of a tree."""
    todo: list[tuple[Any, int]] = [(tree, 0)]
    count = 0
    while todo:
        node, depth = todo.pop()
        count += 1
        if count > _MOST or depth > _DEEPEST:
            case.gap("a configuration too large to be read", where)
            return
        if isinstance(node, dict):
            if "class_name" in node:
                _object(node, case, where)
            todo += [(value, depth + 1) for value in node.values()]
        elif isinstance(node, list):
            todo += [(value, depth + 1) for value in node]
        elif isinstance(node, str) and node[:1] == "{" and '"class_name"' in node:
            try:
                todo.append((json.loads(node), depth + 1))
            except (ValueError, RecursionError):
                continue


def _object(node: dict[str, Any], case: Case, where: str) -> None:
    name, module = node.get("class_name"), node.get("module")
    config = node.get("config")
    if not isinstance(name, str):
        return
    if name in {"Lambda", "__lambda__"} or name.endswith(">Lambda"):
        _lambda(config, case, where)
        return
    if name == "TorchModuleWrapper":
        case.find("HB-V009", "a layer holds a pickled PyTorch module", where, Severity.HIGH)
    reads = name in {"StringLookup", "IntegerLookup", "TextVectorization"}
    if reads and isinstance(config, dict) and isinstance(config.get("vocabulary"), str):
        case.find("HB-V009", "a layer reads its vocabulary from a file", where, Severity.HIGH)
    if isinstance(module, str) and module:
        _imported(
            module, config if name == "function" and isinstance(config, str) else name, case, where
        )
    elif isinstance(node.get("registered_name"), str) and ">" in node["registered_name"]:
        _custom(node["registered_name"], case, where)


def _imported(module: str, name: str, case: Case, where: str) -> None:
    """What loading looks up in a module."""
    ours = _OURS.fullmatch(module)
    if ours:
        room = module.partition(".src.")[2] or module.partition(".")[2]
        plain = name[:1].isupper() or _FUNCTIONS.match(room) or name == "function"
        if _ROOMS.match(room) or not plain:
            case.find("HB-V009", f"it calls {module}.{name}", where, Severity.CRITICAL)
        return
    if module == "builtins" and name in _BUILTINS:
        return
    if judge(module, name) is Trust.HARMFUL:
        case.find("HB-V001", f"loading it calls {module}.{name}", where)
    elif judge(module, name) is Trust.UNKNOWN:
        _custom(f"{module}.{name}", case, where)


def _custom(name: str, case: Case, where: str) -> None:
    case.find("HB-V009", f"custom object {name[:120]} needs code of its own", where)


def _lambda(config: Any, case: Case, where: str) -> None:
    """A Lambda layer: code in base64, or the name of a function."""
    code = next(_codes(config), b"")
    if code and _RISKY.search(code):
        found = sorted({one.decode() for one in _RISKY.findall(code)})
        message = f"a Lambda layer brings code that uses {', '.join(found[:5])}"
        case.find("HB-V009", message, where, Severity.CRITICAL)
    else:
        case.find("HB-V009", "a Lambda layer brings code of its own", where, Severity.HIGH)


def _codes(tree: Any, depth: int = 0) -> Any:
    """Every long text of base64 within a configuration, decoded."""
    if isinstance(tree, str) and len(tree) > 40:
        try:
            yield base64.b64decode("".join(tree.split()), validate=True)
        except (binascii.Error, ValueError):
            return
    elif isinstance(tree, dict | list) and depth < 8:
        for one in tree.values() if isinstance(tree, dict) else tree:
            yield from _codes(one, depth + 1)
