"""The structure of KServe's and Kubeflow Trainer's resources, read from their published SDKs.

``python -m hauberk.testing.kube.derive KSERVE TRAINER`` writes ``derived/*.json`` from two unpacked
wheels (``kserve`` and ``kubeflow-trainer-api``). Only names, types and which fields are required
are taken; nothing of the SDKs runs. Types of Kubernetes itself are kept as references and filled
in from the published built-in schemas when the definition is made, by :func:`definition`.

What an SDK does not say is not in there: CEL rules, patterns, list types of the vendors' own
lists, and limits. A definition that comes from a real cluster says more.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from hauberk.testing.kube.schema import definition_of

_PLAIN = {"str": "string", "int": "integer", "bool": "boolean", "float": "number"}
_OPEN: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_EITHER: dict[str, Any] = {"x-kubernetes-int-or-string": True}
_BUILTIN = re.compile(r"(?:V1|IoK8sApiCoreV1)([A-Z]\w+)\Z")
_TEXT = {"KnativeURL", "V1Time", "datetime", "KnativeVolatileTime"}
DERIVED: dict[str, dict[str, Any]] = {
    "inferenceservices": {
        "group": "serving.kserve.io",
        "version": "v1beta1",
        "kind": "InferenceService",
        "short": ["isvc"],
        "roots": ["V1beta1InferenceServiceSpec", "V1beta1InferenceServiceStatus"],
    },
    "trainjobs": {
        "group": "trainer.kubeflow.org",
        "version": "v1alpha1",
        "kind": "TrainJob",
        "short": [],
        "roots": ["TrainerV1alpha1TrainJobSpec", "TrainerV1alpha1TrainJobStatus"],
    },
    "trainingruntimes": {
        "group": "trainer.kubeflow.org",
        "version": "v1alpha1",
        "kind": "TrainingRuntime",
        "short": [],
        "roots": ["TrainerV1alpha1TrainingRuntimeSpec", "TrainerV1alpha1TrainingRuntimeStatus"],
    },
}
Types = dict[str, dict[str, Any]]


def kserve_types(folder: Path) -> Types:
    """The models of the KServe SDK: their ``openapi_types`` and ``attribute_map`` tables."""
    found: Types = {}
    for path in sorted(folder.glob("kserve/models/*.py")):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                tables = {
                    one.targets[0].id: ast.literal_eval(one.value)
                    for one in node.body
                    if isinstance(one, ast.Assign)
                    and isinstance(one.targets[0], ast.Name)
                    and isinstance(one.value, ast.Dict)
                }
                if "openapi_types" not in tables:
                    continue
                named, kinds = tables["attribute_map"], tables["openapi_types"]
                needed = set(re.findall(r"value for `(\w+)`, must not be `None`", text))
                found[node.name] = {
                    "properties": {named[key]: _shape(kind) for key, kind in kinds.items()},
                    "required": sorted(named[key] for key in needed & kinds.keys()),
                }
    return found


def trainer_types(folder: Path) -> Types:
    """The models of the Trainer SDK: pydantic fields with their aliases."""
    found: Types = {}
    for path in sorted(folder.glob("kubeflow_trainer_api/models/trainer_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                properties, required = {}, []
                for one in node.body:
                    if not (isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)):
                        continue
                    kind = ast.unparse(one.annotation)
                    if kind.startswith("ClassVar") or one.target.id == "additional_properties":
                        continue
                    name = _alias(one) or one.target.id
                    properties[name] = _shape(kind)
                    required += [] if kind.startswith("Optional") else [name]
                found[node.name] = {"properties": properties, "required": sorted(required)}
    return found


def definition(plural: str) -> dict[str, Any]:
    """A ``CustomResourceDefinition`` with the derived structure."""
    about, types = DERIVED[plural], _derived(plural)
    parts: dict[str, Any] = {}
    for part, root in zip(("spec", "status"), about["roots"], strict=True):
        parts[part] = _filled({"$ref": root}, types, ()) if root in types else dict(_OPEN)
    kind = about["kind"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{about['group']}"},
        "spec": {
            "group": about["group"],
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                **({"shortNames": about["short"]} if about["short"] else {}),
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": about["version"],
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                **parts,
                            },
                        }
                    },
                }
            ],
        },
    }


def _shape(kind: str) -> dict[str, Any]:
    """The schema of a type as the SDKs write it."""
    kind = re.sub(r"^Optional\[(.*)\]\Z", r"\1", kind.strip())
    if match := re.match(r"[lL]ist\[(.*)\]\Z", kind):
        return {"type": "array", "items": _shape(match[1])}
    if match := re.match(r"dict\(str, (.*)\)\Z|Dict\[StrictStr, (.*)\]\Z", kind):
        return {"type": "object", "additionalProperties": _shape(match[1] or match[2])}
    plain = "string" if kind in _TEXT else _PLAIN.get(re.sub(r"^Strict", "", kind).lower())
    if plain:
        return {"type": plain}
    match = _BUILTIN.match(kind)
    return {"$ref": f"io.k8s.api.core.v1.{match[1]}" if match else kind}


def _alias(field: ast.AnnAssign) -> str:
    for word in getattr(field.value, "keywords", ()):
        if word.arg == "alias":
            return str(word.value.value)
    return ""


def _filled(schema: dict[str, Any], types: Types, above: tuple[str, ...]) -> dict[str, Any]:
    """A schema with what it refers to in place; a definition may hold no reference."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return _referred(name, types, above)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(one for one in kind if one != "null")
    done: dict[str, Any] = {
        key: schema[key]
        for key in ("required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys")
        if schema.get(key)
    }
    done |= {"type": kind} if kind else {}
    if "enum" in schema:
        done["enum"] = [one for one in schema["enum"] if one is not None]
    if "properties" in schema:
        done["properties"] = {
            key: _filled(one, types, above) for key, one in schema["properties"].items()
        }
    for key in ("additionalProperties", "items"):
        if isinstance(schema.get(key), dict):
            done[key] = _filled(schema[key], types, above)
    if kind == "object" and not {"properties", "additionalProperties"} & done.keys():
        return dict(_OPEN)
    return _keyed(done)


