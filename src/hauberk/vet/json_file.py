"""JSON beside a model: Keras configurations, remote code, templates, hidden settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.keras_config import vet_config
from hauberk.vet.names import Trust, judge
from hauberk.vet.secrets import find_secrets
from hauberk.vet.settings_file import vet_objects
from hauberk.vet.templates import template_reaches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case
    from hauberk.vet.source import Source

_LONGEST = 16 << 20


def vet_json(source: Source, case: Case, where: str, depth: int) -> None:
    """Examine a file of JSON, or of one JSON value a line."""
    raw = source.read(0, _LONGEST + 1)
    if len(raw) > _LONGEST:
        if b"class_name" in raw or b"auto_map" in raw or b"template" in raw or b"_target_" in raw:
            case.gap("a text of JSON too long to be read", where)
        return
    try:
        tree = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        from hauberk.vet.text_file import may_be_table, vet_text  # noqa: PLC0415 - not one value

        tree = _lines(raw)
        if tree is None or may_be_table(source, where):
            vet_text(source, case, where, depth)
        if tree is None:
            return
    vet_config(tree, case, where)
    text = raw.decode("utf-8", "replace")
    find_secrets(text, case, where)
    if isinstance(tree, dict) and "_meta" in tree and "default" in tree:
        from hauberk.vet.lock_file import vet_pipfile  # noqa: PLC0415 - rarely needed

        vet_pipfile(tree, case, where)
    elif isinstance(tree, dict) and "lockfileVersion" in tree:
        case.gap("packages that are not Python's are not judged here", where)
    if isinstance(tree, dict) and "cells" in tree and "nbformat" in tree:
        _notebook(tree, case, where)
    if isinstance(tree, dict) and "Statement" in tree:
        from hauberk.vet.rights import vet_statements  # noqa: PLC0415 - rarely needed

        vet_statements(tree, case, where)
    if isinstance(tree, dict) and "apiVersion" in tree and "kind" in tree:
        vet_objects(tree, text, case, where)
    for key, value in _texts(tree):
        _text(key, value, case, where)


def _notebook(tree: dict[str, Any], case: Case, where: str) -> None:
    """What the cells of a notebook would fetch and run; its code is not judged otherwise."""
    from hauberk.vet.manifest import FETCHED  # noqa: PLC0415 - rarely needed

    cells = tree["cells"] if isinstance(tree["cells"], list) else []
    for number, cell in enumerate(cells):
        source = cell.get("source") if isinstance(cell, dict) else ""
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        match = FETCHED.search(text)
        if match:
            message = f"it runs what it fetches: {match[0].strip()[:60]}"
            case.find("HB-V206", message, f"{where}#cell {number + 1}")


def _lines(raw: bytes) -> list[Any] | None:
    try:
        return [json.loads(line) for line in raw.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def _texts(tree: Any) -> Iterator[tuple[str, str]]:
    todo: list[tuple[str, Any]] = [("", tree)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            todo += [
                (key if key in {"auto_map", "custom_pipelines"} else str(k), v)
                for k, v in value.items()
            ]
        elif isinstance(value, list):
            todo += [(key, one) for one in value]


def _text(key: str, value: str, case: Case, where: str) -> None:
    if key in {"auto_map", "custom_pipelines"}:
        case.find("HB-V015", f"it asks for remote code: {value[:120]}", where)
    elif key == "_target_":
        module, _, name = value.rpartition(".")
        severity = Severity.CRITICAL if judge(module, name) is Trust.HARMFUL else Severity.MEDIUM
        case.find("HB-V015", f"it has {value[:120]} instantiated", where, severity)
    elif "{{" in value or "{%" in value:
        reached = template_reaches(value)
        if reached:
            case.find("HB-V014", f"the template {key[:80]} reaches for {reached}", where)
