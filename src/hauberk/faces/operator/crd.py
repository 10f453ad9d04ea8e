"""The definition of ``ModelShield``, made from the Spec, so that file and object are one tree."""

from __future__ import annotations

from typing import Any

import msgspec

from hauberk.adapters.kubernetes.kinds import GROUP, SHIELD
from hauberk.core.spec import Spec

# The kinds of limits that both JSON Schema and a definition know.
_SAME = ("enum", "maximum", "maxLength", "minimum", "minLength", "pattern", "type")
_COLUMNS = (
    ("Phase", "string", ".status.phase"),
    ("Serving", "string", ".status.serving"),
    ("Incident", "string", ".status.incident"),
    ("Shielded", "string", '.status.conditions[?(@.type=="Shielded")].status'),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_CONDITION: dict[str, Any] = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string", "minLength": 1},
        "message": {"type": "string"},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer", "format": "int64"},
    },
}
_TEXT: dict[str, Any] = {"type": "string"}
_STATUS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "observedGeneration": {"type": "integer", "format": "int64"},
        "phase": {**_TEXT, "description": "Phase of the closed loop."},
        "serving": {**_TEXT, "description": "Digest of the model in service, shortened."},
        "servingDigest": {**_TEXT, "description": "Digest of the model in service."},
        "twinDigest": {**_TEXT, "description": "Digest of its robust twin."},
        "mode": {**_TEXT, "description": "normal, contained or abstain."},
        "incident": {**_TEXT, "description": "The open incident."},
        "candidate": {**_TEXT, "description": "Digest on trial in the open incident."},
        "canaryPercent": {"type": "integer", "format": "int32"},
        "trainings": {"type": "integer", "format": "int32"},
        "lastEvidence": {
            "type": "object",
            "properties": {
                "rule": _TEXT,
                "verdict": _TEXT,
                "subject": _TEXT,
                "message": _TEXT,
                "at": {"type": "string", "format": "date-time"},
            },
        },
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}


def definition(texts: dict[str, str]) -> dict[str, Any]:
    """The ``CustomResourceDefinition``; ``texts`` says in a line what each key means.

    Defaults are left out: what a user did not say follows the release that reads it.
    """
    schema = msgspec.json.schema(Spec)
    spec = _structural(schema, schema["$defs"], "", texts)
    version = {
        "name": SHIELD.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS
        ],
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": "A model service that the closed loop protects.",
                "properties": {
                    "apiVersion": _TEXT,
                    "kind": _TEXT,
                    "metadata": {"type": "object"},
                    "spec": spec,
                    "status": _STATUS,
                },
            }
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{SHIELD.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": SHIELD.kind,
                "listKind": f"{SHIELD.kind}List",
                "plural": SHIELD.plural,
                "singular": SHIELD.kind.lower(),
                "shortNames": ["shield"],
                "categories": ["hauberk"],
            },
            "versions": [version],
        },
    }


def _structural(
    schema: dict[str, Any], types: dict[str, Any], path: str, texts: dict[str, str]
) -> dict[str, Any]:
    """A JSON Schema as a structural one: no references, ``nullable`` for null."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return _structural(types[name], types, path, texts)
    if several := schema.get("anyOf"):
        (one,) = [option for option in several if option != {"type": "null"}]
        return {**_structural(one, types, path, texts), "nullable": True}
    found: dict[str, Any] = {key: schema[key] for key in _SAME if key in schema}
    if "enum" in found and "type" not in found:
        found["type"] = "string"
    for key, name in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if key in schema:
            found |= {name: schema[key], key: True}
    if schema.get("type") == "object":
        found["properties"] = {
            key: _structural(inner, types, f"{path}.{key}".lstrip("."), texts)
            for key, inner in schema["properties"].items()
        }
        if required := schema.get("required"):
            found["required"] = list(required)
    if "items" in schema:
        found["items"] = _structural(schema["items"], types, f"{path}[]", texts)
    text = texts.get(path) or schema.get("description", "").partition("\n")[0]
    return {**found, **({"description": text} if text else {})}
