"""What the server does with an object: create, read, update, patch, delete."""

from __future__ import annotations

import copy
import json
import re
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import jsonpatch

from hauberk.testing.kube.failures import Refusal, bad, conflict, exists, invalid, missing
from hauberk.testing.kube.fields import applied, updated
from hauberk.testing.kube.resources import BUILTIN, DEFINITIONS, Resource, defined_by
from hauberk.testing.kube.schema import Validator, builtin_complaint, filled, prune
from hauberk.testing.kube.webhooks import complaint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hauberk.testing.kube.storage import Storage

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_FREE = re.compile(r"[^/%]{1,253}\Z")  # names of roles may hold colons
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "generation", "managedFields")
_ANY: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request is about. ``manager`` is who writes, ``strict`` refuses unknown fields."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    status: bool = False
    manager: str = "unknown"
    force: bool = False
    strict: bool = False
    dry: bool = False


@dataclass
class Verbs:
    """The API over a storage; ``pruned`` lists the unknown fields that were dropped."""

    storage: Storage
    resources: list[Resource] = field(default_factory=lambda: list(BUILTIN))
    pruned: list[str] = field(default_factory=list)
    _validators: dict[tuple[str, ...], Validator] = field(default_factory=dict)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource of a path."""
        wanted = (group, version, plural)
        return next((r for r in self.resources if (r.group, r.version, r.plural) == wanted), None)

    def read(self, target: Target) -> dict[str, Any]:
        """The object.

        Raises:
            Refusal: 404 if there is none.
        """
        found = self.storage.get(target.resource, target.namespace, target.name)
        if found is None:
            raise missing(target.resource.plural, target.name)
        return found

    async def create(self, target: Target, tree: dict[str, Any]) -> dict[str, Any]:
        """Keep a new object.

        Raises:
            Refusal: 409 if the name is taken, 422 if it contradicts its schema, 404 if there is no
                such namespace.
        """
        tree = self._named(target, copy.deepcopy(tree))
        meta, resource = tree["metadata"], target.resource
        name = meta["name"]
        if self.storage.get(resource, target.namespace, name):
            raise exists(resource.plural, name)
        if resource.status:
            tree.pop("status", None)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now, "generation": 1}
        meta.pop("managedFields", None)
        meta.pop("deletionTimestamp", None)
        tree = self._checked(target, tree)
        tree = updated(None, tree, resource.schema or _ANY, manager=target.manager)
        return await self._keep(target, tree)

    async def update(self, target: Target, tree: dict[str, Any]) -> dict[str, Any]:
        """Replace an object, or its status alone.

        Raises:
            Refusal: 404, 409 if ``resourceVersion`` is an older one, 422.
        """
        return await self._write(target, self.read(target), copy.deepcopy(tree))

    async def merge(self, target: Target, patch: dict[str, Any]) -> dict[str, Any]:
        """A JSON merge patch (RFC 7386)."""
        live = self.read(target)
        return await self._write(target, live, merged(live, patch))

    async def operate(self, target: Target, patch: list[dict[str, Any]]) -> dict[str, Any]:
        """A JSON patch (RFC 6902).

        Raises:
            Refusal: 422 if it does not apply, as where a ``test`` fails.
        """
        live = self.read(target)
        try:
            after = jsonpatch.apply_patch(live, patch)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise Refusal(422, "Invalid", f"the patch does not apply: {error}") from None
        return await self._write(target, live, after)

    async def apply(self, target: Target, tree: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply: the fields that are named belong to the manager afterwards.

        Raises:
            Refusal: 409 where another manager holds another value, unless forced.
        """
        meta = tree.setdefault("metadata", {})
        if meta.get("managedFields"):
            raise bad("metadata.managedFields must be nil")
        meta["name"] = target.name
        resource = target.resource
        live = self.storage.get(resource, target.namespace, target.name)
        if live is None:
            if target.status:
                raise missing(resource.plural, target.name)
            fresh = self._named(target, copy.deepcopy(tree))
            made = await self.create(target, fresh)
            made["metadata"]["managedFields"] = []
            owned = applied(
                made,
                fresh,
                resource.schema or self._shape(resource),
                manager=target.manager,
                force=True,
                plural=resource.plural,
            )
            return await self._keep(target, owned)
        if (asked := meta.get("resourceVersion")) and asked != live["metadata"]["resourceVersion"]:
            raise conflict(resource.plural, target.name, "the object has been modified")
        wanted = self._scoped(target, tree)
        after = applied(
            live,
            wanted,
            resource.schema or self._shape(resource),
            manager=target.manager,
            force=target.force,
            plural=resource.plural,
        )
        return await self._write(target, live, after, owned=True)

    async def delete(self, target: Target, options: dict[str, Any]) -> dict[str, Any]:
        """Remove an object, or mark it for removal while it has finalizers.

        Raises:
            Refusal: 404, or 409 if a precondition fails.
        """
        live = self.read(target)
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != live["metadata"]["uid"]:
            raise conflict(target.resource.plural, target.name, "another object has this name")
        if not live["metadata"].get("finalizers"):
            return await self._drop(target)
        if "deletionTimestamp" not in live["metadata"]:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            live["metadata"] |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0}
            live = await self.storage.put(target.resource, live)
        return live

    async def _write(
        self, target: Target, live: dict[str, Any], after: dict[str, Any], *, owned: bool = False
    ) -> dict[str, Any]:
        """The rest of every write to an object that is there."""
        resource, meta = target.resource, after.setdefault("metadata", {})
        asked = meta.get("resourceVersion")
        if asked and asked != live["metadata"]["resourceVersion"]:
            why = "the object has been modified; please apply your changes to the latest version"
            raise conflict(resource.plural, target.name, why)
        if meta.get("name", target.name) != target.name:
            raise bad("the name of the object does not match the name on the URL")
        if target.status:
            fields = meta.get("managedFields")
            after = {**live, **({"status": after["status"]} if "status" in after else {})}
            after["metadata"] = {**live["metadata"], **({"managedFields": fields} if owned else {})}
        elif resource.status:
            after.pop("status", None)
            after |= {"status": live["status"]} if "status" in live else {}
        meta = after["metadata"]
        kept = {k: live["metadata"][k] for k in _KEPT if k in live["metadata"]}
        fields = meta.get("managedFields", []) if owned else kept.get("managedFields", [])
        meta |= {**kept, "name": target.name, "managedFields": fields}
        if resource.namespaced:
            meta["namespace"] = target.namespace
        after |= {"apiVersion": resource.api_version, "kind": resource.kind}
        after = self._checked(target, after)
        if not owned:
            after = updated(live, after, resource.schema or _ANY, manager=target.manager)
        if _bare(after) == _bare(live) and after["metadata"]["managedFields"] == fields:
            return live
        if after.get("spec") != live.get("spec") and "generation" in meta:
            after["metadata"]["generation"] = live["metadata"]["generation"] + 1
        if after["metadata"].get("deletionTimestamp") and not after["metadata"].get("finalizers"):
            return await self._drop(target)
        return await self._keep(target, after)

    def _named(self, target: Target, tree: dict[str, Any]) -> dict[str, Any]:
        """Say what is left out, and refuse what contradicts the path."""
        resource, meta = target.resource, tree.setdefault("metadata", {})
        for key, said in (("apiVersion", resource.api_version), ("kind", resource.kind)):
            if tree.setdefault(key, said) != said:
                raise bad(f"the {key} {tree[key]!r} does not match the path's {said!r}")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = f"{meta['generateName']}{secrets.token_hex(3)[:5]}"
        form = _FREE if "rbac" in resource.group else _NAME
        if not form.match(str(meta.get("name", ""))):
            raise invalid(resource.kind, str(meta.get("name")), "metadata.name: Invalid value")
        if resource.namespaced:
            if meta.setdefault("namespace", target.namespace) != target.namespace:
                raise bad("the namespace of the object does not match the path's")
            spaces = self.find("", "v1", "namespaces")
            if spaces and not self.storage.get(spaces, "", target.namespace):
                raise missing("namespaces", target.namespace)
        return tree

    def _scoped(self, target: Target, tree: dict[str, Any]) -> dict[str, Any]:
        """Of an applied configuration what the subresource takes."""
        wanted = copy.deepcopy(tree)
        wanted["metadata"].pop("resourceVersion", None)
        if target.status:
            return {"metadata": {}, "status": wanted.get("status", {})}
        if target.resource.status:
            wanted.pop("status", None)
        return wanted

    def _checked(self, target: Target, tree: dict[str, Any]) -> dict[str, Any]:
        """Prune, fill in and validate.

        Raises:
            Refusal: 400 for unknown fields where they are refused, 422 for all else.
        """
        resource, name = target.resource, tree["metadata"].get("name", "")
        for key in ("labels", "annotations"):
            for one, value in (tree["metadata"].get(key) or {}).items():
                if not isinstance(value, str):
                    raise bad(f"metadata.{key}.{one}: must be a string")
                if key == "labels" and len(value) > 63:
                    raise invalid(resource.kind, name, f"metadata.labels.{one}: too long")
        if resource.schema is None:
            bare = {k: v for k, v in tree.items() if k != "status"}
            if why := builtin_complaint(bare):
                raise invalid(resource.kind, name, why)
            return tree
        tree, lost = prune(tree, resource.schema)
        self.pruned += [f"{resource.plural}/{name}{path}" for path in lost]
        if lost and target.strict:
            raise bad(f"strict decoding error: unknown field {lost[0]!r}")
        tree = filled(tree, resource.schema)
        place = (resource.group, resource.version, resource.plural)
        if place not in self._validators:
            self._validators[place] = Validator(resource.schema)
        if why := self._validators[place].complaint(tree):
            raise invalid(resource.kind, name, why)
        if why := complaint(resource.kind, tree):
            raise Refusal(400, "BadRequest", f"admission webhook denied the request: {why}")
        return tree

    def _shape(self, resource: Resource) -> dict[str, Any]:
        """The structure of a built-in type, by which its keyed lists are known."""
        group = resource.group.split(".")[0] or "core"
        return {"$ref": f"#/io.k8s.api.{group}.{resource.version}.{resource.kind}"}

    async def _keep(self, target: Target, tree: dict[str, Any]) -> dict[str, Any]:
        if target.dry:
            return tree
        if target.resource == DEFINITIONS:
            names = tree["spec"]["names"]
            tree["status"] = {
                "acceptedNames": names,
                "conditions": [
                    {"type": kind, "status": "True", "reason": "Accepted", "message": ""}
                    for kind in ("NamesAccepted", "Established")
                ],
                "storedVersions": [v["name"] for v in tree["spec"]["versions"] if v["storage"]],
            }
            self._define(tree["spec"]["group"], names["plural"], defined_by(tree))
        return await self.storage.put(target.resource, tree)

    async def _drop(self, target: Target) -> dict[str, Any]:
        gone = await self.storage.drop(target.resource, target.namespace, target.name)
        if target.resource == DEFINITIONS:
            self._define(gone["spec"]["group"], gone["spec"]["names"]["plural"], ())
        return gone

    def _define(self, group: str, plural: str, resources: Iterable[Resource]) -> None:
        self.resources = [r for r in self.resources if (r.group, r.plural) != (group, plural)]
        self._validators.clear()
        self.resources += resources


def merged(live: Any, patch: Any) -> Any:
    """A merge patch laid over a value; None removes."""
    if not isinstance(patch, dict):
        return patch
    result = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def _bare(tree: dict[str, Any]) -> str:
    meta = {k: v for k, v in tree["metadata"].items() if k not in {"managedFields", "generation"}}
    return json.dumps({**tree, "metadata": meta}, sort_keys=True)
