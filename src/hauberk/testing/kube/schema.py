"""Structural schemas: what a definition's ``openAPIV3Schema`` prunes, fills in and refuses."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
import msgspec
from referencing import Registry
from referencing import Resource as Document
from referencing.jsonschema import DRAFT202012

KUBERNETES = "1.37"
_KEPT = (
    "enum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
)


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that says the same as a structural schema.

    ``nullable``, the boolean ``exclusiveMinimum`` and the extensions of Kubernetes are translated;
    CEL rules (``x-kubernetes-validations``) are not evaluated.
    """
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    found: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    for key, name in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(key) is True and name in found:
            found[key] = found.pop(name)
    if "properties" in schema:
        found["properties"] = {key: strict(one) for key, one in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = strict(schema["additionalProperties"])
    if "items" in schema:
        found["items"] = strict(schema["items"])
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            found[key] = [strict(one) for one in schema[key]]
    if "not" in schema:
        found["not"] = strict(schema["not"])
    if schema.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found


def prune(value: Any, schema: dict[str, Any], path: str = "") -> tuple[Any, list[str]]:
    """The value without fields that the schema does not know, and the paths of those."""
    if isinstance(value, dict):
        return _prune_object(value, schema, path)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        kept, lost = [], []
        for number, item in enumerate(value):
            one, gone = prune(item, schema["items"], f"{path}[{number}]")
            kept.append(one)
            lost += gone
        return kept, lost
    return value, []


def _prune_object(
    value: dict[str, Any], schema: dict[str, Any], path: str
) -> tuple[dict[str, Any], list[str]]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or others is True
    kept: dict[str, Any] = {}
    lost: list[str] = []
    embedded = not path or schema.get("x-kubernetes-embedded-resource")
    for key, item in value.items():
        if embedded and key in {"apiVersion", "kind", "metadata"}:
            kept[key] = item
        elif key in known or isinstance(others, dict):
            inner = known.get(key, others)
            kept[key], gone = prune(item, inner, f"{path}.{key}")
            lost += gone
        elif open_ended:
            kept[key] = item
        else:
            lost.append(f"{path}.{key}")
    return kept, lost


def filled(value: Any, schema: dict[str, Any]) -> Any:
    """The value with the schema's defaults where something is left out."""
    if isinstance(value, dict):
        done = {
            key: filled(item, schema.get("properties", {}).get(key, {}))
            for key, item in value.items()
        }
        for key, inner in schema.get("properties", {}).items():
            if key not in done and "default" in inner:
                done[key] = filled(inner["default"], inner)
        return done
    if isinstance(value, list):
        return [filled(item, schema.get("items", {})) for item in value]
    return value


class Validator:
    """Finds what is wrong with objects of one structural schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = jsonschema.Draft202012Validator(strict(schema))

    def complaint(self, tree: dict[str, Any]) -> str:
        """What is wrong first; empty if nothing is."""
        return _told(self._schema, tree)


def builtin_complaint(tree: dict[str, Any]) -> str:
    """What is wrong with an object of a built-in type by the published schemas; empty if nothing.

    Unknown fields are refused, as ``kubectl`` and strict field validation do.
    """
    version = tree["apiVersion"].split("/")
    # rbac.authorization.k8s.io/v1 is kept as rbac-v1
    stem = "-".join([version[0].split(".")[0], *version[1:]])
    validator = _builtin_validator(f"{tree['kind'].lower()}-{stem}.json")
    return "no schema for this type" if validator is None else _told(validator, tree)


def definition_of(name: str) -> dict[str, Any]:
    """A built-in type by its full name, as ``io.k8s.api.core.v1.Container``; references kept."""
    found = _definitions()["$defs"][name]
    return dict(found)


def _told(validator: Any, tree: dict[str, Any]) -> str:
    error = next(iter(validator.iter_errors(tree)), None)
    if error is None:
        return ""
    where = ".".join(str(part) for part in error.absolute_path) or "(root)"
    return f"{where}: {str(error.message)[:300]}"


@cache
def _definitions() -> dict[str, Any]:
    return _document("_definitions.json")


@cache
def _builtin_validator(name: str) -> Any:
    try:
        schema = _document(name)
    except FileNotFoundError:
        return None
    registry: Registry[Any] = Registry().with_resources(
        (str(one["$id"]), Document.from_contents(one, default_specification=DRAFT202012))
        for one in (schema, _definitions())
    )
    return jsonschema.Draft202012Validator(schema, registry=registry)


def _document(name: str) -> dict[str, Any]:
    folder = (
        files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
    )
    tree: dict[str, Any] = msgspec.json.decode((folder / name).read_bytes())
    return tree
