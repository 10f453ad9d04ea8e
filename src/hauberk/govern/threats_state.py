"""Where a threat stands: OPEN, MITIGATED (claimed), VERIFIED (checked), ACCEPTED (for a time)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Literal

from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import find_rule
from hauberk.govern import catalogues
from hauberk.govern.taken import fresh, supports
from hauberk.govern.threats import known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hauberk.govern.risk import Rating
    from hauberk.govern.stride import Threat
    from hauberk.govern.taken import Taken
    from hauberk.govern.threats import Acceptance, System

State = Literal["OPEN", "MITIGATED", "VERIFIED", "ACCEPTED"]
RULE = "HB-G002"
_DAY = 86400.0
_PASSES = {Verdict.PASS: "passes", Verdict.FAIL: "raised an alarm, so it watches"}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A threat with its state, why, the risk that is left, and the evidence by digest."""

    threat: Threat
    state: State
    why: str
    residual: Rating
    evidence: tuple[str, ...] = ()

    @property
    def finding(self) -> bool:
        """Whether somebody still has to act: a claim without a check is a finding too."""
        return self.state in {"OPEN", "MITIGATED"}


@dataclass(frozen=True, kw_only=True)
class _Control:
    claimed: bool
    checked: bool
    failed: bool
    why: str
    evidence: tuple[str, ...]


def assess(
    threats: Sequence[Threat], system: System, found: Mapping[str, Taken], *, at: float
) -> tuple[Standing, ...]:
    """Where the threats to a system stand at a time, by the newest evidence of each rule.

    A threat is VERIFIED once every control against it was checked: each rule of the control has
    evidence that passes and is fresh. It is MITIGATED where all are checked or claimed, but no
    check failed. An acceptance that has not run out makes it ACCEPTED.

    Raises:
        UnknownNameError: if an acceptance names a threat that the system does not have.
    """
    for acceptance in system.accept:
        known(acceptance.threat, [one.id for one in threats], "threat")
    return tuple(_standing(threat, system, found, at) for threat in threats)


def evidence_of(standings: Sequence[Standing], *, subject: str) -> Evidence:
    """The count of threats that are not answered, as evidence (rule HB-G002)."""
    left = [one for one in standings if one.finding]
    rule = find_rule(RULE)
    return Evidence(
        rule=RULE,
        subject=subject,
        verdict=rule.judge(float(len(left))) if standings else Verdict.UNKNOWN,
        value=float(len(left)) if standings else None,
        limit=rule.limit,
        message=f"{len(left)} of {len(standings)} threats are open",
        severity=rule.severity,
        atlas=tuple(dict.fromkeys(t for one in left for t in one.threat.techniques)),
        spec={"threats": [one.threat.id for one in left]},
    )


def _standing(threat: Threat, system: System, found: Mapping[str, Taken], at: float) -> Standing:
    controls = [_control(name, threat, system, found, at) for name in threat.controls]
    refs = tuple(dict.fromkeys(ref for one in controls for ref in one.evidence))
    why = "; ".join(one.why for one in controls)
    if all(one.checked for one in controls):
        return Standing(
            threat=threat,
            state="VERIFIED",
            why=why,
            residual=threat.rating.verified(),
            evidence=refs,
        )
    acceptance = _acceptance(threat, system.accept, at)
    if acceptance is not None:
        state: State = "ACCEPTED"
        why = f"accepted by {acceptance.owner} until {acceptance.expires}: {acceptance.reason}"
    elif all(one.checked or one.claimed for one in controls) and not any(
        one.failed for one in controls
    ):
        state = "MITIGATED"
    else:
        state = "OPEN"
    return Standing(threat=threat, state=state, why=why, residual=threat.rating, evidence=refs)


def _control(
    name: str, threat: Threat, system: System, found: Mapping[str, Taken], at: float
) -> _Control:
    rules: Iterable[str] = catalogues.table("controls.toml")[name].get("rules", ())
    claimed = any(
        one.id == name and (not one.components or threat.element in one.components)
        for one in system.control
    )
    told, refs, bad, good = [], [], False, bool(rules)
    for code in rules:
        item = found.get(code)
        if item is None:
            told.append(f"{code} never ran")
            good = False
            continue
        refs.append(item.digest)
        if supports(item) is not Verdict.PASS:
            fails = supports(item) is Verdict.FAIL
            told.append(f"{code} {'fails' if fails else 'is unknown'}")
            good, bad = False, bad or fails
        elif not fresh(item, now=at, max_age=system.system.max_age_days * _DAY):
            told.append(f"{code} is {item.age(at) / _DAY:.3g} days old")
            good = False
        else:
            told.append(f"{code} {_PASSES[item.evidence.verdict]}")
    start = "" if good else "claimed, " if claimed else "not claimed, "
    return _Control(
        claimed=claimed,
        checked=good,
        failed=bad,
        why=f"{name}: {start}{', '.join(told) or 'no check verifies it yet'}",
        evidence=tuple(refs),
    )


def _acceptance(threat: Threat, accepted: Iterable[Acceptance], at: float) -> Acceptance | None:
    for one in accepted:
        ends = datetime.combine(one.expires, time(), UTC).timestamp()
        if one.threat == threat.id and at < ends:
            return one
    return None
