"""Is a bill of materials complete, and how much does it say? Fields that must be there, by kind.

The score follows the clusters of the G7's minimum elements of an SBOM for AI (2025): metadata,
system, models, datasets, key performance indicators, infrastructure, security. The wording of the
elements is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Bom = dict[str, Any]
TOP = (
    *("bomFormat", "specVersion", "serialNumber", "version", "components", "dependencies"),
    *("metadata.timestamp", "metadata.lifecycles", "metadata.tools.components"),
    *("metadata.component.type", "metadata.component.name", "metadata.component.version"),
    "metadata.component.bom-ref",
)
KINDS: dict[str, tuple[str, ...]] = {
    "machine-learning-model": (
        *("bom-ref", "name", "version", "description", "hashes", "externalReferences"),
        *("components", "properties"),
        *("modelCard.modelParameters.approach.type", "modelCard.modelParameters.task"),
        *("modelCard.modelParameters.modelArchitecture", "modelCard.modelParameters.datasets"),
        *("modelCard.modelParameters.inputs", "modelCard.modelParameters.outputs"),
        "modelCard.quantitativeAnalysis.performanceMetrics",
        "modelCard.considerations.technicalLimitations",
        "modelCard.considerations.ethicalConsiderations",
    ),
    "data": ("bom-ref", "name", "version", "description", "hashes", "data", "properties"),
    "library": ("bom-ref", "name", "version", "purl"),
    "file": ("bom-ref", "name", "hashes"),
}


class Element(NamedTuple):
    """One element of a cluster: whether a bill has it, and how it gets there."""

    cluster: str
    name: str
    there: Callable[[Bom], bool]
    tip: str


def missing(bom: Bom) -> list[str]:
    """Paths of the required fields that are not there, or empty; sorted.

    A reference that leads nowhere, and a component on which nothing is said in ``dependencies``,
    count as missing too.
    """
    found = [path for path in TOP if _at(bom, path) in _EMPTY]
    if bom.get("bomFormat") not in {None, "CycloneDX"} or bom.get("specVersion") not in {
        None,
        "1.6",
    }:
        found.append("specVersion 1.6 of CycloneDX")
    parts = list(_components(bom))
    kinds = {one.get("type") for _, one in parts}
    wanted = ("machine-learning-model", "data", "library")
    found += [f"a component of type {kind}" for kind in wanted if kind not in kinds]
    for where, one in parts:
        paths = KINDS.get(str(one.get("type")), ("type", "name"))
        found += [f"{where}.{path}" for path in paths if _at(one, path) in _EMPTY]
    return sorted({*found, *_loose(bom, parts)})


def score(bom: Bom) -> dict[str, tuple[int, int]]:
    """Per cluster how many elements the bill has, of how many."""
    result: dict[str, tuple[int, int]] = {}
    for element in ELEMENTS:
        had, of = result.get(element.cluster, (0, 0))
        result[element.cluster] = had + element.there(bom), of + 1
    return result


def tips(bom: Bom) -> list[str]:
    """What would raise the score, element by element."""
    return [f"{one.cluster}: {one.name}: {one.tip}" for one in ELEMENTS if not one.there(bom)]


_EMPTY: tuple[Any, ...] = (None, "", [], {})


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(tree, dict):
            return None
        tree = tree.get(key)
    return tree


def _components(bom: Bom) -> Iterator[tuple[str, Bom]]:
    listed = bom.get("components")
    for number, one in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(one, dict):
            continue
        where = f"components[{number}]"
        yield where, one
        for inner, part in _components(one):
            yield f"{where}.{inner}", part


def _loose(bom: Bom, parts: list[tuple[str, Bom]]) -> Iterator[str]:
    refs = {str(one["bom-ref"]) for _, one in parts if one.get("bom-ref")}
    refs.add(str(_at(bom, "metadata.component.bom-ref")))
    listed = bom.get("dependencies")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    told = {str(row.get("ref")) for row in rows}
    named = {str(ref) for row in rows for ref in row.get("dependsOn") or ()}
    for where, one in parts:
        ref = one.get("bom-ref")
        if one.get("type") != "file" and ref and str(ref) not in told:
            yield f"dependencies of {where}"
        for data in _at(one, "modelCard.modelParameters.datasets") or ():
            if isinstance(data, dict) and "ref" in data:
                named.add(str(data["ref"]))
    if str(_at(bom, "metadata.component.bom-ref")) not in told:
        yield "dependencies of metadata.component"
    yield from (f"the component {ref}" for ref in sorted((named | told) - refs))


def _of(kind: str) -> Callable[[Bom], list[Bom]]:
    return lambda bom: [one for _, one in _components(bom) if one.get("type") == kind]


def _top(path: str) -> Callable[[Bom], bool]:
    return lambda bom: _at(bom, path) not in _EMPTY


def _each(kind: str, path: str) -> Callable[[Bom], bool]:
    def there(bom: Bom) -> bool:
        found = _of(kind)(bom)
        return bool(found) and all(_at(one, path) not in _EMPTY for one in found)

    return there


def _refers(kind: str) -> Callable[[Bom], bool]:
    def there(bom: Bom) -> bool:
        models = _of("machine-learning-model")(bom)
        return any(
            reference.get("type") == kind
            for one in models
            for reference in one.get("externalReferences") or ()
        )

    return there


_MODEL, _CARD = "machine-learning-model", "modelCard.modelParameters"
ELEMENTS = (
    Element("metadata", "author", _top("metadata.supplier.name"), "give --supplier"),
    Element("metadata", "time", _top("metadata.timestamp"), "make it from the ledger"),
    Element("metadata", "tool", _top("metadata.tools.components"), "make it with `hauberk bom`"),
    Element("metadata", "lifecycle", _top("metadata.lifecycles"), "make it with `hauberk bom`"),
    Element("metadata", "identifier", _top("serialNumber"), "make it with `hauberk bom`"),
    Element("metadata", "relations", _top("dependencies"), "make it with `hauberk bom`"),
    Element("system", "name", _top("metadata.component.name"), "set model.name"),
    Element("system", "version", _top("metadata.component.version"), "register the model"),
    Element("system", "producer", _top("metadata.component.supplier.name"), "give --supplier"),
    Element(
        "system", "intended use", _each(_MODEL, "modelCard.considerations.useCases"), "give --use"
    ),
    Element("models", "name", _each(_MODEL, "name"), "set model.name"),
    Element("models", "hash", _each(_MODEL, "hashes"), "register the model"),
    Element("models", "architecture", _each(_MODEL, f"{_CARD}.modelArchitecture"), "declare it"),
    Element("models", "inputs", _each(_MODEL, f"{_CARD}.inputs"), "register the model"),
    Element("models", "outputs", _each(_MODEL, f"{_CARD}.outputs"), "register the model"),
    Element("models", "training", _each(_MODEL, "properties"), "train with `hauberk harden`"),
    Element("models", "producer", _each(_MODEL, "supplier.name"), "give --supplier"),
    Element("models", "licence", _each(_MODEL, "licenses"), "give --license"),
    Element(
        "models",
        "limits",
        _each(_MODEL, "modelCard.considerations.technicalLimitations"),
        "state them",
    ),
    Element("datasets", "name", _each("data", "name"), "register with data.source set"),
    Element("datasets", "hash", _each("data", "hashes"), "register with data.source set"),
    Element("datasets", "origin", _each("data", "data"), "register with data.source set"),
    Element("datasets", "splits", _each("data", "properties"), "register with data.source set"),
    Element("datasets", "relation", _each(_MODEL, f"{_CARD}.datasets"), "train on entered data"),
    Element("datasets", "licence", _each("data", "licenses"), "state it where the data is kept"),
    Element(
        "indicators",
        "performance",
        _each(_MODEL, "modelCard.quantitativeAnalysis.performanceMetrics"),
        "judge the model: `hauberk gate`",
    ),
    Element(
        "indicators", "decision", _refers("quality-metrics"), "judge the model: `hauberk gate`"
    ),
    Element("infrastructure", "libraries", _each("library", "version"), "make it where it runs"),
    Element("infrastructure", "identifiers", _each("library", "purl"), "make it where it runs"),
    Element("infrastructure", "operation", _refers("log"), "serve it: `hauberk serve`"),
    Element("security", "evidence", _refers("evidence"), "judge the model: `hauberk gate`"),
    Element("security", "attestation", _refers("attestation"), "register it: it is signed then"),
    Element(
        "security",
        "risks",
        _each(_MODEL, "modelCard.considerations.ethicalConsiderations"),
        "state them",
    ),
)
