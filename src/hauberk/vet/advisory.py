"""Advisories about packages, and the index that holds them: dated, and never silent when old.

Source: the OSV schema 1.x, fields ``affected``, ``ranges`` and ``versions``; PEP 440 orders the
versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DAY = 86_400.0
_SEPARATORS = re.compile(r"[-_.]+")
_MOST_VERSIONS = 100_000
_LONGEST = 300


def canonical(name: str) -> str:
    """The one spelling of a package's name (PEP 503)."""
    return _SEPARATORS.sub("-", name.strip()).lower()


@dataclass(frozen=True, kw_only=True)
class Span:
    """The versions from ``introduced`` on, below ``fixed`` or up to ``last``."""

    introduced: str = "0"
    fixed: str = ""
    last: str = ""


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """One advisory about one package."""

    ident: str
    package: str
    summary: str = ""
    aliases: tuple[str, ...] = ()
    versions: frozenset[str] = frozenset()
    spans: tuple[Span, ...] = ()
    fixed: tuple[str, ...] = ()

    @property
    def malicious(self) -> bool:
        """Whether the package itself is an attack, not merely weak."""
        return self.ident.startswith("MAL-") or any(a.startswith("MAL-") for a in self.aliases)

    @property
    def fixes(self) -> tuple[str, ...]:
        """The versions that end it."""
        return self.fixed or tuple(sorted({span.fixed for span in self.spans if span.fixed}))

    def affects(self, version: str) -> bool:
        """Whether a version is meant; one that cannot be ordered is, if there is any range."""
        if version in self.versions:
            return True
        from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - packages alone

        try:
            here = Version(version)
            if any(_same(here, one) for one in self.versions):
                return True
            return any(_within(here, span, Version) for span in self.spans)
        except InvalidVersion:
            return bool(self.spans)


def _same(here: Any, listed: str) -> bool:
    try:
        return bool(here == type(here)(listed))
    except ValueError:
        return False


def _within(here: Any, span: Span, read: Any) -> bool:
    if span.introduced != "0" and here < read(span.introduced):
        return False
    if span.fixed:
        return bool(here < read(span.fixed))
    return not span.last or bool(here <= read(span.last))


def read_osv(record: Mapping[str, Any], ecosystem: str = "PyPI") -> Iterator[Advisory]:
    """The advisories of one OSV record; none if it was withdrawn.

    Raises:
        ValueError: if it is no OSV record.
    """
    ident, affected = record.get("id"), record.get("affected")
    if not (isinstance(ident, str) and isinstance(affected, list | None)):
        raise ValueError("it has no id, or no list of what is affected")  # noqa: TRY004 - bad data
    if record.get("withdrawn"):
        return
    for one in affected or ():
        package = one.get("package") if isinstance(one, dict) else None
        if not isinstance(package, dict) or not isinstance(package.get("name"), str):
            continue
        if package.get("ecosystem", "").partition(":")[0] != ecosystem:
            continue
        yield Advisory(
            ident=ident[:_LONGEST],
            package=canonical(package["name"]),
            summary=str(record.get("summary") or record.get("details") or "")[:_LONGEST],
            aliases=tuple(str(a)[:_LONGEST] for a in (record.get("aliases") or ())[:50]),
            versions=frozenset(map(str, (one.get("versions") or ())[:_MOST_VERSIONS])),
            spans=tuple(_spans(one.get("ranges") or ())),
        )


def modified(record: Mapping[str, Any]) -> float:
    """When a record was last changed, in seconds since the epoch; 0 if it does not say."""
    from datetime import datetime  # noqa: PLC0415 - imports alone

    try:
        return datetime.fromisoformat(str(record.get("modified"))).timestamp()
    except ValueError:
        return 0.0


def _spans(ranges: Sequence[Any]) -> Iterator[Span]:
    for one in ranges:
        if not isinstance(one, dict) or one.get("type") not in {"ECOSYSTEM", "SEMVER"}:
            continue
        start = None
        for event in one.get("events") or ():
            if "introduced" in event:
                start = str(event["introduced"])
            elif start is not None and "fixed" in event:
                yield Span(introduced=start, fixed=str(event["fixed"]))
                start = None
            elif start is not None and "last_affected" in event:
                yield Span(introduced=start, last=str(event["last_affected"]))
                start = None
        if start is not None:
            yield Span(introduced=start)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version as the package index has it: taken back or not, and its files' SHA-256."""

    yanked: bool = False
    reason: str = ""
    hashes: frozenset[str] = frozenset()


class Index(Protocol):
    """Where advisories and releases are looked up."""

    @property
    def as_of(self) -> float:
        """When the newest thing in it was written, in seconds since the epoch."""

    def advisories(self, package: str, /) -> Sequence[Advisory]:
        """All advisories about a package."""

    def releases(self, package: str, /) -> Mapping[str, Release] | None:
        """The versions of a package; None if the index does not know it."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a check of packages goes by: an index, the time, and how old the index may be."""

    index: Index | None = None
    at: float = 0.0
    days: float = 30.0
    origin: str = field(default="")

    @property
    def age(self) -> float | None:
        """Days since the index was written; None without an index."""
        return None if self.index is None else (self.at - self.index.as_of) / DAY
