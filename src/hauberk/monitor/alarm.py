"""Alarm: what a monitor says when a rule no longer holds, at the record that showed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hauberk.core.record import Record

_SHOWN = 80


def alarm(
    code: str,
    record: Record,
    *,
    value: float,
    limit: float,
    message: str,
    interval: tuple[float, float] | None = None,
    spec: Mapping[str, Any],
) -> Evidence:
    """Evidence that a rule fails for the model that answered, with the record's place."""
    rule = RULES[code]
    return Evidence(
        rule=rule.code,
        subject=record.digest,
        verdict=Verdict.FAIL,
        severity=rule.severity,
        atlas=rule.atlas,
        value=value,
        limit=limit,
        interval=interval,
        message=message,
        spec={**spec, "seq": record.seq, "at": record.at},
    )


def whom(name: str, record: Record) -> tuple[str, dict[str, Any]]:
    """Of whom an account is, one client or all of a tenant's: in words, and for the evidence."""
    kind, _, rest = name.partition("/")
    whose = record.principal[:_SHOWN] if kind == "client" else rest[:_SHOWN]
    return f"the {kind} {whose!r}", {
        "scope": kind,
        "whose": whose,
        "tenant": record.tenant[:_SHOWN],
        "action": "step-up",
    }
