"""Label and field selectors, as queries write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hauberk.testing.kube.failures import bad

if TYPE_CHECKING:
    from collections.abc import Callable

_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)\Z")


def selector(labels: str, fields: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an object fits both selectors; an empty one fits all.

    Raises:
        Refusal: 400 if a field cannot be selected by.
    """
    tests = [_label(part.strip()) for part in re.split(r",(?![^(]*\))", labels) if part.strip()]
    tests += [_field(part.strip()) for part in fields.split(",") if part.strip()]
    return lambda tree: all(test(tree) for test in tests)


def _label(text: str) -> Callable[[dict[str, Any]], bool]:
    def of(tree: dict[str, Any], key: str) -> str | None:
        value = (tree["metadata"].get("labels") or {}).get(key)
        return None if value is None else str(value)

    if match := _SET.match(text):
        key, values = match[1], {one.strip() for one in match[3].split(",")}
        if match[2] == "in":
            return lambda tree: of(tree, key) in values
        return lambda tree: of(tree, key) not in values
    if "!=" in text:
        key, _, value = text.partition("!=")
        return lambda tree: of(tree, key.strip()) != value.strip()
    if "=" in text:
        key, _, value = text.replace("==", "=").partition("=")
        return lambda tree: of(tree, key.strip()) == value.strip()
    if text.startswith("!"):
        return lambda tree: of(tree, text[1:]) is None
    return lambda tree: of(tree, text) is not None


def _field(text: str) -> Callable[[dict[str, Any]], bool]:
    key, _, value = text.replace("==", "=").partition("=")
    if key not in {"metadata.name", "metadata.namespace"}:
        raise bad(f'field label not supported: "{key}"')
    name = key.partition(".")[2]
    return lambda tree: tree["metadata"].get(name, "") == value
