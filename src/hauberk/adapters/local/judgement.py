"""Judging a candidate on held-out data: several attacks, several radii, a frozen policy."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hauberk.adapters.local.trial import Trial, Weights, carried_out, held_out
from hauberk.adapters.models import onnx
from hauberk.core.digest import digest_json
from hauberk.evaluate.compare import compare
from hauberk.evaluate.masking import masking
from hauberk.govern.policy import Policy
from hauberk.govern.provenance import evaluation_statement
from hauberk.govern.report import WORST

if TYPE_CHECKING:
    from hauberk.adapters.local.shop import Shop
    from hauberk.core.ports import Job
    from hauberk.evaluate.result import Robustness


def judgement(shop: Shop, job: Job) -> dict[str, Any]:
    """Measure both models on the same samples, decide, and enter all of it into the ledger.

    The result holds the ``verdict``, the digests of ``policy``, ``decision`` and ``evidence``, and
    the ``figures`` for people: per attack and eps, ``[right, n]`` before and after.
    """
    gate, threat = shop.spec.gate, shop.threat
    primary, candidate = job.inputs["primary"], job.inputs["candidate"]
    trial = Trial(
        models=tuple(_weights(shop, digest) for digest in (primary, candidate)),
        data=shop.spec.data.source,
        norm=threat.norm,
        eps=threat.eps,
        radii=tuple(factor * threat.eps for factor in gate.eps_factors),
        restarts=gate.restarts,
        samples=gate.samples,
        seed=job.seed,
    )
    before, after = carried_out(trial, len(held_out(shop.data, gate.samples)))
    probe = shop.data.split("validation").x[:64]
    same = onnx.compare(shop.model(candidate).module, shop.store.get(candidate), probe)
    evidence = (
        *after.evidence(
            candidate, clean_accuracy=gate.clean_accuracy, robust_accuracy=gate.robust_accuracy
        ),
        *compare(
            before,
            after,
            subject=candidate,
            clean_drop=gate.clean_drop,
            robust_gain=gate.robust_gain,
        ),
        masking(after, candidate),
        same,
    )
    shop.enter((*before.evidence(primary), *evidence), scope=job.id)
    policy = Policy.from_gate(gate, eps=threat.eps)
    decision = policy.decide(evidence, at=shop.clock(), subject=candidate)
    at, figures, examples = shop.clock(), _figures(before, after), _examples(shop, before)
    # What the ledger holds counts: killed after this line, the job has decided already.
    kept = shop.ledger.append(
        "decision", candidate, decision.body(), at=at, key=f"{job.id}:decision"
    ).body
    shop.attest(evaluation_statement(candidate, kept))
    body = {"figures": figures, "examples": examples, "decision": digest_json(kept)}
    shop.ledger.append("evidence", candidate, body, at=at, key=f"{job.id}:figures")
    return {
        "verdict": kept["verdict"],
        "policy": kept["policy"],
        "decision": digest_json(kept),
        "evidence": list(kept["evidence"]),
        "reason": decision.summary,
        "figures": figures,
        "examples": examples,
    }


def _weights(shop: Shop, digest: str) -> Weights:
    kept = shop.weights(digest)
    return Weights(path=str(shop.store.path(kept)), digest=kept)


def _figures(before: Robustness, after: Robustness) -> list[dict[str, Any]]:
    """Right answers, before and after: untouched, and under each attack at each eps."""
    n = before.n
    rows: list[dict[str, Any]] = [
        {
            "attack": "clean",
            "eps": 0.0,
            "n": n,
            "before": int(before.clean.sum()),
            "after": int(after.clean.sum()),
        }
    ]
    for was, now in zip(before.attacks, after.attacks, strict=True):
        for place, eps in enumerate(before.eps):
            right = {
                "before": int(was.correct[place].sum()),
                "after": int(now.correct[place].sum()),
            }
            rows.append({"attack": was.name, "eps": eps, "n": n, **right})
    for eps in before.eps:
        right = {"before": int(before.worst(eps).sum()), "after": int(after.worst(eps).sum())}
        rows.append({"attack": WORST, "eps": eps, "n": n, **right})
    return rows


def _examples(shop: Shop, result: Robustness) -> str | None:
    """A few (clean, adversarial) pairs as an npz in the store; None where nothing fell."""
    if not result.examples:
        return None
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        clean=np.stack([example.clean for example in result.examples]),
        adversarial=np.stack([example.adversarial for example in result.examples]),
        label=np.array([example.label for example in result.examples]),
        answer=np.array([example.answer for example in result.examples]),
    )
    return shop.store.put(buffer.getvalue())
