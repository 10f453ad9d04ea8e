"""The bill of materials of a model as SPDX 3.0.1 JSON-LD, with the AI and Dataset profiles.

The properties that those profiles make mandatory, and that nobody declared, say NOASSERTION: that
is the specification's own word for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.core.digest import digest_json, short
from hauberk.govern.bom import digest_or_text

if TYPE_CHECKING:
    from hauberk.govern.bom_facts import Facts, Package

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_INFO = "_:creation"
_UNKNOWN = "NOASSERTION"


def spdx(facts: Facts, *, version: str) -> dict[str, Any]:
    """The document of one model; ``version`` is that of this program."""
    base = f"urn:hauberk:spdx:{short(facts.digest)}"
    agent, tool, model = f"{base}:supplier", f"{base}:tool", f"{base}:model"
    license_id = f"{base}:license"
    data = f"{base}:dataset"
    elements: list[dict[str, Any]] = [
        _element("Agent", agent, facts.declared.supplier or _UNKNOWN),
        _element("Tool", tool, f"hauberk {version}"),
        {
            **_element("simplelicensing_LicenseExpression", license_id, "license of the model"),
            "simplelicensing_licenseExpression": facts.declared.license or _UNKNOWN,
        },
        _model(facts, model, agent),
    ]
    if facts.dataset:
        elements.append(_data(facts, data, agent))
        elements += [_relation(base, model, kind, [data]) for kind in ("trainedOn", "testedOn")]
    libraries = {one.name: f"{base}:library:{one.name}" for one in facts.packages}
    elements += [_library(one, libraries[one.name]) for one in facts.packages]
    if libraries:
        elements.append(_relation(base, model, "dependsOn", sorted(libraries.values())))
    for one in facts.packages:
        needs = sorted(libraries[name] for name in one.requires if name in libraries)
        if needs:
            elements.append(_relation(base, libraries[one.name], "dependsOn", needs))
    for kind in ("hasConcludedLicense", "hasDeclaredLicense"):
        elements.append(_relation(base, model, kind, [license_id]))
    info = {
        "type": "CreationInfo",
        "@id": _INFO,
        "specVersion": "3.0.1",
        "created": facts.at,
        "createdBy": [agent],
        "createdUsing": [tool],
    }
    document = {
        **_element("SpdxDocument", f"{base}:document:{digest_json(elements)[7:23]}", _name(facts)),
        "profileConformance": ["core", "software", "ai", "dataset", "simpleLicensing"],
        "rootElement": [model],
        "element": [one["spdxId"] for one in elements],
    }
    return {"@context": CONTEXT, "@graph": [info, document, *elements]}


def _name(facts: Facts) -> str:
    return str(facts.model.body.get("name", "model"))


def _element(kind: str, ref: str, name: str) -> dict[str, Any]:
    return {"type": kind, "spdxId": ref, "creationInfo": _INFO, "name": name}


def _hash(digest: str) -> list[dict[str, str]]:
    value = digest.removeprefix("sha256:")
    return [{"type": "Hash", "algorithm": "sha256", "hashValue": value}]


def _pair(key: str, value: Any) -> dict[str, str]:
    return {"type": "DictionaryEntry", "key": key, "value": digest_or_text(value)}


def _model(facts: Facts, ref: str, agent: str) -> dict[str, Any]:
    body = facts.model.body
    origin, architecture = body.get("origin") or {}, body.get("architecture") or {}
    metrics = [
        _pair(
            f"{row['rule']} eps={row['eps']!r}" if row.get("eps") else row["rule"], row["measured"]
        )
        for row in facts.rows
    ]
    told: dict[str, Any] = {
        **_element("ai_AIPackage", ref, _name(facts)),
        "verifiedUsing": _hash(facts.digest),
        "suppliedBy": agent,
        "releaseTime": facts.made_at,
        "builtTime": facts.made_at,
        "software_packageVersion": short(facts.digest),
        "software_downloadLocation": f"urn:hauberk:blob:{facts.digest}",
        "software_primaryPurpose": "model",
        "ai_typeOfModel": ["supervised", str(architecture.get("name", ""))],
        "ai_informationAboutTraining": f"method {origin.get('method', 'not known here')}",
        "ai_hyperparameter": [_pair(key, value) for key, value in sorted(origin.items())],
        "ai_limitation": "Robust only to the attacks, norm and radius that were tried.",
    }
    if metrics:
        told["ai_metric"] = metrics
    if facts.declared.use:
        told["ai_informationAboutApplication"] = facts.declared.use
    return told


def _data(facts: Facts, ref: str, agent: str) -> dict[str, Any]:
    assert facts.dataset is not None
    body = facts.dataset.body
    return {
        **_element("dataset_DatasetPackage", ref, str(body.get("name"))),
        "verifiedUsing": _hash(facts.dataset.subject),
        "originatedBy": [agent],
        "releaseTime": facts.made_at,
        "builtTime": facts.made_at,
        "software_downloadLocation": f"urn:hauberk:data:{facts.dataset.subject}",
        "software_primaryPurpose": "data",
        "dataset_datasetType": ["image" if len(body.get("shape") or ()) == 3 else "numeric"],
        "dataset_datasetSize": body.get("samples"),
        "dataset_intendedUse": "training, calibration and evaluation",
        "dataset_dataPreprocessing": [f"split into {', '.join(sorted(body.get('parts') or {}))}"],
    }


def _library(package: Package, ref: str) -> dict[str, Any]:
    return {
        **_element("software_Package", ref, package.name),
        "software_packageVersion": package.version,
        "software_packageUrl": package.purl,
        "software_primaryPurpose": "library",
    }


def _relation(base: str, source: str, kind: str, targets: list[str]) -> dict[str, Any]:
    name = digest_json([source, kind, targets])[7:23]
    return {
        "type": "Relationship",
        "spdxId": f"{base}:relation:{name}",
        "creationInfo": _INFO,
        "from": source,
        "relationshipType": kind,
        "to": targets,
    }
