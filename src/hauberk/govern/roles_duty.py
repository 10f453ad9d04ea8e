"""Separation of duties: who trained a model may not approve it, by whichever key.

Acts are signatures that were verified, so whose they are is the key's to say, not the text's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hauberk.core.digest import short
from hauberk.core.evidence import Evidence, Verdict
from hauberk.core.rule import find_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hauberk.govern.roles import Governance

RULE = "HB-G001"


@dataclass(frozen=True)
class Act:
    """A task that the key of id ``key`` signed for, about one subject."""

    task: str
    key: str


def separation(acts: Sequence[Act], governance: Governance, *, subject: str) -> Evidence:
    """Whether the acts on a subject keep the duties apart (rule HB-G001).

    ``fail`` where one key or one person did two tasks that must be apart, or someone signed for a
    task that none of their roles does. ``unknown`` where a task of a pair was not signed for, or
    a key is nobody's: what nobody answers for is not apart.
    """
    wrong = [*_mixed(acts, governance), *_out_of_role(acts, governance)]
    open_ones = [*_missing(acts, governance), *_strangers(acts, governance)]
    verdict = Verdict.FAIL if wrong else Verdict.UNKNOWN if open_ones else Verdict.PASS
    told = "; ".join(dict.fromkeys([*wrong, *open_ones]))
    return Evidence(
        rule=RULE,
        subject=subject,
        verdict=verdict,
        value={Verdict.PASS: 1.0, Verdict.FAIL: 0.0}.get(verdict),
        message=told or "each duty was signed for by someone else",
        severity=find_rule(RULE).severity,
        spec={"acts": [[act.task, act.key] for act in acts]},
    )


def _mixed(acts: Sequence[Act], governance: Governance) -> Iterable[str]:
    for first, second in governance.apart:
        for one in (act for act in acts if act.task == first):
            for other in (act for act in acts if act.task == second):
                if one.key == other.key:
                    yield f"key {short(one.key)} signed for {first} and for {second}"
                person, same = governance.holder(one.key), governance.holder(other.key)
                if person is not None and same is not None and person.name == same.name:
                    yield f"{person.name} signed for {first} and for {second}"


def _out_of_role(acts: Sequence[Act], governance: Governance) -> Iterable[str]:
    for act in acts:
        person, task = governance.holder(act.key), governance.find_task(act.task)
        may = {*task.raci.r, *task.raci.a}
        if person is not None and not may & set(person.roles):
            yield f"{person.name} has no role that does {act.task}"


def _missing(acts: Sequence[Act], governance: Governance) -> Iterable[str]:
    done = {act.task for act in acts}
    for first, second in governance.apart:
        # A pair counts once its second task was begun; training and approval always must be.
        if second in done or (first, second) == ("train", "approve"):
            yield from (f"nobody signed for {name}" for name in (first, second) if name not in done)


def _strangers(acts: Sequence[Act], governance: Governance) -> Iterable[str]:
    for act in acts:
        if governance.holder(act.key) is None:
            yield f"key {short(act.key)}, which signed for {act.task}, is nobody's"
