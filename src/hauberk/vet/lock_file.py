"""Lists of packages other than pip's: locks in TOML and JSON, ``pyproject.toml``, conda's YAML.

Source: PEP 751 (``pylock.toml``), and the files that Poetry, PDM, uv and Pipenv write.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from hauberk.vet.dependency import Wanted, judge_all
from hauberk.vet.requirements_file import requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.vet.case import Case

_LOCKED = re.compile(r"^\[\[packages?\]\]\s*$", re.MULTILINE)
_PROJECT = re.compile(
    r"^\[(project|build-system|tool\.poetry[\w.-]*|dependency-groups)\]\s*$", re.MULTILINE
)
_HASH = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})\Z")


def vet_toml(text: str, case: Case, where: str) -> bool:
    """Judge the packages of a lock or a project; False if the text is neither."""
    locked = bool(_LOCKED.search(text))
    if not locked and not _PROJECT.search(text):
        return False
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        case.gap(f"the TOML cannot be read: {str(error)[:100]}", where)
        return True
    if not locked:
        judge_all(_project(tree, case, where), case, where)
        return True
    entries = [one for key in ("package", "packages") for one in _tables(tree.get(key))]
    if any(isinstance(one.get("source"), str) or "checksum" in one for one in entries):
        case.gap("packages that are not Python's are not judged here", where)
        return True
    judge_all((_locked(one, where) for one in entries if not _own(one)), case, where)
    return True


def vet_pipfile(tree: dict[str, Any], case: Case, where: str) -> None:
    """Judge a ``Pipfile.lock``."""
    sources = (tree.get("_meta") or {}).get("sources") or ()
    if len(sources) > 1:
        case.find("HB-V206", "two indexes: whoever offers the higher version wins", where)
    judge_all(
        (
            _pipfile_entry(name, one, where)
            for group, packages in tree.items()
            if group != "_meta" and isinstance(packages, dict)
            for name, one in packages.items()
        ),
        case,
        where,
    )


def vet_conda(tree: Any, case: Case, where: str) -> None:
    """Judge an ``environment.yml``: no index tells about conda's packages."""
    if not isinstance(tree, dict):
        return
    for channel in tree.get("channels") or ():
        if str(channel).startswith("http:"):
            case.find("HB-V206", f"a channel that anyone may alter: {str(channel)[:100]}", where)
    found: list[Wanted] = []
    for one in tree.get("dependencies") or ():
        if isinstance(one, dict):
            found += [_parsed(str(line), case, where) for line in one.get("pip") or ()]
            continue
        name, _, version = str(one).rpartition("::")[2].partition("=")
        if re.fullmatch(r"python([<>=! ].*)?", name):
            continue
        exact = re.match(r"=?([\w.!+]+)", version)
        found.append(
            Wanted(
                name=re.split(r"[<>~! ]", name)[0],
                version=exact[1] if exact and "*" not in version else "",
                ranged=str(one)[len(name) :][:60],
                where=where,
            )
        )
        case.find("HB-V202", "no index tells about conda's packages", where)
    judge_all(found, case, where)


def _project(tree: dict[str, Any], case: Case, where: str) -> Iterator[Wanted]:
    project = tree.get("project") if isinstance(tree.get("project"), dict) else {}
    lines = list(_texts((project or {}).get("dependencies")))
    groups = [(project or {}).get("optional-dependencies"), tree.get("dependency-groups")]
    for group in groups:
        for one in (group or {}).values() if isinstance(group, dict) else ():
            lines += _texts(one)
    lines += _texts((tree.get("build-system") or {}).get("requires"))
    for line in lines:
        yield _parsed(line, case, where)
    poetry = (tree.get("tool") or {}).get("poetry") or {}
    tables = [poetry.get("dependencies"), poetry.get("dev-dependencies")]
    tables += [one.get("dependencies") for one in _values(poetry.get("group"))]
    for table in tables:
        for name, one in (table or {}).items() if isinstance(table, dict) else ():
            if name != "python":
                yield _poetry_entry(name, one, where)


def _parsed(line: str, case: Case, where: str) -> Wanted:
    found = requirement(line, where)
    if found is None:
        case.gap(f"a line that asks for no package: {line[:60]!r}", where)
        return Wanted(name="?", version="?", where=where)
    return found


def _poetry_entry(name: str, one: Any, where: str) -> Wanted:
    table = one if isinstance(one, dict) else {"version": str(one)}
    link = str(table.get("git") or table.get("url") or table.get("path") or "")
    if table.get("rev"):
        link += f"@{table['rev']}"
    version = str(table.get("version") or "")
    exact = re.fullmatch(r"==?\s*([\w.!+-]+)|(\d[\w.!+-]*)", version)
    pinned = (exact[1] or "") if exact else ""
    return Wanted(name=name, version=pinned, ranged=version, link=link, where=where)


def _pipfile_entry(name: str, one: Any, where: str) -> Wanted:
    table = one if isinstance(one, dict) else {}
    link = str(table.get("git") or table.get("file") or table.get("path") or "")
    if table.get("ref"):
        link += f"@{table['ref']}"
    return Wanted(
        name=name,
        version=str(table.get("version") or "").removeprefix("=="),
        link=link,
        hashes=_hashes(table.get("hashes")),
        where=where,
    )


def _locked(one: dict[str, Any], where: str) -> Wanted:
    """An entry of a lock, whoever wrote it."""
    source = one.get("source") if isinstance(one.get("source"), dict) else {}
    archive = one.get("archive") if isinstance(one.get("archive"), dict) else {}
    vcs = one.get("vcs") if isinstance(one.get("vcs"), dict) else {}
    assert isinstance(source, dict)
    assert isinstance(archive, dict)
    assert isinstance(vcs, dict)
    link = str(source.get("git") or source.get("path") or source.get("directory") or "")
    if source.get("type") in {"git", "url", "file", "directory", "hg", "svn"} or "rev" in source:
        link = link or str(source.get("url") or "")
    elif set(source) == {"url"}:
        link = str(source["url"])
    link = link or str(archive.get("url") or vcs.get("url") or "")
    commit = source.get("resolved_reference") or vcs.get("commit-id")
    listed = [one.get("files"), one.get("wheels"), one.get("sdist"), archive, one.get("hashes")]
    return Wanted(
        name=str(one.get("name") or "?")[:200],
        version=str(one.get("version") or ""),
        link=f"{link}@{commit}" if link and commit else link,
        hashes=frozenset().union(*map(_hashes, listed)),
        where=where,
    )


def _own(one: dict[str, Any]) -> bool:
    """Whether an entry is the locked project itself."""
    source = one.get("source")
    return isinstance(source, dict) and ("virtual" in source or source.get("editable") == ".")


def _hashes(tree: Any) -> frozenset[str]:
    """Every SHA-256 within a part of a lock."""
    todo, found = [tree], set()
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            todo += node.values()
        elif isinstance(node, list):
            todo += node
        elif isinstance(node, str):
            match = _HASH.match(node)
            if match:
                found.add(match[1].lower())
    return frozenset(found)


def _texts(tree: Any) -> list[str]:
    return [one for one in tree if isinstance(one, str)] if isinstance(tree, list) else []


def _tables(tree: Any) -> list[dict[str, Any]]:
    return [one for one in tree if isinstance(one, dict)] if isinstance(tree, list) else []


def _values(tree: Any) -> list[dict[str, Any]]:
    return _tables(list(tree.values())) if isinstance(tree, dict) else []
