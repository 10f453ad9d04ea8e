from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hauberk.adapters.local.store import LocalStore
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import DataError, EnvironmentFault, Untrusted, UserError


def tamper(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def test_a_blob_is_read_only_and_lies_under_its_digest(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    digest = store.put(b"blob")
    path = store.path(digest)
    assert path.name == digest.removeprefix("sha256:")
    assert path.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("fresh", [True, False])
def test_one_flipped_byte_is_found(tmp_path: Path, fresh: bool) -> None:
    store = LocalStore(tmp_path)
    digest = store.put(b"a model of some bytes")
    path = store.path(digest)
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    tamper(path, bytes(data))
    # The same size and times: only the time of the change gives it away.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    store = LocalStore(tmp_path) if fresh else store
    with pytest.raises(Untrusted, match="HB-S001"):
        store.path(digest)
    with pytest.raises(Untrusted, match="HB-S001"):
        store.get(digest)


def test_putting_the_right_bytes_again_heals_an_altered_blob(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    digest = store.put(b"good")
    tamper(store.path(digest), b"evil")
    assert store.put(b"good") == digest
    assert store.get(digest) == b"good"


def test_an_unchanged_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    digest = store.put(b"blob")
    store.path(digest)
    monkeypatch.setattr(LocalStore, "_hash", lambda *_: pytest.fail("hashed again"))
    store.path(digest)


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_only_a_plain_file_is_a_blob(tmp_path: Path, kind: str) -> None:
    store = LocalStore(tmp_path / "store")
    digest = store.put(b"blob")
    path = store.path(digest)
    path.rename(tmp_path / "elsewhere")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(Untrusted, match="HB-S001"):
        store.path(digest)
    with pytest.raises(Untrusted, match="HB-S001"):
        store.get(digest)


def test_a_full_disk_leaves_no_blob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = LocalStore(tmp_path / "store")
    source = tmp_path / "source"
    source.write_bytes(b"blob")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="disk full"):
        store.put(b"blob")
    with pytest.raises(EnvironmentFault, match="disk full"):
        store.put_file(source)
    assert digest_bytes(b"blob") not in store
    assert [path for path in (tmp_path / "store").rglob("*") if path.is_file()] == []


def test_a_blob_has_a_greatest_size(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store", max_bytes=3)
    source = tmp_path / "source"
    source.write_bytes(b"four")
    with pytest.raises(DataError, match="at most 3"):
        store.put(b"four")
    with pytest.raises(DataError, match="at most 3"):
        store.put_file(source)
    store.put(b"abc")


@pytest.mark.parametrize("name", ["/dev/zero", "/", "absent"])
def test_put_file_takes_plain_files_only(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        LocalStore(tmp_path).put_file(Path(name))
