"""Who descends from whom: models from parents and datasets, datasets from datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hauberk.core.digest import short
from hauberk.core.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.core.ports import Entry, Ledger

_KINDS: tuple[Literal["model", "dataset"], ...] = ("model", "dataset")
_MOST = 10_000


class Relative(NamedTuple):
    """A model or a dataset, and the digest of which it is a child or parent."""

    kind: Literal["model", "dataset"]
    digest: str
    name: str
    of: str


def ancestors(ledger: Ledger, digest: str) -> list[Relative]:
    """All that a model or dataset was made from, nearest first.

    Every entry about a digest counts: entering a model again under another dataset hides nothing.

    Raises:
        Untrusted: if there are too many to follow.
    """
    found: dict[str, Relative] = {}
    waiting = [digest]
    while waiting:
        child = waiting.pop(0)
        for kind in _KINDS:
            for entry in ledger.entries(kind=kind, subject=child):
                for parent_kind, parent in _parents(entry):
                    if parent not in found and parent != digest:
                        found[parent] = Relative(parent_kind, parent, "", child)
                        waiting.append(parent)
        if len(found) > _MOST:
            raise Untrusted(f"HB-S001: more than {_MOST} ancestors", where="provenance")
    return list(found.values())


def descendants(ledger: Ledger, digest: str) -> list[Relative]:
    """All models and datasets that were made from a digest, nearest first."""
    children: dict[str, list[Relative]] = {}
    for kind in _KINDS:
        for entry in ledger.entries(kind=kind):
            for _, parent in _parents(entry):
                name = str(entry.body.get("name", ""))[:200]
                children.setdefault(parent, []).append(Relative(kind, entry.subject, name, parent))
    found: dict[str, Relative] = {}
    waiting = [digest]
    while waiting:
        for child in children.get(waiting.pop(0), ()):
            if child.digest not in found and child.digest != digest:
                found[child.digest] = child
                waiting.append(child.digest)
    return list(found.values())


def bar(ledger: Ledger, digest: str) -> str:
    """Why a model or dataset may not be used: it, or what it was made from, was revoked.

    A revoked dataset bars all that was made from it; a revoked model bars its descendants where
    the revocation says so, since a hardened child may be the very answer to what ails its parent.
    Empty if nothing does.
    """
    for entry in ledger.entries(kind="revocation", subject=digest):
        return f"was revoked: {_reason(entry)}"
    for one in ancestors(ledger, digest):
        for entry in ledger.entries(kind="revocation", subject=one.digest):
            if one.kind == "dataset" or entry.body.get("descendants") is True:
                return f"descends from {one.kind} {short(one.digest)}, revoked: {_reason(entry)}"
    return ""


def _reason(entry: Entry) -> str:
    return str(entry.body.get("reason", ""))[:200]


def _parents(entry: Entry) -> Iterator[tuple[Literal["model", "dataset"], str]]:
    body: dict[str, Any] = entry.body
    if entry.kind == "model":
        if isinstance(body.get("parent"), str):
            yield "model", body["parent"]
        if isinstance(body.get("dataset"), str):
            yield "dataset", body["dataset"]
    else:
        sources = body.get("from", ())
        for one in sources if isinstance(sources, list) else ():
            if isinstance(one, str):
                yield "dataset", one
