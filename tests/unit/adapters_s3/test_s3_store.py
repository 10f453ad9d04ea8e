"""Blobs in a bucket: what was altered, in the bucket or in the copies here, is never given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hauberk.adapters.local.store import LocalStore
from hauberk.core.errors import ConfigError, DataError, EnvironmentFault, Untrusted

boto3 = pytest.importorskip("boto3")

from hauberk.adapters.s3.address import Bucket  # noqa: E402
from hauberk.adapters.s3.store import S3Store  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(bucket_url: str, tmp_path: Path) -> S3Store:
    return S3Store(bucket_url, cache=LocalStore(tmp_path / "cache"))


def replace(store: S3Store, digest: str, data: bytes) -> None:
    key = store.bucket.key(digest)
    store._client.put_object(Bucket=store.bucket.name, Key=key, Body=data)


def test_an_altered_object_is_refused_and_healed_by_a_put(store: S3Store, tmp_path: Path) -> None:
    digest = store.put(b"a model")
    replace(store, digest, b"an evil one")
    with pytest.raises(Untrusted, match="HB-S001"):
        store.get(digest)
    assert not list((tmp_path / "cache").rglob("*[0-9a-f]"))
    replace(store, digest, b"a modem")  # of the same size
    assert store.put(b"a model") == digest
    assert store.get(digest) == b"a model"


def test_an_altered_copy_is_fetched_again(store: S3Store) -> None:
    digest = store.put(b"a model")
    copy = store.path(digest)
    copy.chmod(0o600)
    copy.write_bytes(b"altered")
    assert store.path(digest).read_bytes() == b"a model"


def test_a_large_file_goes_up_in_parts(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hauberk.adapters.s3.store._PARTS", 1 << 20)
    data = bytes(range(256)) * 40_000
    (tmp_path / "large").write_bytes(data)
    digest = store.put_file(tmp_path / "large")
    assert store.put_file(tmp_path / "large") == digest
    other = S3Store(
        f"s3://{store.bucket.name}/blobs?endpoint={store.bucket.endpoint}",
        cache=LocalStore(tmp_path / "other"),
    )
    assert other.get(digest) == data


def test_limits_and_silence(bucket_url: str, tmp_path: Path) -> None:
    small = S3Store(bucket_url, cache=LocalStore(tmp_path), max_bytes=10)
    with pytest.raises(DataError, match="at most 10"):
        small.put(b"more than ten")
    gone = S3Store(bucket_url.replace("s3://t-", "s3://gone-"), cache=LocalStore(tmp_path))
    with pytest.raises(EnvironmentFault, match="NoSuchBucket"):
        gone.put(b"x")
    deaf = Bucket.parse("s3://bucket?endpoint=http://127.0.0.1:1")
    assert deaf.place == "s3://bucket"
    with pytest.raises(EnvironmentFault, match="no answer"):
        S3Store("s3://bucket?endpoint=http://127.0.0.1:1", cache=LocalStore(tmp_path)).put(b"x")


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://UPPER",
        "https://bucket",
        "s3://bucket/../other",
        "s3://bucket?endpoint=http://minio:9000",
        "s3://bucket?endpoint=https://key:secret@host",
        "s3://bucket?secret=x",
        "s3://bucket?endpoint",
    ],
)
def test_what_is_no_bucket(url: str) -> None:
    with pytest.raises(ConfigError):
        Bucket.parse(url)


def test_a_bucket_beyond_this_machine() -> None:
    assert Bucket.parse("s3://bucket/a/b?endpoint=https://minio:9000").prefix == "a/b"
    in_the_clear = Bucket.parse("s3://bucket?endpoint=http://minio:9000&insecure=yes")
    assert in_the_clear.endpoint == "http://minio:9000"
