"""Who owns which field: server-side apply, and the record of it in ``managedFields``.

A path is a tuple of steps as ``fieldsV1`` writes them: ``f:name`` for a field, ``k:{"name":"x"}``
for an item of a keyed list, ``v:"x"`` for an item of a set.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from hauberk.testing.kube.failures import conflict
from hauberk.testing.kube.schema import definition_of

Path = tuple[str, ...]
Paths = frozenset[Path]
_UNOWNED = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "generation",
                "managedFields",
                "selfLink",
                "deletionTimestamp",
            )
        ),
    }
)
META: dict[str, Any] = {"$ref": "#/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def leaves(value: Any, schema: dict[str, Any], path: Path = ()) -> set[Path]:
    """The paths of all that is set in a value."""
    schema = _resolved(schema)
    if isinstance(value, dict) and value and schema.get("x-kubernetes-map-type") != "atomic":
        found: set[Path] = set()
        for key, item in value.items():
            step = (*path, f"f:{key}")
            if step not in _UNOWNED:
                found |= leaves(item, _field(schema, key, top=not path), step)
        return found
    if isinstance(value, list) and value and (steps := _steps(value, schema)) is not None:
        found = set()
        for name, item in zip(steps, value, strict=True):
            place = (*path, name)
            found |= {place} | leaves(item, schema.get("items", {}), place)
        return found
    return {path} if path else set()


def lookup(value: Any, path: Path, schema: dict[str, Any]) -> Any:
    """The value at a path; None where there is none."""
    for depth, step in enumerate(path):
        schema = _resolved(schema)
        if isinstance(value, dict):
            key = step.removeprefix("f:")
            schema, value = _field(schema, key, top=not depth), value.get(key)
        elif isinstance(value, list):
            steps = _steps(value, schema) or []
            schema = schema.get("items", {})
            value = next((v for s, v in zip(steps, value, strict=False) if s == step), None)
        else:
            return None
    return value


def applied(
    live: dict[str, Any],
    wanted: dict[str, Any],
    schema: dict[str, Any],
    *,
    manager: str,
    force: bool,
    plural: str,
) -> dict[str, Any]:
    """The live object after a server-side apply, with its ``managedFields``.

    Raises:
        Refusal: 409 where a field has another owner and another value, unless forced.
    """
    owners = owners_of(live)
    me = (manager, "Apply")
    new, old = leaves(wanted, schema), owners.pop(me, set())
    for (other, operation), paths in owners.items():
        for path in sorted(paths & new):
            # That an item of a keyed list is there, several may say.
            if path[-1].startswith("k:") or lookup(live, path, schema) == lookup(
                wanted, path, schema
            ):
                continue
            if not force:
                name = live["metadata"]["name"]
                where = ".".join(step.removeprefix("f:") for step in path)
                raise conflict(plural, name, f'conflict with "{other}" ({operation}): .{where}')
            paths.discard(path)
    result = copy.deepcopy(live)
    kept = set().union(*owners.values()) if owners else set()
    for path in sorted(old - new, key=len):  # an item of a list before what is in it
        if not any(path == one[: len(path)] for one in kept | new):
            _remove(result, path, schema)
    result = _merged(result, wanted, schema, top=True)
    owners[me] = new
    return record(result, owners)


def updated(
    before: dict[str, Any] | None, after: dict[str, Any], schema: dict[str, Any], *, manager: str
) -> dict[str, Any]:
    """The object after a plain write, with the fields that it changed owned by the writer."""
    owners = owners_of(before or {})
    was, now = leaves(before or {}, schema), leaves(after, schema)
    changed = {
        path
        for path in now
        if before is None
        or path not in was
        or lookup(before, path, schema) != lookup(after, path, schema)
    }
    for key, paths in owners.items():
        owners[key] = (paths & now) - changed
    owners[manager, "Update"] = owners.get((manager, "Update"), set()) | changed
    return record(after, owners)


def owners_of(tree: dict[str, Any]) -> dict[tuple[str, str], set[Path]]:
    """The owned paths by manager and operation, read from ``managedFields``."""
    entries = tree.get("metadata", {}).get("managedFields") or ()
    return {(one["manager"], one["operation"]): set(_flat(one["fieldsV1"])) for one in entries}


def record(tree: dict[str, Any], owners: dict[tuple[str, str], set[Path]]) -> dict[str, Any]:
    """The object with its owners written into it."""
    tree["metadata"]["managedFields"] = [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": tree["apiVersion"],
            "fieldsType": "FieldsV1",
            "fieldsV1": _nested(paths),
        }
        for (manager, operation), paths in owners.items()
        if paths
    ]
    return tree


def _merged(live: Any, wanted: Any, schema: dict[str, Any], *, top: bool = False) -> Any:
    """``wanted`` laid over ``live``; keyed lists item by item, all else as a whole."""
    schema = _resolved(schema)
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    if isinstance(live, dict) and isinstance(wanted, dict) and not atomic:
        result = dict(live)
        for key, item in wanted.items():
            result[key] = _merged(live.get(key), item, _field(schema, key, top=top))
        return result
    if isinstance(live, list) and isinstance(wanted, list):
        steps, mine = _steps(live, schema), _steps(wanted, schema)
        if steps is None or mine is None:
            return wanted
        items = dict(zip(steps, live, strict=True))
        for step, item in zip(mine, wanted, strict=True):
            items[step] = _merged(items.get(step), item, schema.get("items", {}))
        return list(items.values())
    return wanted


def _remove(tree: dict[str, Any], path: Path, schema: dict[str, Any]) -> None:
    """Take out what is at a path, if it is there."""
    *_, last = path
    parent = lookup(tree, path[:-1], schema) if len(path) > 1 else tree
    if isinstance(parent, dict):
        parent.pop(last.removeprefix("f:"), None)
    elif isinstance(parent, list):
        item = lookup(tree, path, schema)
        if item in parent:
            parent.remove(item)


def _steps(value: list[Any], schema: dict[str, Any]) -> list[str] | None:
    """How the items of a list are named; None for a list that is one value."""
    kind = schema.get("x-kubernetes-list-type")
    if kind == "set":
        return [f"v:{json.dumps(item)}" for item in value]
    if kind != "map" or not all(isinstance(item, dict) for item in value):
        return None
    keys = schema["x-kubernetes-list-map-keys"]
    inner = _resolved(schema.get("items", {})).get("properties", {})
    return [
        "k:" + json.dumps({k: item.get(k, inner.get(k, {}).get("default")) for k in sorted(keys)})
        for item in value
    ]


def _field(schema: dict[str, Any], key: str, *, top: bool = False) -> dict[str, Any]:
    if top and key == "metadata":
        return META
    found = schema.get("properties", {}).get(key)
    if found is None:
        others = schema.get("additionalProperties")
        found = others if isinstance(others, dict) else {}
    return dict(found)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with the type that it refers to in place of the reference."""
    reference = schema.get("$ref")
    return definition_of(str(reference).rpartition("/")[2]) if reference else schema


def _nested(paths: set[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}
    # A leaf is written as an empty object; the dot is for what is owned beside its parts.
    return _undotted(tree)


def _undotted(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        step: {} if inner in ({"."}, {".": {}}) else _undotted(inner)
        for step, inner in tree.items()
    }


def _flat(tree: dict[str, Any], path: Path = ()) -> set[Path]:
    found: set[Path] = set()
    for step, inner in tree.items():
        if step == ".":
            found.add(path)
        elif inner:
            found |= _flat(inner, (*path, step))
        else:
            found.add((*path, step))
    return found
