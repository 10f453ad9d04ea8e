"""Evidence as SARIF 2.1.0, the format in which code hosts read findings (OASIS, 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hauberk.core.digest import digest_json
from hauberk.core.evidence import Severity, Verdict
from hauberk.core.rule import RULES
from hauberk.govern.rows import row
from hauberk.govern.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hauberk.core.evidence import Evidence

_LEVELS = {
    Severity.INFO: "note",
    Severity.LOW: "note",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "error",
}


def sarif(evidence: Sequence[Evidence]) -> dict[str, Any]:
    """One run as a tree of JSON values.

    Failures are results of kind ``fail``. What was not run or stayed unknown is a result of kind
    ``open`` and a warning of the tool, and the run then counts as unsuccessful. Passes are left
    out, since code hosts show every result as an alert.
    """
    findings = [one for one in evidence if row(one).finding or row(one).status == "waived"]
    open_ones = [one for one in findings if row(one).status not in {"FAIL", "waived"}]
    codes = sorted({one.rule for one in findings})
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "hauberk", "rules": [_rule(code) for code in codes]}},
                "invocations": [
                    {
                        "executionSuccessful": not open_ones,
                        "toolExecutionNotifications": [_warning(one) for one in open_ones],
                    }
                ],
                "results": [_result(one, codes.index(one.rule)) for one in findings],
            }
        ],
    }


def _rule(code: str) -> dict[str, Any]:
    rule = RULES.get(code)
    if rule is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.text},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _warning(evidence: Evidence) -> dict[str, Any]:
    shown = row(evidence)
    text = f"{shown.status.lower()}: {shown.claim}: {one_line(evidence.message)}"
    return {
        "level": "warning",
        "message": {"text": text},
        "associatedRule": {"id": evidence.rule},
    }


def _result(evidence: Evidence, index: int) -> dict[str, Any]:
    shown = row(evidence)
    failed = evidence.verdict is Verdict.FAIL
    waiver = evidence.spec.get("waiver") if shown.status == "waived" else None
    text = f"{shown.claim}: {shown.measured}, limit {shown.limit}. {one_line(evidence.message)}"
    return {
        "ruleId": evidence.rule,
        "ruleIndex": index,
        "kind": "fail" if failed else "open",
        "level": _LEVELS[evidence.severity] if failed else "none",
        "message": {"text": text},
        "locations": [
            {"physicalLocation": {"artifactLocation": {"uri": quote(one_line(evidence.subject))}}}
        ],
        "partialFingerprints": {
            "hauberk/v1": digest_json([evidence.rule, evidence.subject, shown.claim])
        },
        "properties": {"tags": list(evidence.atlas)},
        **(
            {"suppressions": [{"kind": "external", "justification": one_line(str(waiver))}]}
            if waiver
            else {}
        ),
    }
