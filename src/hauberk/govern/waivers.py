"""Waivers: a named person lets one rule go for one subject, for a reason, until a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from hauberk.core.digest import check_digest
from hauberk.core.errors import ConfigError
from hauberk.core.rule import find_rule
from hauberk.govern.strict import read_toml

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DAYS = 180
# CycloneDX's grounds for saying that a hole in a package does not affect its user.
Justification = Literal[
    "",
    "code_not_present",
    "code_not_reachable",
    "requires_configuration",
    "requires_dependency",
    "requires_environment",
    "protected_by_compiler",
    "protected_at_runtime",
    "protected_at_perimeter",
    "protected_by_mitigating_control",
]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``owner`` answers for letting ``rule`` go for the digest ``subject`` until ``expires``.

    It holds from the first moment of ``created`` to the last before ``expires``, in UTC.
    ``justification`` says why a hole in a package does not matter, for VEX.

    Raises:
        ConfigError: if it lasts more than :data:`MAX_DAYS` days, or not at all.
        UnknownNameError: if there is no such rule.
        UserError: if the subject is no digest.
    """

    rule: str
    subject: str
    owner: Words
    reason: Words
    created: date
    expires: date
    justification: Justification = ""

    def __post_init__(self) -> None:
        find_rule(self.rule)
        check_digest(self.subject)
        if not self.owner.strip() or not self.reason.strip():
            raise ConfigError("a waiver needs an owner and a reason", where=f"waiver {self.rule}")
        if not timedelta(0) < self.expires - self.created <= timedelta(days=MAX_DAYS):
            raise ConfigError(
                f"a waiver lasts 1…{MAX_DAYS} days, not {(self.expires - self.created).days}",
                where=f"waiver {self.rule}",
            )

    def holds(self, at: float) -> bool:
        """Whether it holds at a time in seconds since the epoch."""
        return _start(self.created) <= at < _start(self.expires)

    def covers(self, rule: str, subject: str, at: float) -> bool:
        """Whether it lets ``rule`` go for ``subject`` at that time."""
        return self.rule == rule and self.subject == subject and self.holds(at)

    def __str__(self) -> str:
        return f"waived by {self.owner} until {self.expires}: {self.reason}"


class _Waivers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    waiver: tuple[Waiver, ...] = ()


def read_waivers(data: bytes, *, where: str = "waivers.toml") -> tuple[Waiver, ...]:
    """The waivers of a TOML text: a list of tables ``[[waiver]]``.

    Raises:
        ConfigError: if it is malformed, or names an unknown rule.
    """
    return read_toml(data, _Waivers, where=where).waiver


def find_waiver(waivers: Iterable[Waiver], rule: str, subject: str, at: float) -> Waiver | None:
    """The waiver that lets a rule go, the longest lasting one; None if there is none."""
    found = [one for one in waivers if one.covers(rule, subject, at)]
    return max(found, key=lambda one: one.expires, default=None)


def expired(waivers: Iterable[Waiver], at: float) -> tuple[Waiver, ...]:
    """The waivers that have run out, which whoever owns them should take out or renew."""
    return tuple(one for one in waivers if at >= _start(one.expires))


def _start(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
