"""Findings that were there when a check began: written down once, owned, and only for a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import msgspec

from hauberk.core.errors import ConfigError
from hauberk.core.rule import find_rule
from hauberk.govern.waivers import MAX_DAYS, Words

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 100_000


class Old(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, order=True):
    """One finding: where, in which content, against which rule, in which words."""

    path: str
    subject: str
    rule: str
    message: str


class Baseline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``owner`` found on a day and will have seen to before it ``expires``.

    A finding is old only while the content of its file is the same.

    Raises:
        ConfigError: if nobody owns it, or it lasts longer than :data:`MAX_DAYS` days.
        UnknownNameError: if it names an unknown rule.
    """

    owner: Words
    created: date
    expires: date
    findings: tuple[Old, ...] = ()

    def __post_init__(self) -> None:
        if not self.owner.strip():
            raise ConfigError("a baseline needs an owner", where="baseline")
        if not timedelta(0) < self.expires - self.created <= timedelta(days=MAX_DAYS):
            raise ConfigError(f"a baseline lasts 1…{MAX_DAYS} days", where="baseline")
        for one in self.findings:
            find_rule(one.rule)

    def holds(self, at: float) -> bool:
        """Whether it has not run out at a time in seconds since the epoch."""
        return at < datetime.combine(self.expires, time(), UTC).timestamp()

    def __str__(self) -> str:
        return f"known since {self.created}, {self.owner} until {self.expires}"


def take_baseline(findings: Iterable[Old], *, owner: str, days: int, at: float) -> Baseline:
    """The baseline of these findings from now on."""
    today = datetime.fromtimestamp(at, UTC).date()
    return Baseline(
        owner=owner,
        created=today,
        expires=today + timedelta(days=days),
        findings=tuple(sorted(set(findings))),
    )


def read_baseline(data: bytes, *, where: str) -> Baseline:
    """The baseline that a file of JSON holds.

    Raises:
        ConfigError: if it is malformed.
    """
    try:
        found = msgspec.json.decode(data, type=Baseline, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"no baseline: {error}", where=where) from None
    if len(found.findings) > _MOST:
        raise ConfigError(f"more than {_MOST:,} findings", where=where)
    return found


def write_baseline(baseline: Baseline) -> bytes:
    """A baseline as JSON, one finding a line, so that a review shows what came and went."""
    return msgspec.json.format(msgspec.json.encode(baseline), indent=1) + b"\n"
