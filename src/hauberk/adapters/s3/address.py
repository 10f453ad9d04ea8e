"""Where a bucket is: ``s3://bucket[/prefix][?endpoint=URL&region=NAME]``; never a credential."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_PREFIX = re.compile(r"(?!.*\.\.)[A-Za-z0-9/._-]{0,256}\Z")
_KNOWN = {"endpoint", "region", "insecure"}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket and a prefix in it; without ``endpoint`` it is Amazon's."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def parse(cls, url: str) -> Bucket:
        """Read the URL.

        Raises:
            ConfigError: if it cannot be read, or its endpoint is spoken to in the clear.
        """
        try:
            parts = urlsplit(url)
            given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        except ValueError:
            raise _wrong("not a URL") from None
        prefix = parts.path.strip("/")
        if not url.startswith(SCHEME) or not _BUCKET.match(parts.netloc):
            raise _wrong("names no bucket")
        if not _PREFIX.match(prefix) or given.keys() - _KNOWN:
            raise _wrong("odd prefix or parameter")
        endpoint = given.get("endpoint")
        if endpoint and not _may_speak(endpoint, given):
            raise _wrong("the endpoint is not https; insecure=yes allows it")
        return cls(name=parts.netloc, prefix=prefix, endpoint=endpoint, region=given.get("region"))

    @property
    def place(self) -> str:
        """Bucket and prefix."""
        return f"{SCHEME}{self.name}/{self.prefix}".rstrip("/")

    def key(self, digest: str) -> str:
        """The object's key of a well-formed digest."""
        name = digest.removeprefix("sha256:")
        return "/".join(part for part in (self.prefix, name[:2], name) if part)

    def client(self) -> Any:
        """A client; credentials come from where AWS tools look for them.

        Raises:
            ConfigError: if boto3 is not installed.
        """
        # Making one takes a third of a second; a fork must not share its parent's connections.
        return _client(self.endpoint, self.region, os.getpid())


@lru_cache(maxsize=16)
def _client(endpoint: str | None, region: str | None, _: int) -> Any:
    try:
        import boto3  # noqa: PLC0415 - of an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            "boto3 is not installed", where="state.blobs", hint="pip install 'hauberk[s3]'"
        ) from None
    settings = Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=16,
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region or ("us-east-1" if endpoint else None),
        config=settings,
    )


def _may_speak(endpoint: str, given: Mapping[str, str]) -> bool:
    parts = urlsplit(endpoint)
    if parts.username or parts.password or not parts.hostname:
        return False
    if parts.scheme == "https":
        return True
    try:
        here = parts.hostname == "localhost" or ip_address(parts.hostname).is_loopback
    except ValueError:
        here = False
    return parts.scheme == "http" and (here or given.get("insecure") == "yes")


def _wrong(what: str) -> ConfigError:
    return ConfigError(what, where="state.blobs", hint="s3://bucket/prefix?endpoint=https://host")
