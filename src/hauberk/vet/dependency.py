"""One package that is asked for, and what may be wrong with asking for it so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.advisory import canonical
from hauberk.vet.package_names import imitated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hauberk.vet.advisory import Index, Release
    from hauberk.vet.case import Case

_COMMIT = re.compile(r"@[0-9a-f]{40}\b")
_MOST = 20_000
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A package by name; ``version`` if exactly one will do, ``link`` if it is fetched from there.

    ``hashes`` are SHA-256 in hex; ``ranged`` is what stands in place of one version; what is
    ``installed`` has been chosen already.
    """

    name: str
    version: str = ""
    ranged: str = ""
    link: str = ""
    hashes: frozenset[str] = frozenset()
    where: str = ""
    installed: bool = False


def judge_all(wanted: Iterable[Wanted], case: Case, where: str) -> None:
    """Judge every package of a list."""
    count = 0
    for one in wanted:
        count += 1
        if count > _MOST:
            case.gap(f"more than {_MOST:,} packages", where)
            return
        _judge(one, case, one.where or where)
    if count:
        case.traits.add("packages")
        _dated(case, where)


def _judge(one: Wanted, case: Case, where: str) -> None:
    name = canonical(one.name)
    like = imitated(name)
    if like:
        case.find("HB-V204", f"{name} is easily mistaken for {like}", where)
    if one.link:
        _linked(one, case, where)
        return
    if not one.version:
        asked = f"{name}{one.ranged}"[:120]
        case.find("HB-V203", f"{asked} is whatever is newest on the day", where)
    elif not one.hashes and not one.installed:
        case.find("HB-V203", f"{name} {one.version} has no hash", where, Severity.LOW)
    if one.version:
        case.traits.add(f"package {name}=={one.version}")
    index = case.known.index
    if index is not None:
        _looked_up(one, name, index, case, where)


def _linked(one: Wanted, case: Case, where: str) -> None:
    """What does not come from the package index is judged by how it is fixed."""
    fixed = bool(one.hashes or _COMMIT.search(one.link))
    safe = one.link.startswith(("https://", "git+https://", "git+ssh://"))
    if "://" not in one.link:
        message, severity = "comes from a folder or file beside it", Severity.MEDIUM
    elif not safe:
        message, severity = "is fetched over a line that anyone may alter", Severity.HIGH
    elif fixed:
        message, severity = "comes from a link, fixed by its hash", Severity.LOW
    else:
        message, severity = "comes from a link whose content may change", Severity.HIGH
    case.find("HB-V206", f"{one.name} {message}: {one.link[:100]}", where, severity)
    case.find("HB-V202", f"no index tells about {one.name}, which comes from a link", where)


def _looked_up(one: Wanted, name: str, index: Index, case: Case, where: str) -> None:
    notices = index.advisories(name)
    bad = [notice for notice in notices if notice.malicious and not one.version]
    bad += [notice for notice in notices if one.version and notice.affects(one.version)]
    for notice in bad:
        if one.version:
            case.traits.add(f"hole {notice.ident} {name}=={one.version}")
        fixes = ", ".join(notice.fixes[-_SHOWN:])
        told = f"{name} {one.version}: {notice.ident} {notice.summary[:100]}".rstrip()
        case.find(
            "HB-V201",
            f"{told}; fixed in {fixes}" if fixes else told,
            where,
            Severity.CRITICAL if notice.malicious else None,
        )
    releases = index.releases(name)
    if releases is None:
        case.find("HB-V202", f"the index does not know {name}", where)
    elif one.version:
        release = _release(releases, one.version)
        if release is None:
            case.find("HB-V202", f"the index does not know {name} {one.version}", where)
        else:
            _released(one, release, case, where)


def _released(one: Wanted, release: Release, case: Case, where: str) -> None:
    if release.yanked:
        why = f": {release.reason[:100]}" if release.reason else ""
        case.find("HB-V205", f"{one.name} {one.version} was taken back{why}", where)
    if one.hashes and release.hashes and not one.hashes & release.hashes:
        message = f"{one.name} {one.version} has hashes that no file of it has"
        case.find("HB-V203", message, where, Severity.HIGH)


def _release(releases: Mapping[str, Release], version: str) -> Release | None:
    """A release by its version, however that is written."""
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415 - packages alone

    found = releases.get(version)
    if found is not None:
        return found
    try:
        wanted = Version(version)
        for listed, release in releases.items():
            if Version(listed) == wanted:
                return release
    except InvalidVersion:
        return None
    return None


def _dated(case: Case, where: str) -> None:
    """Without a fresh index nobody knows of holes: said once for each file."""
    age = case.known.age
    if age is None:
        case.find("HB-V202", "no index of advisories: nothing is known of holes", where)
    elif age > case.known.days:
        case.find("HB-V202", f"the index of advisories is {age:.0f} days old", where)
