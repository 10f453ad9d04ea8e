"""The gate: a frozen policy holds evidence against every rule that must pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from math import isclose, isfinite
from typing import TYPE_CHECKING, Any, TypeGuard

from hauberk.core.digest import digest_json
from hauberk.core.errors import ConfigError, DataError
from hauberk.core.evidence import Verdict
from hauberk.core.rule import find_rule
from hauberk.govern.decision import Decision, Row, evidence_body, finite
from hauberk.govern.waivers import find_waiver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hauberk.core.evidence import Evidence
    from hauberk.core.rule import Rule
    from hauberk.core.spec import GateSpec
    from hauberk.govern.waivers import Waiver

ROBUST = "HB-E001"
DAY = 86400.0


@dataclass(frozen=True)
class Requirement:
    """A rule that must hold, and the limit it is held against (None where it has none).

    ``max_age`` bounds the age of its evidence in seconds (None: any age); ``owner`` answers for it.
    """

    rule: str
    limit: float | None = None
    max_age: float | None = None
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The rules that must all hold, frozen by :attr:`digest`.

    Of the robust accuracies only the one at the threat's own radius binds: its ``spec`` holds
    ``eps_factor`` 1, or ``eps`` equal to the policy's.

    Raises:
        ConfigError: if there is no rule, or one occurs twice, or a limit is missing or not finite.
        UnknownNameError: if there is no rule of that code.
    """

    requirements: tuple[Requirement, ...]
    eps: float | None = None

    def __post_init__(self) -> None:
        if not self.requirements:
            raise ConfigError("an empty policy", where="gate", hint="it would let anything pass")
        for code, times in Counter(item.rule for item in self.requirements).items():
            if times > 1:
                raise ConfigError(f"{code} is required twice", where="gate")
        for item in self.requirements:
            needs_limit = find_rule(item.rule).sense != "true"
            if needs_limit and (item.limit is None or not isfinite(item.limit)):
                raise ConfigError(f"{item.rule} needs a finite limit", where="gate")
            if item.max_age is not None and not 0 < item.max_age < float("inf"):
                raise ConfigError(f"{item.rule} needs a positive age", where="gate")

    @classmethod
    def from_gate(cls, gate: GateSpec, *, eps: float | None = None) -> Policy:
        """The promotion gate of a spec; ``eps`` is the threat's radius."""
        return cls(
            requirements=(
                Requirement(ROBUST, gate.robust_accuracy),
                Requirement("HB-E002", gate.clean_accuracy),
                Requirement("HB-E003", gate.clean_drop),
                Requirement("HB-E004", gate.robust_gain),
                Requirement("HB-E005"),
                Requirement("HB-E007", find_rule("HB-E007").limit),
            ),
            eps=eps,
        )

    @cached_property
    def digest(self) -> str:
        """Digest of :meth:`plain`."""
        return digest_json(self.plain())

    def plain(self) -> dict[str, Any]:
        """Every rule with its sense, limit, age and owner, and the radius, as plain values."""
        rules: list[list[Any]] = []
        for item in self.requirements:
            rules.append([item.rule, find_rule(item.rule).sense, item.limit])
            if item.max_age is not None or item.owner:
                rules[-1] += [item.max_age, item.owner]
        return {"type": "hauberk/policy/v1", "rules": rules, "eps": self.eps}

    def decide(
        self,
        evidence: Sequence[Evidence],
        *,
        at: float,
        subject: str | None = None,
        times: Sequence[float] | None = None,
        waivers: Sequence[Waiver] = (),
    ) -> Decision:
        """Hold evidence, oldest first, against every rule; the newest of a rule counts.

        ``times`` says when each piece of evidence was taken, in seconds since the epoch. A rule
        without evidence, or whose evidence is older than it allows, is ``unknown``. ``pass`` needs
        every rule to pass or to have a waiver that holds ``at`` that time; a rule that fails makes
        it ``fail``, and anything else ``unknown``: only ``pass`` allows. With ``subject`` evidence
        about others is left out.

        Raises:
            DataError: if the evidence is about several subjects and none was chosen, or there are
                not as many times as pieces of evidence.
        """
        if times is not None and len(times) != len(evidence):
            raise DataError(f"{len(times)} times for {len(evidence)} pieces", where="gate")
        subjects = {item.subject for item in evidence}
        if subject is None and len(subjects) > 1:
            raise DataError(f"evidence about {len(subjects)} subjects", where="gate")
        about = subject if subject is not None else next(iter(subjects), "")
        dated: Sequence[float | None] = [None] * len(evidence) if times is None else times
        own = [
            (item, taken)
            for item, taken in zip(evidence, dated, strict=True)
            if item.subject == about
        ]
        rows = tuple(row for item in self.requirements for row in self._rows(item, own, at))
        rows = tuple(_waived(row, about, waivers, at) for row in rows)
        verdicts = {row.verdict for row in rows if row.binding and not row.waiver}
        return Decision(
            subject=about,
            verdict=_worst(verdicts),
            rows=rows,
            policy=self.digest,
            evidence=tuple(digest_json(evidence_body(item)) for item, _ in own),
            at=at,
        )

    def _rows(
        self, requirement: Requirement, evidence: Iterable[tuple[Evidence, float | None]], at: float
    ) -> Iterator[Row]:
        rule = find_rule(requirement.rule)
        binding: Evidence | None = None
        taken: float | None = None
        others: dict[str, Evidence] = {}
        for item, when in evidence:
            if item.rule != rule.code:
                continue
            if rule.code != ROBUST or self._at_threat(item):
                binding, taken = item, when
            else:
                others[str(item.spec.get("eps", item.spec.get("eps_factor")))] = item
        row = _row(rule, requirement.limit, binding, binding=True)
        yield row if binding is None else _dated(row, requirement.max_age, taken, at)
        for item in others.values():
            yield _row(rule, requirement.limit, item, binding=False)

    def _at_threat(self, evidence: Evidence) -> bool:
        factor, eps = evidence.spec.get("eps_factor"), evidence.spec.get("eps")
        known = [
            _near(factor, 1.0) if factor is not None else None,
            _near(eps, self.eps) if eps is not None and self.eps is not None else None,
        ]
        said = [one for one in known if one is not None]
        return bool(said) and all(said)


