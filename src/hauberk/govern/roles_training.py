"""Whether the people who hold roles were trained, and lately enough."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import find_rule

if TYPE_CHECKING:
    from hauberk.govern.roles import Governance, Person

RULE = "HB-G006"


def training(governance: Governance, *, subject: str, at: float) -> Evidence:
    """How many people with a role were not trained within ``trained_days`` (rule HB-G006).

    ``unknown`` where the file names nobody, since then nobody's training is known.
    """
    today = datetime.fromtimestamp(at, UTC).date()
    holders = [one for one in governance.person if one.roles]
    late = [one for one in holders if not _lately(one, governance, today.toordinal())]
    rule = find_rule(RULE)
    return Evidence(
        rule=RULE,
        subject=subject,
        verdict=rule.judge(float(len(late))) if holders else Verdict.UNKNOWN,
        value=float(len(late)) if holders else None,
        limit=rule.limit,
        message=_told(late, len(holders), governance.trained_days),
        severity=rule.severity,
        atlas=rule.atlas,
        spec={"late": [one.name for one in late]},
    )


def _lately(person: Person, governance: Governance, today: int) -> bool:
    if person.trained is None:
        return False
    return 0 <= today - person.trained.toordinal() <= governance.trained_days


def _told(late: list[Person], holders: int, days: int) -> str:
    if not holders:
        return "the governance file names nobody"
    if not late:
        return f"all {holders} people were trained within {days} days"
    names = ", ".join(one.name for one in late[:10])
    return f"not trained within {days} days: {names}" + (" and others" if len(late) > 10 else "")
