"""Frameworks, clause by clause: which rules speak to it, and what their newest evidence says.

Evidence supports a clause or does not; whether a text is complied with is for people to say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hauberk.core.errors import UnknownNameError
from hauberk.core.evidence import Verdict
from hauberk.govern import catalogues
from hauberk.govern.atlas import NONE_LISTED
from hauberk.govern.effects import measuring
from hauberk.govern.taken import fresh, supports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hauberk.govern.atlas import Catalogue
    from hauberk.govern.taken import Taken

Status = Literal["met", "not met", "not evidenced"]
ATLAS = "atlas"
PHRASE = "supports evidence for"
_FILE = "frameworks.toml"


@dataclass(frozen=True, kw_only=True)
class Support:
    """What the newest evidence of one rule says; ``digest`` is None where there is none."""

    rule: str
    says: str
    digest: str | None = None
    at: float | None = None


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One clause with the evidence that speaks to it."""

    id: str
    words: str
    status: Status
    support: tuple[Support, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """A framework held against the ledger as it was ``at`` a time, seconds since the epoch."""

    framework: str
    title: str
    edition: str
    link: str
    clauses: tuple[Clause, ...]
    at: float

    @property
    def summary(self) -> str:
        """Such as ``12 met, 1 not met, 9 not evidenced``."""
        counts = Counter(str(one.status) for one in self.clauses)
        return ", ".join(f"{counts[name]} {name}" for name in ("met", "not met", "not evidenced"))

    @property
    def clean(self) -> bool:
        """Whether every clause that rules speak to is met."""
        return all(one.status == "met" for one in self.clauses if one.support)


def frameworks() -> tuple[str, ...]:
    """The names of the frameworks."""
    return (*catalogues.table(_FILE), ATLAS)


def assess_framework(
    name: str,
    found: Mapping[str, Taken],
    catalogue: Catalogue,
    *,
    at: float,
    max_age: float | None = None,
) -> Assessment:
    """Hold the newest evidence of each rule against every clause of a framework.

    A clause is ``met`` where every rule that speaks to it has evidence that passes and is at most
    ``max_age`` seconds old, ``not met`` where one fails, and ``not evidenced`` otherwise.

    Raises:
        UnknownNameError: if there is no such framework; the nearest is named.
    """
    if name not in frameworks():
        raise UnknownNameError(name, frameworks(), kind="framework")
    if name == ATLAS:
        clauses = tuple(_techniques(catalogue, found, at, max_age))
        link, edition = "https://atlas.mitre.org", catalogue.version
        title = "MITRE ATLAS"
    else:
        table = catalogues.table(_FILE)[name]
        title, edition, link = table["title"], table["edition"], table["link"]
        clauses = tuple(
            _clause(one["id"], one["words"], one["rules"], found, at, max_age)
            for one in table["clauses"]
        )
    return Assessment(
        framework=name, title=title, edition=edition, link=link, clauses=clauses, at=at
    )


def _techniques(
    catalogue: Catalogue, found: Mapping[str, Taken], at: float, max_age: float | None
) -> Iterator[Clause]:
    for one in catalogue.techniques:
        listed = catalogue.mitigations_of(one)
        rules = dict.fromkeys(code for item in listed for code in measuring(item.id))
        clause = _clause(one.id, catalogue.title(one), rules, found, at, max_age)
        silent = [item.id for item in listed if not measuring(item.id)]
        note = f"unmeasured: {', '.join(silent)}" if silent else "" if listed else NONE_LISTED
        yield Clause(
            id=clause.id,
            words=clause.words,
            status=clause.status,
            support=clause.support,
            note=note,
        )


def _clause(
    ident: str,
    words: str,
    rules: Iterable[str],
    found: Mapping[str, Taken],
    at: float,
    max_age: float | None,
) -> Clause:
    support, verdicts = [], []
    for code in rules:
        item = found.get(code)
        if item is None:
            support.append(Support(rule=code, says="never ran"))
            verdicts.append(Verdict.UNKNOWN)
            continue
        verdict = supports(item)
        says = str(item.evidence.verdict)
        if verdict is not item.evidence.verdict:
            says = "raised an alarm, so it watches"
        if verdict is Verdict.PASS and not fresh(item, now=at, max_age=max_age):
            verdict, says = Verdict.UNKNOWN, f"{says}, but too long ago"
        support.append(Support(rule=code, says=says, digest=item.digest, at=item.at))
        verdicts.append(verdict)
    status: Status = "not evidenced"
    if Verdict.FAIL in verdicts:
        status = "not met"
    elif verdicts and set(verdicts) == {Verdict.PASS}:
        status = "met"
    note = "" if support else "no check speaks to it"
    return Clause(id=ident, words=words, status=status, support=tuple(support), note=note)
