"""An issuer's key set: fetched, kept for a while, fetched anew when a token names another key."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from hauberk.access.tokens import KeySet
from hauberk.adapters.local.files import read_file
from hauberk.core.errors import ConfigError, DataError, EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_BYTES = 1 << 18
_SECONDS = 5.0


class Jwks:
    """The key set of an issuer. ``load(at)`` is what is known; it asks at most every ``pause`` s.

    A set that cannot be renewed is used for ``stale`` more seconds, since an issuer that is down
    must not take the service with it; after that no token is good.
    """

    def __init__(
        self,
        fetch: Callable[[], bytes],
        *,
        fresh: float = 300.0,
        pause: float = 10.0,
        stale: float = 3600.0,
    ) -> None:
        self._fetch, self._fresh, self._pause, self._stale = fetch, fresh, pause, stale
        self._keys: KeySet | None = None
        self._read_at = self._asked_at = float("-inf")
        self._lock = threading.Lock()

    def load(self, at: float, *, renew: bool = False) -> KeySet:
        """The key set; with ``renew``, a newer one if the last was not just asked for.

        Raises:
            EnvironmentFault: if there is none that may still be used.
        """
        with self._lock:
            old = at - self._read_at >= self._fresh
            if (old or renew) and at - self._asked_at >= self._pause:
                self._asked_at = at
                with suppress(EnvironmentFault, DataError):
                    self._keys, self._read_at = KeySet.read(self._fetch()), at
            if self._keys is None or at - self._read_at >= self._fresh + self._stale:
                raise EnvironmentFault("the issuer's keys cannot be had", where="access.jwks")
            return self._keys


def source(place: str) -> Callable[[], bytes]:
    """What reads a key set from an https URL, one on this machine, or a file.

    Raises:
        ConfigError: if the URL is neither https nor of this machine: whoever can change the
            answer on its way could let anyone in.
    """
    if "://" not in place:
        return lambda: _from_file(Path(place))
    try:
        url = httpx.URL(place)
    except httpx.InvalidURL:
        raise ConfigError("not a URL", where="access.jwks") from None
    if url.scheme != "https" and not (url.scheme == "http" and url.host == "127.0.0.1"):
        raise ConfigError("must be an https URL", where="access.jwks")
    return lambda: _from_url(url)


def _from_file(path: Path) -> bytes:
    data = read_file(path, limit=_MAX_BYTES)
    if data is None:
        raise EnvironmentFault("no such file", where=str(path))
    return data


def _from_url(url: httpx.URL) -> bytes:
    data = bytearray()
    try:
        with httpx.stream("GET", url, timeout=_SECONDS, follow_redirects=False) as response:
            if response.status_code != httpx.codes.OK:
                raise EnvironmentFault(f"answers {response.status_code}", where="access.jwks")
            for part in response.iter_bytes():
                data += part
                if len(data) > _MAX_BYTES:
                    raise EnvironmentFault("answers too much", where="access.jwks")
    except httpx.HTTPError as error:
        raise EnvironmentFault(f"no answer ({type(error).__name__})", where="access.jwks") from None
    return bytes(data)
