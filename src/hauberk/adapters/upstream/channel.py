"""Channel: bounded exchanges with one HTTP server over a pool of connections."""

from __future__ import annotations

import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

import httpcore

from hauberk.adapters.upstream.connections import Connections
from hauberk.adapters.upstream.deadline import Clock, DeadlineBackend
from hauberk.adapters.upstream.trouble import Trouble
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hauberk.core.spec import UpstreamSpec

_PIECE = 256 * 2**10
# Less than after which servers close idle connections, lest a request meets one that closes.
IDLE_SECONDS = 2.0
_REFUSALS = range(400, 500)
# These of the four hundreds are about the server, not about what was asked.
_TROUBLED = {408, 425, 429}


@dataclass(frozen=True)
class Reply:
    """The body of an answer and its headers by lower-case name."""

    body: bytes | bytearray
    headers: Mapping[bytes, bytes]


class Channel:
    """POST and GET below a URL, each over before ``timeout`` seconds, no answer over the limit.

    Nothing is repeated here. Redirects are not followed: another host was not configured.

    Raises:
        ConfigError: if the URL, the token or the authorities cannot be read.
    """

    def __init__(self, spec: UpstreamSpec) -> None:
        self._url, self._headers, secret = place(spec)
        self._timeout, self._limit = spec.timeout, spec.max_answer_bytes
        self._connect = {"timeout": {"connect": spec.connect_timeout}}
        self._clock = Clock()
        origin = self._url.origin
        backend = DeadlineBackend(self._clock)
        self._pool = Connections(
            lambda: httpcore.HTTPConnection(
                origin, ssl_context=secret, keepalive_expiry=IDLE_SECONDS, network_backend=backend
            ),
            limit=spec.connections,
        )
        finalize(self, self._pool.close)

    def get(self, path: str) -> Reply:
        """The answer to a GET; raises as :meth:`post` does."""
        return self._exchange("GET", path, (), {})

    def post(
        self, path: str, parts: Sequence[bytes | memoryview], headers: Mapping[str, str]
    ) -> Reply:
        """The answer to a body that is sent part by part.

        Raises:
            Trouble: if there is no whole answer of 200 in time.
        """
        return self._exchange("POST", path, parts, headers)

    def _exchange(
        self,
        method: str,
        path: str,
        parts: Sequence[bytes | memoryview],
        more: Mapping[str, str],
    ) -> Reply:
        url = below(self._url, path)
        headers = [*self._headers, *((k.encode(), v.encode()) for k, v in more.items())]
        if parts:
            headers.append((b"content-length", str(sum(map(len, parts))).encode()))
        self._clock.ends = time.monotonic() + self._timeout
        request = httpcore.Request(
            method, url, headers=headers, content=_pieces(parts), extensions=self._connect
        )
        with troubles(self._timeout), self._pool.one(wait=self._timeout) as connection:
            response = connection.handle_request(request)
            try:
                return self._reply(response)
            finally:
                response.close()
        raise AssertionError

    def _reply(self, response: httpcore.Response) -> Reply:
        body = bytearray()
        for piece in response.iter_stream():
            body += piece
            if len(body) > self._limit:
                raise Trouble("garbage", f"its answer is longer than {self._limit} bytes")
        check_status(response.status)
        return Reply(body, {name.lower(): value for name, value in response.headers})


@contextmanager
def troubles(timeout: float) -> Iterator[None]:
    """Whatever the library raises in here, as what can go wrong with a server.

    Raises:
        Trouble: instead.
    """
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
        raise Trouble("down", f"no connection ({type(error).__name__})", sent=False) from None
    except (httpcore.TimeoutException, TimeoutError):
        raise Trouble("slow", f"no whole answer within {timeout:g} s") from None
    except httpcore.RemoteProtocolError as error:
        # The library says so of a connection that ended before an answer began.
        broke = "without sending" in str(error) or "incomplete" in str(error)
        raise Trouble("down" if broke else "garbage", "its answer broke off") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        raise Trouble("down", f"the connection broke ({type(error).__name__})") from None


def check_status(status: int) -> None:
    """Return if an answer is a success.

    Raises:
        Trouble: ``refused`` if it finds the request at fault, else ``down``.
    """
    if status in _REFUSALS and status not in _TROUBLED:
        raise Trouble("refused", f"it answers {status}")
    if status != 200:
        raise Trouble("down", f"it answers {status}")


def place(spec: UpstreamSpec) -> tuple[httpcore.URL, list[tuple[bytes, bytes]], ssl.SSLContext]:
    """An upstream's URL, the headers of every request to it, and whom to believe.

    Raises:
        ConfigError: if the URL, the token or the authorities cannot be read.
    """
    try:
        url = httpcore.URL(spec.url.rstrip("/"))
        fits = url.scheme in {b"http", b"https"} and url.host
    except (ValueError, TypeError):
        fits = False
    if not fits:
        raise ConfigError("must be an http or https URL", where="upstream.url")
    headers = [(b"host", _host(url))]
    if spec.token_file:
        headers.append((b"authorization", b"Bearer " + _token(Path(spec.token_file))))
    return url, headers, _authorities(spec.ca)


def below(url: httpcore.URL, path: str) -> httpcore.URL:
    """A path below a URL."""
    target = url.target.rstrip(b"/") + path.encode()
    return httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=target)


def _pieces(parts: Sequence[bytes | memoryview]) -> Iterator[bytes]:
    """What is sent, in pieces, so that a large body is never copied whole."""
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), _PIECE):
            yield bytes(view[start : start + _PIECE])


def _host(url: httpcore.URL) -> bytes:
    default = {b"http": 80, b"https": 443}[url.scheme]
    return url.host if url.port in {None, default} else b"%b:%d" % (url.host, url.port)


def _token(path: Path) -> bytes:
    try:
        token = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path)) from None
    if not token or b"\n" in token or b"\r" in token:
        raise ConfigError("holds no token", where=str(path))
    return token


def _authorities(file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"no authorities: {error}", where="upstream.ca") from None
