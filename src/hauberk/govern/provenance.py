"""What was made from what, as in-toto statements: dataset, transform, training, evaluation.

Each statement is made from an entry of the ledger, and from nothing else. So the one that was
signed must equal the one that the entry makes: whoever changes the entry would need the key, too.

in-toto attestation v1 (Statement, test-result v0.1), SLSA provenance v1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.core.data import SHARES
from hauberk.core.digest import digest_json
from hauberk.core.errors import DataError, Untrusted, UserError
from hauberk.core.ports import Envelope
from hauberk.govern.attest import STATEMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.core.data import Dataset
    from hauberk.core.ports import Entry, Ledger, Signer

DATASET = "https://hauberk.dev/attest/dataset/v1"
TRANSFORM = "https://hauberk.dev/attest/transform/v1"
TRAINING = "https://slsa.dev/provenance/v1"
EVALUATION = "https://in-toto.io/attestation/test-result/v0.1"
_BUILD = "https://hauberk.dev/build"
_RESULTS = {"pass": "PASSED", "fail": "FAILED"}


def dataset_body(data: Dataset, *, source: str) -> dict[str, Any]:
    """What the ledger keeps of a dataset; ``parts`` has size and digest of each split."""
    parts = {}
    for name in SHARES:
        where = data.indices(name)
        if len(where):
            parts[name] = {"samples": len(where), "digest": data.take(where).digest}
    return {
        "name": data.name,
        "source": source[:1000],
        "samples": len(data),
        "classes": data.classes,
        "shape": list(data.shape),
        "bounds": [data.bounds.low, data.bounds.high],
        "parts": parts,
    }


def dataset_statement(digest: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Where a dataset came from and what it is."""
    told = {key: value for key, value in body.items() if key != "parts"}
    return _statement([("dataset", digest)], DATASET, told)


def transform_statement(digest: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The splits that were drawn from a dataset.

    Raises:
        DataError: if the entry's body names none.
    """
    try:
        subjects = [(name, part["digest"]) for name, part in sorted(body["parts"].items())]
        sizes = {name: part["samples"] for name, part in body["parts"].items()}
    except (KeyError, TypeError, AttributeError):
        raise DataError("the entry names no splits", where="dataset") from None
    if not subjects:
        raise DataError("the entry names no splits", where="dataset")
    materials = [_resource("dataset", digest)]
    return _statement(
        subjects, TRANSFORM, {"operation": "split", "materials": materials, "samples": sizes}
    )


def training_statement(digest: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """How a model was made: from which dataset and parent, by which method, with which seed.

    A model that an operator brought along has the build type ``import``: its training is not
    known here, and nothing is said of it.

    Raises:
        DataError: if the entry's body lacks a part.
    """
    try:
        made = "training" if "method" in body["origin"] else "import"
        sources = [_resource("dataset", body["dataset"])]
        sources += [_resource("parent", body["parent"])] if body["parent"] else []
        parameters = {key: body[key] for key in ("name", "role", "architecture", "origin")}
        subjects = [("model.onnx", digest), ("model.safetensors", body["weights"])]
    except (KeyError, TypeError, AttributeError):
        raise DataError("the entry lacks a part", where="model") from None
    predicate = {
        "buildDefinition": {
            "buildType": f"{_BUILD}/{made}/v1",
            "externalParameters": parameters,
            "resolvedDependencies": sources,
        },
        "runDetails": {"builder": {"id": f"{_BUILD}r/local/v1"}},
    }
    return _statement(subjects, TRAINING, predicate)


def evaluation_statement(digest: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the gate decided about a model, and the digests of all that it decided by.

    Raises:
        DataError: if the entry's body is not a decision.
    """
    try:
        rows: dict[str, list[str]] = {"pass": [], "fail": [], "unknown": []}
        for row in body["rows"]:
            if row["binding"]:
                rows[row["verdict"]].append(row["rule"])
        held = [_resource("policy", body["policy"]), _resource("decision", digest_json(body))]
        held += [_resource("evidence", one) for one in body["evidence"]]
        result = _RESULTS.get(body["verdict"], "WARNED")
    except (KeyError, TypeError, AttributeError):
        raise DataError("the entry is not a decision", where="decision") from None
    predicate = {
        "result": result,
        "configuration": held,
        "passedTests": rows["pass"],
        "warnedTests": rows["unknown"],
        "failedTests": rows["fail"],
    }
    return _statement([("model.onnx", digest)], EVALUATION, predicate)


def attest(ledger: Ledger, signer: Signer, statement: dict[str, Any], *, at: float) -> Entry:
    """Sign a statement and enter it under its first subject; again, it changes nothing.

    Raises:
        ConfigError: if the signer has no private key.
    """
    digest = "sha256:" + statement["subject"][0]["digest"]["sha256"]
    return ledger.append(
        "signature",
        digest,
        {"envelope": msgspec.to_builtins(signer.sign(statement))},
        at=at,
        key=f"attest:{signer.key_id}:{digest_json(statement)}",
    )


def unattested(ledger: Ledger, signer: Signer, statement: dict[str, Any]) -> str:
    """Why no trusted key signed exactly this statement; empty if one did."""
    digest = "sha256:" + statement["subject"][0]["digest"]["sha256"]
    reason = "nobody signed a statement of it"
    for entry in reversed(ledger.entries(kind="signature", subject=digest)):
        try:
            signed = signer.verify(envelope_of(entry))
        except Untrusted as error:
            reason = f"ledger entry {entry.index}: {error.what.removeprefix('HB-S002: ')}"
            continue
        if signed == statement:
            return ""
        if signed.get("predicateType") == statement["predicateType"]:
            reason = f"ledger entry {entry.index}: the signed statement says otherwise"
    return reason


def envelope_of(entry: Entry) -> Envelope:
    """The envelope in an entry of kind ``signature``.

    Raises:
        Untrusted: if it holds none.
    """
    try:
        return msgspec.convert(entry.body.get("envelope"), Envelope, strict=True)
    except msgspec.ValidationError:
        raise Untrusted(f"HB-S002: ledger entry {entry.index} holds no envelope") from None


def _statement(
    subjects: list[tuple[str, str]], kind: str, predicate: dict[str, Any]
) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": [_resource(name, digest) for name, digest in subjects],
        "predicateType": kind,
        "predicate": predicate,
    }


def _resource(name: str, digest: str) -> dict[str, Any]:
    if not isinstance(digest, str):
        raise UserError(f"no digest of the {name}", where="provenance")
    return {"name": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
