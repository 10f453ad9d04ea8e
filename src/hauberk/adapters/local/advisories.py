"""The index of advisories and releases in one SQLite file: imported, dated, asked offline."""

from __future__ import annotations

import json
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec

from hauberk.adapters.local.database import Database
from hauberk.core.errors import DataError, UserError
from hauberk.vet.advisory import Advisory, Release, canonical, modified, read_osv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS advisory (
    package TEXT NOT NULL, ident TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (package, ident)
);
CREATE TABLE IF NOT EXISTS package (name TEXT PRIMARY KEY, releases BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value REAL NOT NULL);
"""
_LONGEST = 64 << 20
_MOST = 1_000_000


class Advisories:
    """An index on disk; ``path`` need not exist before the first import."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SCHEMA)

    @property
    def as_of(self) -> float:
        """When the newest advisory was changed; 0 for an index without any."""
        rows = self._database.rows("SELECT value FROM fact WHERE name = 'as_of'")
        return float(rows[0][0]) if rows else 0.0

    def advisories(self, package: str, /) -> Sequence[Advisory]:
        rows = self._database.rows("SELECT body FROM advisory WHERE package = ?", (package,))
        return [msgspec.json.decode(body, type=Advisory) for (body,) in rows]

    def releases(self, package: str, /) -> Mapping[str, Release] | None:
        rows = self._database.rows("SELECT releases FROM package WHERE name = ?", (package,))
        return msgspec.json.decode(rows[0][0], type=dict[str, Release]) if rows else None

    def counts(self) -> tuple[int, int]:
        """How many advisories and how many packages with releases there are."""
        query = "SELECT (SELECT COUNT(*) FROM advisory), (SELECT COUNT(*) FROM package)"
        ((advisories, packages),) = self._database.rows(query)
        return advisories, packages

    def load(self, paths: Sequence[Path], *, at: float) -> tuple[int, int]:
        """Take in files, folders and archives; return how many advisories and packages came.

        A file is an OSV record, a list of them, or a project's page of a package index (PEP 691).
        Nothing is taken unless everything can be read. No date later than ``at`` is believed.

        Raises:
            UserError: if a path does not exist, or holds nothing of the kind.
            DataError: if a file is neither.
        """
        taken = [0, 0]
        newest = self.as_of
        with self._database.write() as connection:
            for where, value in _values(paths):
                for tree in value if isinstance(value, list) else [value]:
                    if _is_page(tree):
                        name, releases = _page(tree)
                        row = (name, msgspec.json.encode(releases))
                        connection.execute("INSERT OR REPLACE INTO package VALUES (?, ?)", row)
                        taken[1] += 1
                        continue
                    for one in _advisories(tree, where):
                        entry = (one.package, one.ident, msgspec.json.encode(one))
                        query = "INSERT OR REPLACE INTO advisory VALUES (?, ?, ?)"
                        connection.execute(query, entry)
                        taken[0] += 1
                    if tree.get("withdrawn"):
                        connection.execute("DELETE FROM advisory WHERE ident = ?", (tree["id"],))
                    newest = max(newest, min(modified(tree), at))
            if not sum(taken):
                raise UserError("no advisories of Python packages there", where=str(paths[0]))
            connection.execute("INSERT OR REPLACE INTO fact VALUES ('as_of', ?)", (newest,))
        return taken[0], taken[1]


def _values(paths: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    """The JSON values in files, folders and archives, one at a time."""
    for path in paths:
        if path.is_dir():
            yield from _values(sorted(path.rglob("*.json")))
        elif not path.exists():
            raise UserError("no such file or folder", where=str(path))
        elif zipfile.is_zipfile(path):
            with closing(zipfile.ZipFile(path)) as archive:
                for number, member in enumerate(archive.infolist()):
                    if number >= _MOST or member.file_size > _LONGEST:
                        raise DataError("more than is read", where=f"{path}!{member.filename}")
                    if member.filename.endswith(".json"):
                        where = f"{path}!{member.filename}"
                        yield where, _decoded(archive.read(member), where)
        elif path.stat().st_size > _LONGEST:
            raise DataError(f"larger than {_LONGEST >> 20} MiB", where=str(path))
        else:
            yield str(path), _decoded(path.read_bytes(), str(path))


def _decoded(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"it is not JSON: {error}", where=where) from None


def _advisories(tree: Any, where: str) -> list[Advisory]:
    if not isinstance(tree, dict):
        raise DataError("neither an OSV record nor a page of a package index", where=where)
    try:
        return list(read_osv(tree))
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"no OSV record: {error}", where=where) from None


def _is_page(tree: Any) -> bool:
    return isinstance(tree, dict) and {"name", "files", "meta"} <= tree.keys()


def _page(tree: dict[str, Any]) -> tuple[str, dict[str, Release]]:
    """A project's page: each version with the hashes of its files, and whether it was yanked."""
    name = canonical(str(tree["name"]))
    files: dict[str, list[dict[str, Any]]] = {str(v): [] for v in tree.get("versions") or ()}
    for one in tree["files"]:
        if isinstance(one, dict):
            files.setdefault(_version(str(one.get("filename") or ""), name), []).append(one)
    files.pop("", None)
    return name, {version: _release(listed) for version, listed in files.items()}


def _release(listed: list[dict[str, Any]]) -> Release:
    yanked = [one.get("yanked") for one in listed]
    reasons = [one for one in yanked if isinstance(one, str)]
    hashes = [one.get("hashes") or {} for one in listed]
    return Release(
        yanked=bool(listed) and all(bool(one) or one == "" for one in yanked),
        reason=reasons[0][:300] if reasons else "",
        hashes=frozenset(one["sha256"].lower() for one in hashes if "sha256" in one),
    )


def _version(filename: str, name: str) -> str:
    """The version in the name of a wheel or of an archive of sources."""
    from packaging.utils import (  # noqa: PLC0415 - packages alone
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except (InvalidSdistFilename, InvalidWheelFilename):
        return ""
