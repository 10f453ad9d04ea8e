"""Requirements and constraints as pip reads them: every line is a package, an option or wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hauberk.core.evidence import Severity
from hauberk.vet.dependency import Wanted, judge_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case

_NAMED = re.compile(
    r"(?i)(^|[/!._-])(requirements?|constraints?|reqs|deps)([._-][\w.-]*)?\.(txt|in|pip)\Z"
)
_LINE = re.compile(
    r"[A-Za-z0-9][\w.-]*\s*(\[[\w\s,.-]*\])?\s*((~=|===?|!=|<=?|>=?)\s*[\w.*+!-]+\s*,?\s*)+(;.*)?"
    r"(\s+--hash=\S+)*"
)
# Lines that nothing but a list of packages has: links by name, version control, options of pip.
_SURE = re.compile(
    r"(-e |--editable )?(git|hg|svn|bzr)\+\w+://|[A-Za-z0-9][\w.-]*(\[[^\]]*\])? ?@ ?[a-z+]+://"
    r"|-e \.|-r \S"
    r"|--(extra-index-url|index-url|find-links|trusted-host|requirement|require-hashes|no-binary)\b"
)
_LONG = 2000
_BARE = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w\s,.-]*\])?")
_OPTION = re.compile(r"(--[a-z][a-z-]*|-[a-zA-Z])(?:[= ]\s*(\S.*))?")
_HASH = re.compile(r"\s--hash[= ](\S+)")
_LINK = re.compile(
    r"(git|hg|svn|bzr)\+|[a-z][a-z+.]{1,12}://|file:|\.{0,2}/|\.{1,2}(\[|\Z)"
    r"|[\w./-]+\.(whl|zip|tar\.gz)\Z"
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_COMMENT = re.compile(r"(^|\s)#.*")
_SETTLED = frozenset({
    "--require-hashes", "--no-binary", "--only-binary", "--prefer-binary", "--no-cache-dir",
    "--use-feature", "--no-deps", "--uploaded-prior-to",
})  # fmt: skip


def is_requirements(text: str, where: str) -> bool:
    """Whether a text asks for packages: by its name, or because every line does."""
    if _NAMED.search(where):
        return True
    lines = [line for line, _ in _logical(text[: 1 << 16]) if len(line) < _LONG]
    sure = [line for line in lines if _LINE.fullmatch(line) or _SURE.match(line)]
    fitting = len(sure) + sum(bool(_BARE.fullmatch(line)) for line in lines)
    return bool(sure) and fitting >= 0.8 * len(lines)


def vet_requirements(text: str, case: Case, where: str) -> None:
    """Judge every line."""
    judge_all(_wanted(text, case, where), case, where)


def _wanted(text: str, case: Case, where: str) -> Iterator[Wanted]:
    for line, number in _logical(text):
        place = f"{where}:{number}"
        option = _OPTION.fullmatch(line)
        if option and not line.startswith("-e"):
            _option(option[1], (option[2] or "").strip(), case, place)
            continue
        found = requirement(line.removeprefix("-e").strip(), place)
        if found is None:
            case.gap(f"a line that asks for no package: {line[:60]!r}", place)
            continue
        if line.startswith("-e"):
            case.find("HB-V206", f"{found.name} is run from its sources, where they stand", place)
        yield found


def requirement(line: str, place: str) -> Wanted | None:
    """One line as a package; None if it is none."""
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

    hashes = frozenset(
        one.partition(":")[2].lower()
        for one in _HASH.findall(line)
        if _DIGEST.fullmatch(one.lower())
    )
    line = _HASH.sub("", line).strip()
    if _LINK.match(line):
        link = line.partition(" ;")[0]
        named = re.search(r"[#&]egg=([\w.-]+)", link)
        name = named[1] if named else re.split(r"[/@#?]", link.rstrip("/"))[-1] or "it"
        return Wanted(name=name[:100], link=link, hashes=hashes | _fragment(link), where=place)
    try:
        read = Requirement(line)
    except InvalidRequirement:
        return None
    if read.url:
        return Wanted(
            name=read.name, link=read.url, hashes=hashes | _fragment(read.url), where=place
        )
    exact = [
        one.version
        for one in read.specifier
        if one.operator in {"==", "==="} and not one.version.endswith("*")
    ]
    return Wanted(
        name=read.name,
        version=exact[0] if len(exact) == 1 else "",
        ranged=str(read.specifier),
        hashes=hashes,
        where=place,
    )


def _fragment(link: str) -> frozenset[str]:
    return frozenset(re.findall(r"[#&]sha(?:256|384|512)=([0-9a-fA-F]+)", link.lower()))


def _option(name: str, value: str, case: Case, place: str) -> None:
    if name in {"-r", "--requirement", "-c", "--constraint"}:
        if "://" in value:
            case.find("HB-V206", f"it takes more packages from {value[:100]}", place)
        case.traits.add(f"includes {value}")
    elif name == "--extra-index-url":
        message = f"two indexes: whoever offers the higher version wins: {_hidden(value)}"
        case.find("HB-V206", message, place)
    elif name in {"-i", "--index-url"}:
        plain = not value.startswith("https://")
        case.find(
            "HB-V206",
            f"all packages come from another index: {_hidden(value)}",
            place,
            Severity.HIGH if plain else Severity.MEDIUM,
        )
    elif name == "--trusted-host":
        case.find("HB-V206", f"no certificate of {value[:100]} is checked", place)
    elif name in {"-f", "--find-links"}:
        severity = Severity.HIGH if value.startswith("http:") else Severity.MEDIUM
        case.find(
            "HB-V206", f"packages come from a page of links: {_hidden(value)}", place, severity
        )
    elif name == "--pre":
        case.find("HB-V203", "versions that are not finished are let in", place)
    elif name not in _SETTLED:
        case.gap(f"an option that is not read here: {name}", place)


def _hidden(link: str) -> str:
    """A link without the password in it."""
    return re.sub(r"//[^/@]*@", "//…@", link)[:100]


def _logical(text: str) -> Iterator[tuple[str, int]]:
    """Lines without comments, the continued ones joined, with their numbers."""
    held, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        first = first or number
        if raw.endswith("\\"):
            held += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", held + raw).strip()
        if line:
            yield " ".join(line.split()), first
        held, first = "", 0
    line = _COMMENT.sub("", held).strip()
    if line:
        yield " ".join(line.split()), first