def _keyed(schema: dict[str, Any]) -> dict[str, Any]:
    """A keyed list as a definition may say it: each key is required, or has a default.

    The protocol of a port defaults to TCP, as in the API; other keys make the list one value.
    """
    items = schema.get("items", {})
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        if key == "protocol":
            items["properties"][key]["default"] = "TCP"
        elif key not in items.get("required", ()):
            rest = {"x-kubernetes-list-type", "x-kubernetes-list-map-keys"}
            return {name: value for name, value in schema.items() if name not in rest}
    return schema


def _referred(name: str, types: Types, above: tuple[str, ...]) -> dict[str, Any]:
    """The schema of a type by name; open where it is unknown or contains itself."""
    if name.endswith(("Quantity", "IntOrString")):
        return dict(_EITHER)
    found: dict[str, Any] | None = {"type": "object", **types[name]} if name in types else None
    if name.startswith("io.k8s."):
        with suppress(KeyError):
            found = definition_of(name)
    if found is None or name in above:
        return dict(_OPEN)
    return _filled(found, types, (*above, name))


def _derived(plural: str) -> Types:
    path = files("hauberk.testing.kube") / "derived" / f"{plural}.json"
    types: Types = json.loads(path.read_text("utf-8"))
    return types


def _closure(types: Types, roots: list[str]) -> Types:
    """Only the types that the roots lead to."""
    found: Types = {}
    todo = [root for root in roots if root in types]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found[name] = types[name]
        todo += [
            one for one in re.findall(r'"\$ref": "(\w+)"', json.dumps(types[name])) if one in types
        ]
    return dict(sorted(found.items()))


def main(kserve: Path, trainer: Path) -> None:
    """Write the derived structures from two unpacked wheels."""
    folder = Path(__file__).parent / "derived"
    folder.mkdir(exist_ok=True)
    types = kserve_types(kserve) | trainer_types(trainer)
    for plural, about in DERIVED.items():
        text = json.dumps(_closure(types, about["roots"]), indent=1, sort_keys=True)
        (folder / f"{plural}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
