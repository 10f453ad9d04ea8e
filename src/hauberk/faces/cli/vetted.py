"""What vetting found, in each form of output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Severity
from hauberk.vet.finding import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hauberk.core.evidence import Evidence
    from hauberk.vet.finding import Finding, Vetted
    from hauberk.vet.table import Apart


def plain(file: Vetted) -> dict[str, Any]:
    """One file as JSON values."""
    told: dict[str, Any] = {
        "path": file.path,
        "kind": file.kind,
        "verdict": file.outcome.value,
        "coverage": file.coverage.value,
        "findings": [_finding(one) for one in file.findings],
    }
    if file.card is not None:
        rows = sorted(file.apart, key=lambda one: (one.part, one.line, one.rule))
        told["quarantined"] = [_apart(one) for one in rows]
        told["card"] = file.card
    return told


def _apart(row: Apart) -> dict[str, Any]:
    told: dict[str, Any] = {"line": row.line, "rule": row.rule, "reason": row.reason}
    return {"part": row.part, **told} if row.part else told


def _finding(one: Finding) -> dict[str, str]:
    told = {
        "rule": one.rule,
        "severity": one.severity.value,
        "message": one.message,
        "where": one.where,
    }
    return {**told, "excused": one.excused} if one.excused else told


def table(found: Iterable[Vetted]) -> str:
    """One line for each file, and one for each finding below it."""
    from hauberk.govern.text import columns, one_line

    lines = columns(
        [
            ("FILE", "FORMAT", "READ", "VERDICT"),
            *((one.path, one.kind, one.coverage.value, _shown(one.outcome)) for one in found),
        ]
    )
    told = [
        f"  {file.path}: {one.rule} {one.severity.value}: {one.message} ({one.where})"
        + (f" [{one.excused}]" if one.excused else "")
        for file in found
        for one in file.findings
    ]
    return "\n".join([*lines, *([""] if told else []), *map(one_line, told)]) + "\n"


def evidence(file: Vetted) -> Iterator[Evidence]:
    """What was found as evidence; a clean file is one pass."""
    from hauberk.core.evidence import Evidence, Verdict
    from hauberk.core.rule import RULES

    if file.outcome is Outcome.CLEAN:
        yield Evidence(
            rule="HB-V001", subject=file.path, verdict=Verdict.PASS, message="clean", value=1.0
        )
        return
    for one in file.findings:
        unread = one.rule in {"HB-V003", "HB-V202"}
        if one.excused or one.severity in {Severity.INFO, Severity.LOW}:
            continue
        yield Evidence(
            rule=one.rule,
            subject=file.path,
            verdict=Verdict.UNKNOWN if unread else Verdict.FAIL,
            message=f"{one.message} ({one.where})",
            value=None if unread else 0.0,
            severity=one.severity,
            atlas=RULES[one.rule].atlas,
        )


def summary(found: Iterable[Vetted]) -> str:
    """How many of which outcome: ``1 malicious, 2 for review, 3 clean``."""
    outcomes = [one.outcome for one in found]
    words = {Outcome.MALICIOUS: "malicious", Outcome.REVIEW: "for review", Outcome.CLEAN: "clean"}
    told = [f"{outcomes.count(o)} {w}" for o, w in words.items() if outcomes.count(o)]
    excused = sum(bool(one.excused) for file in found for one in file.findings)
    return ", ".join([*told, *([f"{excused} findings excused"] if excused else [])])


def _shown(outcome: Outcome) -> str:
    return outcome.value if outcome is Outcome.CLEAN else outcome.value.upper()
