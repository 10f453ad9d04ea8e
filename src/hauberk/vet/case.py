"""One file under examination: what was found so far and what may still be spent on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hauberk.core.evidence import Severity
from hauberk.core.rule import RULES
from hauberk.vet.advisory import Known
from hauberk.vet.finding import Finding

if TYPE_CHECKING:
    from hauberk.vet.source import Source
    from hauberk.vet.table import Apart
    from hauberk.vet.table_schema import Schema

_MOST_FINDINGS = 200


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one file may cost, in counts and bytes, so that none can hold up the others.

    ``inflate_ratio`` bounds the plain bytes by a multiple of the file's own size, above
    ``inflate_floor`` and up to ``inflate_most``. No clock is read: each limit bounds a loop.
    """

    depth: int = 8
    members: int = 2_000_000
    opcodes: int = 20_000_000
    memory: int = 32 << 20
    inflate_floor: int = 64 << 20
    inflate_ratio: int = 64
    inflate_most: int = 8 << 30
    nodes: int = 2_000_000


class LimitReached(Exception):
    """A limit was reached; the message says which."""


class Broken(Exception):
    """The bytes are not what the format prescribes; the message says how."""


class Inspect(Protocol):
    """Examines a source inside another one."""

    def __call__(self, source: Source, case: Case, where: str, depth: int, /) -> str: ...


@dataclass(kw_only=True)
class Case:
    """Findings and spent budget of one file; ``inspect`` examines what is inside it."""

    size: int
    inspect: Inspect
    limits: Limits = field(default_factory=Limits)
    known: Known = field(default_factory=Known)
    schema: Schema | None = None
    apart: list[Apart] = field(default_factory=list)
    card: dict[str, Any] | None = None
    findings: list[Finding] = field(default_factory=list)
    partial: bool = False
    inflated: int = 0
    opcodes: int = 0
    members: int = 0
    broken_archives: int = 0
    traits: set[str] = field(default_factory=set)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def find(
        self, rule: str, message: str, where: str = "", severity: Severity | None = None
    ) -> None:
        """Add a finding with the rule's severity or another; the same one counts once."""
        weight = severity or RULES[rule].severity
        known = (rule, message)
        if known in self._seen:
            return
        if len(self.findings) >= _MOST_FINDINGS and weight is not Severity.CRITICAL:
            return
        self._seen.add(known)
        self.findings.append(Finding(rule=rule, severity=weight, message=message, where=where))

    def gap(self, message: str, where: str = "") -> None:
        """Something was not read: the coverage is partial, and the file is never clean."""
        self.partial = True
        self.find("HB-V003", message, where)

    def inflate(self, count: int) -> None:
        """Account for plain bytes that came out of a compressed stream.

        Raises:
            LimitReached: if they are too many for a file of this size.
        """
        self.inflated += count
        limits = self.limits
        most = min(limits.inflate_most, limits.inflate_floor + limits.inflate_ratio * self.size)
        if self.inflated > most:
            raise LimitReached(f"it unpacks to more than {most:,} bytes: a decompression bomb?")

    def enter(self, count: int = 1) -> None:
        """Account for members of archives.

        Raises:
            LimitReached: if they are too many.
        """
        self.members += count
        if self.members > self.limits.members:
            raise LimitReached(f"more than {self.limits.members:,} members")

    @property
    def malicious(self) -> bool:
        """Whether a critical finding is there already."""
        return any(one.severity is Severity.CRITICAL for one in self.findings)
