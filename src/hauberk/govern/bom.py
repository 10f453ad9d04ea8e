"""The bill of materials of a model as CycloneDX 1.6 JSON, with its model card.

ECMA-424 (CycloneDX), machine-learning profile. Only what was declared or measured goes in; what is
missing is left out and :mod:`hauberk.govern.bom_check` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from hauberk.core.digest import digest_json, short
from hauberk.core.rule import RULES

if TYPE_CHECKING:
    from hauberk.core.ports import Entry
    from hauberk.govern.bom_facts import Facts, Package

BOM = "https://cyclonedx.org/bom"
_LIMITS = (
    "Robustness holds for the attacks, the norm and the radius that were tried; stronger attacks "
    "may do better.",
    "Figures hold for data like the test split; drift of the inputs voids them.",
)
_RISK = {
    "name": "evasion: inputs altered so that the answer is wrong",
    "mitigationStrategy": "adversarial training, a robust twin that contains attacks, monitoring",
}


def bom(facts: Facts, *, version: str) -> dict[str, Any]:
    """The bill of one model; ``version`` is that of this program."""
    system = f"service:{_name(facts)}"
    model, data = f"model:{facts.digest}", f"data:{facts.model.body.get('dataset')}"
    libraries = [one.purl for one in facts.packages]
    depends = [model, *libraries]
    result: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": facts.at,
            "lifecycles": [{"phase": "operations" if facts.in_service else "post-build"}],
            "tools": {
                "components": [{"type": "application", "name": "hauberk", "version": version}]
            },
            "component": {
                "type": "application",
                "bom-ref": system,
                "name": _name(facts),
                "version": short(facts.digest),
                "description": "A guarded model service.",
                **_supplier(facts),
            },
            **_supplier(facts),
        },
        "components": [_model(facts, model, data)],
        "dependencies": [
            {"ref": system, "dependsOn": depends},
            {"ref": model, "dependsOn": [data] if facts.dataset else []},
        ],
    }
    if facts.dataset:
        result["components"].append(_data(facts.dataset, data))
        result["dependencies"].append({"ref": data, "dependsOn": []})
    names = {one.name: one.purl for one in facts.packages}
    for one in facts.packages:
        result["components"].append(_library(one))
        needs = sorted({names[name] for name in one.requires if name in names})
        result["dependencies"].append({"ref": one.purl, "dependsOn": needs})
    result["serialNumber"] = uuid5(NAMESPACE_URL, digest_json(result)).urn
    return result


def _name(facts: Facts) -> str:
    return str(facts.model.body.get("name", "model"))


def _supplier(facts: Facts) -> dict[str, Any]:
    return {"supplier": {"name": facts.declared.supplier}} if facts.declared.supplier else {}


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}]


def _model(facts: Facts, ref: str, data: str) -> dict[str, Any]:
    body = facts.model.body
    architecture = body.get("architecture") or {}
    parent = body.get("parent")
    weights, origin = str(body.get("weights", "")), body.get("origin") or {}
    told: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": _name(facts),
        "version": short(facts.digest),
        "description": f"{architecture.get('name')}, served as {body.get('role')}",
        "hashes": _hashes(facts.digest),
        **_supplier(facts),
        **_licenses(facts.declared.license),
        "externalReferences": _references(facts),
        "modelCard": _card(facts, data, architecture),
        "properties": [
            {"name": "hauberk:role", "value": str(body.get("role"))},
            {"name": "hauberk:format", "value": "onnx"},
            {"name": "hauberk:entered", "value": facts.made_at},
            *(_property(f"hauberk:origin:{key}", value) for key, value in sorted(origin.items())),
        ],
        "components": [
            {
                "type": "file",
                "bom-ref": f"weights:{weights}",
                "name": "model.safetensors",
                "hashes": _hashes(weights),
            }
        ],
    }
    if isinstance(parent, str):
        told["pedigree"] = {
            "ancestors": [
                {
                    "type": "machine-learning-model",
                    "name": _name(facts),
                    "version": short(parent),
                    "hashes": _hashes(parent),
                }
            ]
        }
    return told


def _property(name: str, value: Any) -> dict[str, str]:
    return {"name": name, "value": value if isinstance(value, str) else digest_or_text(value)}


def digest_or_text(value: Any) -> str:
    """A plain value as text; a long one by its digest."""
    text = str(value)
    return text if len(text) <= 200 else digest_json(value)


def _card(facts: Facts, data: str, architecture: dict[str, Any]) -> dict[str, Any]:
    body = facts.dataset.body if facts.dataset else {}
    shape = "x".join(map(str, body.get("shape", ()))) or "?"
    card: dict[str, Any] = {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "classification",
            "architectureFamily": "neural network",
            "modelArchitecture": str(architecture.get("name", "")),
            "inputs": [{"format": f"float32 (batch, {shape})"}],
            "outputs": [{"format": f"float32 logits (batch, {body.get('classes', '?')})"}],
            **({"datasets": [{"ref": data}]} if facts.dataset else {}),
        },
        "considerations": {
            "technicalLimitations": list(_LIMITS),
            "ethicalConsiderations": [dict(_RISK)],
            **({"useCases": [facts.declared.use]} if facts.declared.use else {}),
        },
    }
    if facts.rows:
        metrics = [_metric(row) for row in facts.rows]
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card


def _metric(row: dict[str, Any]) -> dict[str, Any]:
    rule = RULES.get(str(row.get("rule")))
    told: dict[str, Any] = {
        "type": f"{row.get('rule')} {rule.title if rule else ''}".strip(),
        "value": repr(row["measured"]),
    }
    if row.get("eps") is not None:
        told["slice"] = f"eps={row['eps']!r}"
    if row.get("interval"):
        low, high = row["interval"]
        told["confidenceInterval"] = {"lowerBound": repr(low), "upperBound": repr(high)}
    return told


def _references(facts: Facts) -> list[dict[str, Any]]:
    """Each entry of the ledger about the model, by the digest that a proof of it names."""
    kinds = (
        ("evidence", facts.evidence),
        ("attestation", facts.signatures),
        ("quality-metrics", (facts.decision,) if facts.decision else ()),
        ("log", facts.deployments),
    )
    return [
        {"type": kind, "url": f"urn:hauberk:ledger:{entry.index}", "hashes": _hashes(entry.digest)}
        for kind, entries in kinds
        for entry in entries
    ]


def _data(entry: Entry, ref: str) -> dict[str, Any]:
    body = entry.body
    parts = body.get("parts") or {}
    sizes = ", ".join(f"{name} {part['samples']}" for name, part in sorted(parts.items()))
    return {
        "type": "data",
        "bom-ref": ref,
        "name": str(body.get("name")),
        "version": short(entry.subject),
        "description": f"{body.get('samples')} samples, {body.get('classes')} classes ({sizes})",
        # Over shapes, bounds, inputs and labels, since a dataset need not be one file.
        "hashes": _hashes(entry.subject),
        "data": [
            {
                "type": "dataset",
                "name": str(body.get("name")),
                "contents": {
                    "properties": [{"name": "hauberk:source", "value": str(body.get("source"))}]
                },
            }
        ],
        "properties": [
            {"name": f"hauberk:split:{name}", "value": str(part["digest"])}
            for name, part in sorted(parts.items())
        ],
    }


def _library(package: Package) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        **_licenses(package.license),
    }


def _licenses(name: str) -> dict[str, Any]:
    # By name, since an id must be one of SPDX's list, which the declaring side may not keep to.
    return {"licenses": [{"license": {"name": name}}]} if name else {}
