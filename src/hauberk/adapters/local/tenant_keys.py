"""Data keys of tenants: wrapped by a master key, rotated, and erased with all that they sealed."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hauberk.access.envelope import KEY_BYTES, MOST_BOXES, Sealer, new_key
from hauberk.adapters.local.files import create_file, locked, make_folder, read_file, write_file
from hauberk.core.errors import ConfigError, Untrusted, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAX_FILE = 1 << 20


class _Tenant(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A tenant's file: its name, the random id that entries bear, its wrapped keys in order."""

    name: str
    id: str
    keys: dict[str, bytes]


@dataclass
class DataKey:
    """A data key in use: its id, the sealer, and how many boxes it has sealed here."""

    id: str
    sealer: Sealer
    boxes: int = 0
    stamp: tuple[int, int] = (0, 0)


class TenantKeys:
    """The keys below a folder: ``master.key`` and one file a tenant, all the owner's alone.

    An id of a tenant is random, so that what stays in a log after the tenant is erased names
    nobody. Erasing deletes the tenant's file: copies and backups of it must be deleted too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: dict[str, DataKey] = {}
        self._known: dict[str, tuple[str, Sealer]] | None = None

    @classmethod
    def create(cls, folder: Path) -> TenantKeys:
        """Open the keys of a folder; make a master key where there is none.

        Raises:
            EnvironmentFault: if the folder cannot be written.
        """
        make_folder(folder / "tenants")
        create_file(folder / "master.key", new_key())
        return cls(folder)

    def current(self, tenant: str) -> DataKey:
        """The key that seals for a tenant now; made where there is none, or it was erased.

        Raises:
            Untrusted: if the tenant's file or the master key was altered.
            EnvironmentFault: if they cannot be read or written.
        """
        path = self._path(tenant)
        known = self._current.get(tenant)
        if known and known.boxes < MOST_BOXES and known.stamp == _stamp(path):
            return known
        if known and known.boxes >= MOST_BOXES:
            return self._add(tenant)
        found = self._load(path)
        if found is None or found.name != tenant:
            return self._add(tenant)
        name = list(found.keys)[-1]
        return self._use(tenant, f"{found.id}.{name}", self._unwrap(found, name))

    def find(self, key: str) -> tuple[str, Sealer] | None:
        """The tenant and the sealer of a key's id; None if the tenant was erased.

        Raises:
            Untrusted: if a file was altered.
        """
        if self._known is None:
            self._known = {
                f"{one.id}.{name}": (one.name, Sealer(self._unwrap(one, name)))
                for one in self._tenants()
                for name in one.keys
            }
        return self._known.get(key)

    def rotate(self, tenant: str) -> str:
        """Give a tenant a new data key; what the old ones sealed stays readable."""
        return self._add(tenant).id

    def rotate_master(self) -> None:
        """Replace the master key and wrap every data key anew; what was sealed stays as it is.

        Killed in between, calling it again finishes: the new key is written before it is used.
        """
        with locked(self._folder / ".lock"):
            path, draft = self._folder / "master.key", self._folder / "master.next"
            create_file(draft, new_key())
            old, new = Sealer(self._master(path)), Sealer(self._master(draft))
            for one in self._tenants():
                for name, wrapped in one.keys.items():
                    words = _words(one.name, one.id, name)
                    try:
                        data = old.open(wrapped, about=words)
                    except Untrusted:
                        data = new.open(wrapped, about=words)
                    one.keys[name] = new.seal(data, about=words)
                write_file(self._path(one.name), msgspec.json.encode(one))
            draft.replace(path)
        self._current.clear()
        self._known = None

    def erase(self, tenant: str) -> None:
        """Delete a tenant's keys; nothing that they sealed can be read again.

        Raises:
            UserError: if the tenant has none.
        """
        with locked(self._folder / ".lock"):
            path = self._path(tenant)
            if not path.exists():
                raise UserError("no keys of that tenant", where=tenant[:80])
            # Overwritten first, for what little that is worth on disks that copy on write.
            size = path.stat().st_size
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(size))
            path.unlink()
        self._current.pop(tenant, None)
        self._known = None

    def tenants(self) -> list[str]:
        """The names of the tenants that have keys."""
        return sorted(one.name for one in self._tenants())

    def _add(self, tenant: str) -> DataKey:
        with locked(self._folder / ".lock"):
            path, key = self._path(tenant), new_key()
            found = self._load(path) or _Tenant(name=tenant, id=secrets.token_hex(8), keys={})
            name = str(len(found.keys) + 1)
            words = _words(found.name, found.id, name)
            found.keys[name] = Sealer(self._master(self._folder / "master.key")).seal(
                key, about=words
            )
            write_file(path, msgspec.json.encode(found))
        self._known = None
        return self._use(tenant, f"{found.id}.{name}", key)

    def _use(self, tenant: str, name: str, key: bytes) -> DataKey:
        made = DataKey(name, Sealer(key), stamp=_stamp(self._path(tenant)))
        if len(self._current) >= 4096:
            self._current.clear()
        self._current[tenant] = made
        return made

    def _unwrap(self, one: _Tenant, name: str) -> bytes:
        master = Sealer(self._master(self._folder / "master.key"))
        return master.open(one.keys[name], about=_words(one.name, one.id, name))

    def _tenants(self) -> Iterator[_Tenant]:
        for path in sorted((self._folder / "tenants").glob("*.json")):
            found = self._load(path)
            if found is not None:
                yield found

    def _load(self, path: Path) -> _Tenant | None:
        data = read_file(path, limit=_MAX_FILE)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=_Tenant)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Untrusted("a tenant's keys cannot be read", where=str(path)) from None

    def _master(self, path: Path) -> bytes:
        data = read_file(path, limit=KEY_BYTES)
        if data is None or len(data) != KEY_BYTES:
            raise ConfigError("no master key of 32 bytes", where=str(path))
        if path.stat().st_mode & 0o077:
            raise ConfigError("others may read the master key", where=str(path), hint="chmod 600")
        return data

    def _path(self, tenant: str) -> Path:
        name = hashlib.sha256(tenant.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._folder / "tenants" / f"{name}.json"


def _words(tenant: str, identity: str, name: str) -> bytes:
    return f"{identity}|{name}|{tenant}".encode("utf-8", "surrogatepass")


def _stamp(path: Path) -> tuple[int, int]:
    """What changes with the file; zeros if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (status.st_ino, status.st_mtime_ns)
