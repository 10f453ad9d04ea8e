"""The server's paths: discovery, objects, lists and watches, as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import yaml

from hauberk.testing.kube.failures import Refusal, bad, no_path
from hauberk.testing.kube.selectors import selector
from hauberk.testing.kube.storage import Storage
from hauberk.testing.kube.verbs import Target, Verbs

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOBase

    from hauberk.testing.kube.resources import Resource

BOOKMARK_SECONDS = 2.0
MAX_BODY = 8 * 2**20
_VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.0", "platform": "linux/amd64"}


@dataclass(frozen=True)
class Request:
    """One request, read whole."""

    method: str
    parts: tuple[str, ...]
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    who: str = ""

    def tree(self) -> Any:
        """The body; YAML is a superset of JSON, but slow.

        Raises:
            Refusal: 400 if it is neither.
        """
        try:
            if "yaml" in self.headers.get("content-type", "") and self.body[:1] != b"{":
                return yaml.safe_load(self.body)
            return json.loads(self.body or b"{}")
        except (ValueError, yaml.YAMLError) as error:
            raise bad(f"cannot be read: {error}") from None


@dataclass
class App:
    """The ASGI application. ``audit`` takes one line of JSON for each request to an object."""

    verbs: Verbs = field(default_factory=lambda: Verbs(Storage()))
    audit: TextIOBase | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = await _read(scope, receive)
        try:
            if (found := self._watch_of(request)) is not None:
                await self._watch(*found, request, receive, send)
                return
            code, tree = await self._answer(request)
        except Refusal as refusal:
            code, tree = refusal.code, refusal.status()
        await _send(send, code, json.dumps(tree).encode())

    async def _answer(  # noqa: PLR0911 - one case a path
        self, request: Request
    ) -> tuple[int, dict[str, Any]]:
        match request.parts:
            case ("version",):
                return 200, _VERSION
            case ("healthz",) | ("readyz",) | ("livez",):
                return 200, {"status": "ok"}
            case ("api",):
                return 200, {"kind": "APIVersions", "versions": ["v1"]}
            case ("apis",):
                return 200, self._groups()
            case ("api", version):
                return 200, self._resources("", version)
            case ("apis", group, version):
                return 200, self._resources(group, version)
        target = self._target(request)
        self._note(request, target)
        if not target.name:
            return await self._many(request, target)
        return await self._one(request, target)

    async def _one(self, request: Request, target: Target) -> tuple[int, dict[str, Any]]:
        verbs = self.verbs
        match request.method:
            case "GET":
                return 200, verbs.read(target)
            case "PUT":
                return 200, await verbs.update(target, request.tree())
            case "DELETE":
                return 200, await verbs.delete(target, request.tree() if request.body else {})
            case "PATCH":
                kind = request.headers.get("content-type", "").partition(";")[0]
                write: Any = {
                    "application/merge-patch+json": verbs.merge,
                    "application/strategic-merge-patch+json": None,
                    "application/json-patch+json": verbs.operate,
                    "application/apply-patch+yaml": verbs.apply,
                }.get(kind)
                if write is None:
                    raise Refusal(415, "UnsupportedMediaType", f"a patch of type {kind!r}")
                return 200, await write(target, request.tree())
        raise Refusal(405, "MethodNotAllowed", "the method is not supported on this resource")

    async def _many(self, request: Request, target: Target) -> tuple[int, dict[str, Any]]:
        resource = target.resource
        fits = _selector(request)
        if request.method == "POST":
            return 201, await self.verbs.create(target, request.tree())
        if request.method not in {"GET", "DELETE"}:
            raise Refusal(405, "MethodNotAllowed", "the method is not supported on this resource")
        items = [one for one in self.verbs.storage.list(resource, target.namespace) if fits(one)]
        if request.method == "DELETE":
            for one in items:
                meta = one["metadata"]
                place = meta.get("namespace", "")
                gone = Target(resource=resource, namespace=place, name=meta["name"])
                await self.verbs.delete(gone, {})
        meta = {"resourceVersion": str(self.verbs.storage.version)}
        limit = int(request.query.get("limit") or 0)
        start = int(request.query.get("continue") or 0)
        if limit and len(items) > start + limit:
            meta |= {"continue": str(start + limit)}
        page = items[start : start + limit] if limit else items[start:]
        return 200, {
            "apiVersion": resource.api_version,
            "kind": f"{resource.kind}List",
            "metadata": meta,
            "items": page,
        }

    def _watch_of(self, request: Request) -> tuple[Resource, str] | None:
        """The resource and namespace of a watch; None for any other request."""
        if request.method != "GET" or request.query.get("watch") not in {"1", "true"}:
            return None
        target = self._target(request)
        self._note(request, target)
        return target.resource, target.namespace

    async def _watch(
        self, resource: Resource, namespace: str, request: Request, receive: Any, send: Any
    ) -> None:
        """Send what happens, and a bookmark when nothing does, until the client has enough."""
        storage, fits, query = self.verbs.storage, _selector(request), request.query
        seconds = float(query.get("timeoutSeconds") or 3600)
        deadline = time.monotonic() + seconds
        bookmarks = query.get("allowWatchBookmarks") in {"1", "true"}
        version = int(query.get("resourceVersion") or 0)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if not version:
            for one in storage.list(resource, namespace):
                if fits(one):
                    await _event(send, "ADDED", one)
            version = storage.version
        left = asyncio.create_task(_left(receive))
        marked = time.monotonic()
        while not left.done() and time.monotonic() < deadline:
            try:
                changes = list(storage.since(resource, version))
            except Refusal as refusal:
                await _event(send, "ERROR", refusal.status())
                break
            for change in changes:
                version = change.version
                for kind, tree in _seen(change.before, change.after, fits, namespace):
                    shown = {**tree, "apiVersion": resource.api_version, "kind": resource.kind}
                    await _event(send, kind, shown)
            if bookmarks and time.monotonic() - marked > BOOKMARK_SECONDS:
                marked, version = time.monotonic(), max(version, storage.version)
                await _event(send, "BOOKMARK", _bookmark(resource, version))
            async with storage.changed:
                if not any(True for _ in storage.since(resource, version)):
                    wait = storage.changed.wait()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(wait, min(BOOKMARK_SECONDS, 1.0))
        left.cancel()
        await send({"type": "http.response.body", "body": b""})

    def _target(self, request: Request) -> Target:
        """Read a path to an object or a list.

        Raises:
            Refusal: 404 if there is no such resource.
        """
        parts, query = list(request.parts), request.query
        group = ""
        if parts[:1] == ["apis"] and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        elif parts[:1] == ["api"] and len(parts) > 2:
            version, rest = parts[1], parts[2:]
        else:
            raise no_path()
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] != "status":
            namespace, rest = rest[1], rest[2:]
        resource = self.verbs.find(group, version, rest[0])
        if resource is None or (len(rest) == 3 and rest[2] != "status") or len(rest) > 3:
            raise no_path()
        status = len(rest) == 3
        if status and not resource.status:
            raise no_path()
        agent = request.headers.get("user-agent", "unknown").partition("/")[0]
        return Target(
            resource=resource,
            namespace=namespace,
            name=rest[1] if len(rest) > 1 else "",
            status=status,
            manager=query.get("fieldManager") or agent,
            force=query.get("force") in {"1", "true"},
            strict=query.get("fieldValidation") == "Strict",
            dry="dryRun" in query,
        )

    def _groups(self) -> dict[str, Any]:
        groups: dict[str, list[str]] = {}
        for one in self.verbs.resources:
            if one.group and one.version not in groups.setdefault(one.group, []):
                groups[one.group].append(one.version)

        def line(group: str, version: str) -> dict[str, str]:
            return {"groupVersion": f"{group}/{version}", "version": version}

        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [
                {
                    "name": group,
                    "versions": [line(group, version) for version in versions],
                    "preferredVersion": line(group, versions[0]),
                }
                for group, versions in groups.items()
            ],
        }

    def _resources(self, group: str, version: str) -> dict[str, Any]:
        found = [r for r in self.verbs.resources if (r.group, r.version) == (group, version)]
        if not found:
            raise no_path()
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": found[0].api_version,
            "resources": [line for one in found for line in one.entries()],
        }

    def _note(self, request: Request, target: Target) -> None:
        if self.audit is None:
            return
        watch = request.query.get("watch") in {"1", "true"}
        one = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        many = {"GET": "watch" if watch else "list", "POST": "create", "DELETE": "deletecollection"}
        line = {
            "verb": (one if target.name else many).get(request.method, request.method),
            "group": target.resource.group,
            "resource": target.resource.plural + ("/status" if target.status else ""),
            "namespace": target.namespace,
            "name": target.name,
            "who": request.who,
        }
        self.audit.write(json.dumps(line) + "\n")
        self.audit.flush()


def _seen(
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    fits: Callable[[dict[str, Any]], bool],
    namespace: str,
) -> list[tuple[str, dict[str, Any]]]:
    """A change as a watcher with a selector sees it."""

    def shown(tree: dict[str, Any] | None) -> bool:
        if tree is None:
            return False
        return namespace in {"", tree["metadata"].get("namespace", "")} and fits(tree)

    was, now = shown(before), shown(after)
    if now and after is not None:
        return [("MODIFIED" if was else "ADDED", after)]
    if was and before is not None:
        version = (after or before)["metadata"]["resourceVersion"]
        last = {**before, "metadata": {**before["metadata"], "resourceVersion": version}}
        return [("DELETED", last)]
    return []


def _selector(request: Request) -> Callable[[dict[str, Any]], bool]:
    query = request.query
    return selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))


def _bookmark(resource: Resource, version: int) -> dict[str, Any]:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
    }


async def _read(scope: dict[str, Any], receive: Any) -> Request:
    body, more = b"", True
    while more and len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    parts, who = tuple(part for part in scope["path"].split("/") if part), ""
    if parts[:1] == ("as",):  # http://server/as/NAME is the server for someone named so
        who, parts = parts[1], parts[2:]
    return Request(
        who=who,
        method=scope["method"],
        parts=parts,
        query=dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
        headers={key.decode().lower(): value.decode() for key, value in scope["headers"]},
        body=body,
    )


async def _send(send: Any, code: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _event(send: Any, kind: str, tree: dict[str, Any]) -> None:
    line = json.dumps({"type": kind, "object": tree}).encode() + b"\n"
    await send({"type": "http.response.body", "body": line, "more_body": True})


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
