"""Blobs by content in a bucket, with verified copies of those that were used on this machine."""

from __future__ import annotations

import base64
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hauberk.adapters.s3.address import Bucket
from hauberk.core.digest import check_digest, digest_bytes, digest_file, short
from hauberk.core.errors import DataError, EnvironmentFault, Untrusted, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hauberk.core.ports import Store

_ABSENT = {"404", "NoSuchKey", "NotFound"}
_PARTS = 64 * 2**20  # one request below this size, so that the bucket checks the SHA-256 itself


class _Absent(EnvironmentFault):
    """The bucket has no such object."""


class S3Store:
    """A :class:`hauberk.core.ports.Store` in a bucket; ``max_bytes`` bounds one blob.

    What is read is verified against its digest and kept in ``cache``, a store of this machine; a
    copy that was altered there is fetched again. What was put is in the bucket when :meth:`put`
    returns.
    """

    def __init__(self, url: str, cache: Store, *, max_bytes: int = 16 * 2**30) -> None:
        self.bucket, self.max_bytes, self._cache = Bucket.parse(url), max_bytes, cache
        self._client = self.bucket.client()

    @property
    def place(self) -> str:
        """Bucket and prefix."""
        return self.bucket.place

    def put(self, data: bytes) -> str:
        self._check_size(len(data))
        digest = digest_bytes(data)
        if not self._intact(digest, len(data)):
            with self._faults(digest):
                self._client.put_object(
                    Bucket=self.bucket.name,
                    Key=self.bucket.key(digest),
                    Body=data,
                    ChecksumSHA256=_encoded(digest),
                )
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a copy of a file; return its digest.

        Raises:
            UserError: if there is no such file, or it is not a plain one.
            DataError: if it is larger than ``max_bytes``.
            EnvironmentFault: if the bucket does not answer or refuses.
        """
        if not path.is_file():
            raise UserError("no such file", where=str(path))
        size = path.stat().st_size
        self._check_size(size)
        if size <= _PARTS:
            return self.put(path.read_bytes())
        # Through a copy of ours: what is sent is what was hashed, whatever happens to the file.
        digest = self._cache.put_file(path)
        if not self._intact(digest, size):
            with self._faults(digest):
                self._client.upload_file(
                    str(self._cache.path(digest)),
                    self.bucket.name,
                    self.bucket.key(digest),
                    ExtraArgs={"ChecksumAlgorithm": "SHA256"},
                )
        return digest

    def path(self, digest: str) -> Path:
        check_digest(digest)
        try:
            return self._cache.path(digest)
        except (Untrusted, UserError):  # altered or absent here: the bucket's counts
            return self._fetch(digest)

    def get(self, digest: str) -> bytes:
        self.path(digest)
        return self._cache.get(digest)

    def __contains__(self, digest: str) -> bool:
        return self._head(check_digest(digest)) is not None

    def _fetch(self, digest: str) -> Path:
        head = self._head(digest)
        if head is None:
            raise UserError(
                f"no blob {short(digest)} in the store",
                where=self.bucket.place,
                hint="`hauberk models` lists what is there",
            )
        self._check_size(int(head["ContentLength"]))
        with tempfile.TemporaryDirectory(prefix="hauberk-fetch-") as folder:
            draft = Path(folder) / "blob"
            with self._faults(digest):
                self._client.download_file(self.bucket.name, self.bucket.key(digest), str(draft))
            if digest_file(draft) != digest:
                raise self._altered(digest)
            self._cache.put_file(draft)
        return self._cache.path(digest)

    def _head(self, digest: str) -> Any:
        try:
            with self._faults(digest):
                return self._client.head_object(
                    Bucket=self.bucket.name, Key=self.bucket.key(digest), ChecksumMode="ENABLED"
                )
        except _Absent:
            return None

    def _intact(self, digest: str, size: int) -> bool:
        """Whether the bucket holds it, by the bucket's own checksum where it has a whole one."""
        head = self._head(digest)
        if head is None or head["ContentLength"] != size:
            return False
        if size > _PARTS:
            return True
        return bool(head.get("ChecksumSHA256") == _encoded(digest))

    @contextmanager
    def _faults(self, digest: str) -> Iterator[None]:
        """The bucket's refusals in one line."""
        from boto3.exceptions import Boto3Error  # noqa: PLC0415 - of an extra
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _ABSENT:
                raise _Absent(f"no blob {short(digest)}", where=self.bucket.place) from None
            raise self._silent(f"{code or 'refused'} for {short(digest)}") from None
        except (BotoCoreError, Boto3Error) as error:
            raise self._silent(f"no answer ({type(error).__name__})") from None
        except OSError as error:
            raise self._silent(f"{error.strerror or error}") from None

    def _silent(self, why: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"the bucket: {why}",
            where=self.bucket.place,
            hint="check state.blobs, the credentials that AWS tools use, and the bucket's policy",
        )

    def _altered(self, digest: str) -> Untrusted:
        return Untrusted(
            f"HB-S001: blob {short(digest)} was altered",
            where=self.bucket.place,
            hint="restore the object from a version of it, or register the model again",
        )

    def _check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise DataError(f"{size} bytes, but a blob has at most {self.max_bytes}")


def _encoded(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest.removeprefix("sha256:"))).decode()
