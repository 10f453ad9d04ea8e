"""Reading ATLAS as MITRE publishes it: the one-file form up to 5.x, and format 6.

Format 6 keeps its content version (``YYYY.MM``) apart from its form, its objects by id, and its
edges in ``relationships``: ``achieves``, ``specializes``, ``mitigates``, ``employs``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from hauberk.core.errors import DataError
from hauberk.govern.atlas import CaseStudy, Catalogue, Mitigation, Tactic, Technique

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ID = re.compile(r"AML\.(?:TA|T|M|CS)\d{4}(?:\.\d{3})?\Z")
_MAX_OBJECTS, _MAX_TEXT = 10_000, 20_000


def read_catalogue(tree: Any, *, source: str, where: str = "ATLAS") -> Catalogue:
    """The catalogue of a parsed file; ``source`` is the digest of its bytes.

    Two mitigations of 5.6.0 (M0018 and M0034) hold an edge among their life-cycle stages; it is
    put where it belongs. Edges to objects that the file does not have are an error.

    Raises:
        DataError: if the tree has neither form, or an object is malformed.
    """
    if not isinstance(tree, dict):
        raise DataError("not an ATLAS file: no table at the top", where=where)
    if isinstance(tree.get("techniques"), dict):
        found = _format_6(tree, source, where)
    elif isinstance(tree.get("matrices"), list):
        found = _one_file(tree, source, where)
    else:
        raise DataError(
            "not an ATLAS file: neither `matrices` nor `techniques`",
            where=where,
            hint="ATLAS.yaml up to 5.x, or v6/ATLAS-YYYY.MM.yaml",
        )
    return _checked(found, where)


def _one_file(tree: dict[str, Any], source: str, where: str) -> Catalogue:
    matrix = next((one for one in tree["matrices"] if isinstance(one, dict)), {})
    return Catalogue(
        version=_version(tree.get("version")),
        format=_version(tree.get("version")),
        source=source,
        tactics=tuple(
            Tactic(id=_id(item, where), name=_text(item, "name", where))
            for item in _objects(matrix.get("tactics"), where)
        ),
        techniques=tuple(
            _technique(item, _texts(item.get("tactics")), item.get("subtechnique-of"), where)
            for item in _objects(matrix.get("techniques"), where)
        ),
        mitigations=tuple(
            _mitigation(item, _edges(item), _texts(item.get("ml-lifecycle")), where)
            for item in _objects(matrix.get("mitigations"), where)
        ),
        studies=tuple(
            CaseStudy(
                id=_id(item, where),
                name=_text(item, "name", where),
                techniques=_once(
                    step.get("technique") for step in _objects(item.get("procedure"), where)
                ),
            )
            for item in _objects(tree.get("case-studies"), where)
        ),
    )


def _format_6(tree: dict[str, Any], source: str, where: str) -> Catalogue:
    edges = _relationships(tree.get("relationships"), where)
    collection = tree.get("collection")
    content = collection.get("version") if isinstance(collection, dict) else None
    order = [target for _, target, _ in sorted(edges["sequences"], key=lambda edge: edge[2])]
    tactics = [
        Tactic(id=_id(item, where), name=_text(item, "name", where))
        for item in _objects(tree.get("tactics"), where)
    ]
    place = {ident: number for number, ident in enumerate(order)}
    return Catalogue(
        version=_version(content),
        format=_version(tree.get("format-version")),
        source=source,
        tactics=tuple(sorted(tactics, key=lambda one: place.get(one.id, len(place)))),
        techniques=tuple(
            _technique(
                item,
                _targets(edges["achieves"], _id(item, where)),
                next(iter(_targets(edges["specializes"], _id(item, where))), None),
                where,
            )
            for item in _objects(tree["techniques"], where)
        ),
        mitigations=tuple(
            _mitigation(
                item,
                {t: use for s, t, use in edges["mitigates"] if s == _id(item, where)},
                _texts(item.get("lifecycle-phases")),
                where,
            )
            for item in _objects(tree.get("mitigations"), where)
        ),
        studies=tuple(
            CaseStudy(
                id=_id(item, where),
                name=_text(item, "name", where),
                techniques=_once(_targets(edges["employs"], _id(item, where))),
            )
            for item in _objects(tree.get("case-studies"), where)
        ),
    )


def _relationships(tree: Any, where: str) -> dict[str, list[tuple[str, str, Any]]]:
    """Edges ``(source, target, note)`` by their type; grouped by source, or one flat list."""
    found: dict[str, list[tuple[str, str, Any]]] = defaultdict(list)
    groups = tree.values() if isinstance(tree, dict) else [{"": tree or []}]
    for group in groups:
        for name, items in (group or {}).items():
            for item in _objects(items, where, named=False):
                kind = str(item.get("relationship-type") or name)
                note = item.get("position", 0) if kind == "sequences" else _note(item)
                found[kind].append((str(item.get("source")), str(item.get("target")), note))
    return found


def _note(item: dict[str, Any]) -> str:
    text = item.get("use") or item.get("description") or ""
    return str(text).strip()[:_MAX_TEXT]


def _technique(item: dict[str, Any], tactics: Iterable[str], parent: Any, where: str) -> Technique:
    return Technique(
        id=_id(item, where),
        name=_text(item, "name", where),
        description=str(item.get("description") or "").strip()[:_MAX_TEXT],
        tactics=tuple(tactics),
        parent=parent if isinstance(parent, str) else None,
        maturity=str(item.get("maturity") or ""),
        platforms=_texts(item.get("platforms")),
    )


def _mitigation(
    item: dict[str, Any], edges: dict[str, str], stages: tuple[str, ...], where: str
) -> Mitigation:
    return Mitigation(
        id=_id(item, where),
        name=_text(item, "name", where),
        description=str(item.get("description") or "").strip()[:_MAX_TEXT],
        categories=_texts(item.get("category") or item.get("categories")),
        stages=stages,
        techniques=edges,
    )


def _edges(item: dict[str, Any]) -> dict[str, str]:
    listed = [*(item.get("techniques") or ()), *(item.get("ml-lifecycle") or ())]

    edges = [edge for edge in listed if isinstance(edge, dict) and "id" in edge]
    return {str(edge["id"]): _note(edge) for edge in edges}


def _checked(found: Catalogue, where: str) -> Catalogue:
    if not (found.tactics and found.techniques):
        raise DataError("the file holds no tactics or no techniques", where=where)
    ids = [one.id for one in found.tactics]
    ids += [one.id for one in found.techniques]
    ids += [one.id for one in found.mitigations]
    if len(ids) != len(set(ids)):
        raise DataError("an id occurs twice", where=where)
    known = set(ids)
    named = [(one.id, tactic) for one in found.techniques for tactic in one.tactics]
    named += [(one.id, one.parent) for one in found.techniques if one.parent]
    named += [(one.id, target) for one in found.mitigations for target in one.techniques]
    for ident, target in named:
        if target not in known:
            raise DataError(f"{ident} names {target!r}, which the file does not have", where=where)
    return found


def _objects(value: Any, where: str, *, named: bool = True) -> Iterator[dict[str, Any]]:
    """The tables of a list, or of a table by id, which then holds the id."""
    if isinstance(value, dict) and named:
        items: list[Any] = [
            {"id": key, **item} for key, item in value.items() if isinstance(item, dict)
        ]
    else:
        items = value if isinstance(value, list) else []
    if len(items) > _MAX_OBJECTS:
        raise DataError(f"more than {_MAX_OBJECTS} objects", where=where)
    yield from (item for item in items if isinstance(item, dict) and not item.get("deprecated"))


def _targets(edges: list[tuple[str, str, Any]], source: str) -> tuple[str, ...]:
    return tuple(target for origin, target, _ in edges if origin == source)


def _id(item: dict[str, Any], where: str) -> str:
    ident = item.get("id")
    if not isinstance(ident, str) or not _ID.match(ident):
        raise DataError(f"not an ATLAS id: {str(ident)[:80]!r}", where=where)
    return ident


def _text(item: dict[str, Any], key: str, where: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{item.get('id')} has no {key}", where=where)
    return value.strip()[:_MAX_TEXT]


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _once(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one for one in values if isinstance(one, str)))


def _version(value: Any) -> str:
    """A version as text; YAML reads ``2026.10`` as a number and drops the zero."""
    if isinstance(value, float):
        return f"{value:.2f}"
    return str(value if value is not None else "unknown")
