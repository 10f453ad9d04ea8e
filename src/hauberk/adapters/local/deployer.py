"""Routings put into force by the gateway's control endpoint."""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import msgspec

from hauberk.adapters.local.files import read_file
from hauberk.core.errors import ConfigError, DataError, EnvironmentFault, Untrusted
from hauberk.core.ports import Routing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATH = "/v2/hauberk/routing"
_PAUSES = (0.05, 0.1, 0.2)  # seconds before each further try
_TIMEOUT = httpx.Timeout(30.0, connect=1.0)  # the gateway loads and warms a model up meanwhile
_MAX_ANSWER = 1 << 16


class _Address(msgspec.Struct):
    """What the gateway writes into ``gateway.json`` once it listens."""

    port: int
    host: str = "127.0.0.1"


class GatewayDeployer:
    """A :class:`hauberk.core.ports.Deployer` for one gateway.

    ``where`` is its state directory, whose ``gateway.json`` is read at each call since the port
    changes when the gateway starts anew, or its URL. ``token`` is an operator's; it is sent over
    TLS or within this machine, never in the clear.
    """

    def __init__(self, where: Path | str, token: str) -> None:
        self._where, self._token = where, token
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigError("the operator's token is empty or has odd characters")
        if isinstance(where, str):
            _check_url(where)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r})"

    def route(self, routing: Routing) -> None:
        """Route as told; the same routing again changes nothing.

        Raises:
            Untrusted: if a digest may not be served.
            ConfigError: if the token is not an operator's.
            DataError: if the gateway finds the routing malformed.
            EnvironmentFault: if the gateway does not answer.
        """
        self._ask("PUT", msgspec.json.encode(routing))

    def routing(self) -> Routing | None:
        status, body = self._ask("GET")
        if status in {204, 404} or body.strip() in {b"", b"null"}:
            return None
        try:
            return msgspec.json.decode(body, type=Routing)
        except (msgspec.DecodeError, RecursionError):
            raise EnvironmentFault(
                "the answer is not a routing", where=self._url(), hint="is this our gateway?"
            ) from None

    def _ask(self, method: str, content: bytes | None = None) -> tuple[int, bytes]:
        headers = {"authorization": f"Bearer {self._token}", "content-type": "application/json"}
        error: httpx.HTTPError | None = None
        for _ in _tries():
            url = self._url()
            try:
                # No proxy, no .netrc: the token goes to the gateway and nowhere else.
                with (
                    httpx.Client(timeout=_TIMEOUT, trust_env=False) as client,
                    client.stream(method, url, headers=headers, content=content) as answer,
                ):
                    status, body = answer.status_code, _body(answer)
            except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
                error = fault
                continue
            except httpx.HTTPError as fault:
                error = fault
                break
            _check_status(method, status, body, where=url)
            return status, body
        raise EnvironmentFault(
            f"the gateway does not answer ({type(error).__name__})",
            where=self._url(),
            hint="is `hauberk serve` running?",
        ) from None

    def _url(self) -> str:
        if isinstance(self._where, str):
            return self._where.rstrip("/") + _PATH
        path = self._where / "gateway.json"
        data = read_file(path, limit=_MAX_ANSWER)
        if data is None:
            raise EnvironmentFault(
                "no gateway has started here", where=str(path), hint="is `hauberk serve` running?"
            )
        try:
            address = msgspec.json.decode(data, type=_Address)
        except (msgspec.DecodeError, RecursionError):
            raise EnvironmentFault("not a gateway's address", where=str(path)) from None
        url = f"http://{address.host}:{address.port}"
        _check_url(url)
        return url + _PATH


def _tries() -> Iterator[None]:
    yield
    for pause in _PAUSES:
        time.sleep(pause)
        yield


def _body(answer: httpx.Response) -> bytes:
    body = b""
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > _MAX_ANSWER:
            raise httpx.DecodingError("answer too large", request=answer.request)
    return body


def _check_status(method: str, status: int, body: bytes, *, where: str) -> None:
    if 200 <= status < 300 or (method == "GET" and status == 404):
        return
    why = _reason(body)
    if status == 409:
        raise Untrusted(why or "the gateway may not serve that digest", where=where)
    if status in {401, 403}:
        raise ConfigError(
            "the gateway does not accept the operator's token",
            where=where,
            hint="`operator.token` in the state directory holds the gateway's",
        )
    if status in {400, 413, 415, 422}:
        raise DataError(f"the gateway refused the routing: {why or status}", where=where)
    raise EnvironmentFault(f"the gateway answered {status}: {why or 'no reason'}", where=where)


def _reason(body: bytes) -> str:
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    text = str(answer.get("error", "")) if isinstance(answer, dict) else ""
    return "".join(c if c.isprintable() else " " for c in text[:500])


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError("not a URL", where=url[:200]) from None
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.query:
        raise ConfigError("not the URL of a gateway", where=url[:200], hint="https://HOST:PORT")
    if parts.scheme == "http" and not _loopback(host):
        raise ConfigError("the token would travel in the clear", where=url[:200], hint="use https")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
