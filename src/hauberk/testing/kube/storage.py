"""The objects, their versions, and what happened to them: what etcd is to a real server."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hauberk.testing.kube.failures import gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.testing.kube.resources import Resource

REMEMBERED = 10_000
"""Changes after which a watch from before is answered 410."""
Key = tuple[str, str]
Kind = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One write: the version it made, and the object before and after (None: there was none)."""

    version: int
    kind: Kind
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass
class Storage:
    """All objects by group and plural, then by namespace and name; one version for all of them."""

    version: int = 1
    objects: dict[Kind, dict[Key, dict[str, Any]]] = field(default_factory=dict)
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """A copy of an object, in the version of the resource that is asked for."""
        found = self.objects.get(_kind(resource), {}).get((namespace, name))
        return _as(found, resource) if found else None

    def list(self, resource: Resource, namespace: str) -> list[dict[str, Any]]:
        """Copies of all objects of a namespace, or of all where it is empty; in order of name."""
        items = sorted(self.objects.get(_kind(resource), {}).items())
        return [_as(one, resource) for (place, _), one in items if namespace in {"", place}]

    async def put(self, resource: Resource, tree: dict[str, Any]) -> dict[str, Any]:
        """Write an object under a new version."""
        meta = tree["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        held = self.objects.setdefault(_kind(resource), {})
        before = held.get(key)
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        held[key] = copy.deepcopy(tree)
        await self._tell(Change(self.version, _kind(resource), before, held[key]))
        return tree

    async def drop(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """Remove an object; it is returned as it was, under the version of its removal."""
        before = self.objects[_kind(resource)].pop((namespace, name))
        self.version += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self.version)
        await self._tell(Change(self.version, _kind(resource), last, None))
        return _as(last, resource)

    def since(self, resource: Resource, version: int) -> Iterator[Change]:
        """What happened to a resource after a version.

        Raises:
            Refusal: 410 if that is no longer remembered.
        """
        if self.changes and version < self.changes[0].version - 1 and self.forgetful:
            raise gone()
        kind = _kind(resource)
        yield from [one for one in self.changes if one.version > version and one.kind == kind]

    @property
    def forgetful(self) -> bool:
        """Whether something was forgotten already."""
        return len(self.changes) == self.changes.maxlen

    async def _tell(self, change: Change) -> None:
        self.changes.append(change)
        async with self.changed:
            self.changed.notify_all()


def _kind(resource: Resource) -> Kind:
    return resource.group, resource.plural


def _as(tree: dict[str, Any], resource: Resource) -> dict[str, Any]:
    return {**copy.deepcopy(tree), "apiVersion": resource.api_version, "kind": resource.kind}