def _row(rule: Rule, limit: float | None, evidence: Evidence | None, *, binding: bool) -> Row:
    if evidence is None:
        return Row(
            rule=rule.code,
            claim=rule.title,
            verdict=Verdict.UNKNOWN,
            limit=limit,
            sense=rule.sense,
            binding=binding,
            message="no evidence",
        )
    eps = evidence.spec.get("eps")
    return Row(
        rule=rule.code,
        claim=rule.title,
        verdict=_judge(rule, limit, evidence),
        measured=finite(evidence.value),
        interval=evidence.interval,
        limit=limit,
        sense=rule.sense,
        eps=eps if _is_number(eps) else None,
        binding=binding,
        message=evidence.message,
    )


def _dated(row: Row, max_age: float | None, taken: float | None, at: float) -> Row:
    """The row, unknown where its evidence is too old, undated or from the future."""
    if max_age is None and (taken is None or taken <= at):
        return row
    if taken is None:
        why = "nobody knows when the evidence was taken"
    elif taken > at:
        why = "the evidence claims to be from the future"
    elif max_age is not None and at - taken > max_age:
        why = f"the evidence is {(at - taken) / DAY:.3g} days old, at most {max_age / DAY:.3g}"
    else:
        return row
    verdict = Verdict.FAIL if row.verdict is Verdict.FAIL else Verdict.UNKNOWN
    return replace(row, verdict=verdict, message=f"{why}; {row.message}".rstrip("; "))


def _waived(row: Row, subject: str, waivers: Sequence[Waiver], at: float) -> Row:
    """The row with the waiver that lets it go; its verdict stays what it is."""
    if not row.binding or row.verdict is Verdict.PASS:
        return row
    found = find_waiver(waivers, row.rule, subject, at)
    return row if found is None else replace(row, waiver=str(found))


def _judge(rule: Rule, limit: float | None, evidence: Evidence) -> Verdict:
    """The value against the policy's limit; evidence that doubts itself never passes."""
    if evidence.value is None and rule.sense == "true":
        return evidence.verdict
    measured = rule.judge(finite(evidence.value), limit)
    if measured is not Verdict.PASS or evidence.verdict is Verdict.PASS:
        return measured
    if evidence.verdict is Verdict.UNKNOWN:
        return Verdict.UNKNOWN
    # It failed a limit of its own; that overrules ours only where it is no stricter one.
    own = evidence.limit
    return measured if own is not None and own != limit else Verdict.FAIL


def _worst(verdicts: set[Verdict]) -> Verdict:
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN):
        if verdict in verdicts:
            return verdict
    return Verdict.PASS


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _near(value: object, other: float) -> bool:
    return _is_number(value) and isclose(value, other, rel_tol=1e-6)
