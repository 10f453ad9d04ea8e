"""One namespace of a cluster: objects as plain trees, failures as ours."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import httpx2
from lightkube import ApiError, Client
from lightkube.core.exceptions import ConfigError as NoConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from hauberk.core.errors import ConfigError, DataError, EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.adapters.kubernetes.kinds import Kind

MANAGER = "hauberk"
"""The field manager: what we apply is ours, and nothing else."""


class Cluster:
    """The objects of a namespace, by the configuration that ``kubectl`` would use.

    A refusal of the API server is told as one of ours: what may work later (no answer, a conflict,
    a missing right) as :class:`EnvironmentFault` or :class:`ConfigError`, an object that it finds
    malformed as :class:`DataError`.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        try:
            self._client = Client(namespace=namespace, field_manager=MANAGER, trust_env=True)
        except (NoConfig, OSError, KeyError) as error:
            raise ConfigError(
                f"no cluster to talk to: {error}",
                where="kubeconfig",
                hint="set KUBECONFIG, or run in a cluster",
            ) from None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        """An object; None if there is none."""
        with _told(kind, name):
            try:
                return _plain(self._client.get(_resource(kind), name))
            except ApiError as error:
                if error.status.code == 404:
                    return None
                raise

    def list(self, kind: Kind, *, labels: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """The objects that bear all the labels."""
        with _told(kind, "*"):
            found = self._client.list(_resource(kind), labels=labels)  # type: ignore[arg-type]  # narrower than it takes
            return [_plain(one) for one in found]

    def create(self, kind: Kind, tree: dict[str, Any]) -> bool:
        """Create an object; False if its name is taken, which is no failure."""
        with _told(kind, tree["metadata"]["name"]):
            try:
                self._client.create(_resource(kind)(_typed(kind, tree)))
            except ApiError as error:
                if error.status.code == 409 and error.status.reason == "AlreadyExists":
                    return False
                raise
            return True

    def replace(self, kind: Kind, tree: dict[str, Any]) -> bool:
        """Replace an object; False if it was changed since the tree was read."""
        with _told(kind, tree["metadata"]["name"]):
            try:
                self._client.replace(_resource(kind)(_typed(kind, tree)))
            except ApiError as error:
                if error.status.code == 409:
                    return False
                raise
            return True

    def apply(self, kind: Kind, tree: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply: what is named is ours, what we named before and no more is removed."""
        name = tree["metadata"]["name"]
        with _told(kind, name):
            patch = _typed(kind, tree)
            resource = _resource(kind)
            made = self._client.patch(resource, name, patch, patch_type=PatchType.APPLY, force=True)
            return _plain(made)

    def merge(self, kind: Kind, name: str, patch: dict[str, Any]) -> None:
        """A JSON merge patch; None removes."""
        with _told(kind, name):
            self._client.patch(_resource(kind), name, patch, patch_type=PatchType.MERGE)

    def status(self, kind: Kind, name: str, status: dict[str, Any]) -> None:
        """Server-side apply of an object's status."""
        with _told(kind, name):
            tree = _typed(kind, {"metadata": {"name": name}, "status": status})
            self._client.patch(
                _resource(kind).Status, name, tree, patch_type=PatchType.APPLY, force=True
            )

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object, if it is there."""
        with _told(kind, name):
            try:
                self._client.delete(_resource(kind), name)
            except ApiError as error:
                if error.status.code != 404:
                    raise


@cache
def _resource(kind: Kind) -> Any:
    return create_namespaced_resource(kind.group, kind.version, kind.kind, kind.plural)


def _typed(kind: Kind, tree: dict[str, Any]) -> dict[str, Any]:
    return {**tree, "apiVersion": kind.api_version, "kind": kind.kind}


def _plain(found: Any) -> dict[str, Any]:
    tree: dict[str, Any] = found.to_dict()
    return tree


@contextmanager
def _told(kind: Kind, name: str) -> Iterator[None]:
    """Tell the API server's refusals in our words."""
    where = f"{kind.kind} {name}"
    try:
        yield
    except ApiError as error:
        code, message = error.status.code or 0, str(error.status.message)[:500]
        if code in {400, 413, 415, 422}:
            raise DataError(f"the API server refuses it: {message}", where=where) from None
        if code in {401, 403, 404, 405}:
            raise ConfigError(
                f"the API server says no: {message}",
                where=where,
                hint="is the definition installed, and has the service account the right?",
            ) from None
        raise EnvironmentFault(f"the API server: {message}", where=where) from None
    except (httpx2.HTTPError, OSError) as error:
        fault = type(error).__name__
        raise EnvironmentFault(f"the API server does not answer ({fault})", where=where) from None
