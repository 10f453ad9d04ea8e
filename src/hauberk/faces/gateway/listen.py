"""Listening: the socket, and the file that tells the others where it is."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from hauberk.adapters.local.files import make_folder, take_lock, write_file
from hauberk.core.digest import canonical_json
from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BACKLOG = 256


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket; port 0 takes a free one, ``shared`` lets others of ours listen there too.

    Raises:
        EnvironmentFault: if the port is in use or may not be used, or the host is not ours.
    """
    server = _bound(host, port, shared=shared)
    server.listen(_BACKLOG)
    server.settimeout(0)  # for the event loop
    return server


@contextmanager
def reserve(host: str, port: int) -> Iterator[int]:
    """Hold a port on which workers will listen; yields its number. Raises as :func:`listen` does.

    A program that does not share it cannot take it meanwhile, nor can we take one of another's.
    """
    with _bound(host, port, shared=True) as held:
        yield held.getsockname()[1]


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    where = f"{host}:{port}"
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise EnvironmentFault(f"no such host ({error})", where=where) from None
    server = socket.socket(family, kind, proto)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(address)
    except OSError as error:
        server.close()
        in_use = error.errno == errno.EADDRINUSE
        raise EnvironmentFault(
            "the port is in use" if in_use else f"cannot listen: {error.strerror}",
            where=where,
            hint="stop the other program, or choose another port (0 takes a free one)",
        ) from None
    return server


def reachable(host: str) -> str:
    """The host by which this machine reaches a server that listens there, as a URL writes it."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "[::1]" if address.version == 6 else "127.0.0.1"
    return f"[{host}]" if address.version == 6 else host


def announce(state: Path, host: str, port: int) -> None:
    """Write ``gateway.json``: host, port and process id.

    Raises:
        EnvironmentFault: if the disk is full.
    """
    value = {"host": reachable(host), "port": port, "pid": os.getpid()}
    write_file(state / "gateway.json", canonical_json(value))


def retract(state: Path) -> None:
    """Remove ``gateway.json``, lest a token is sent to whoever listens on that port next."""
    (state / "gateway.json").unlink(missing_ok=True)


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """Hold the state directory, since the tap has one writer; let go when the process dies.

    Raises:
        EnvironmentFault: if another gateway holds it.
    """
    make_folder(state)
    lock = take_lock(state / "gateway.lock")
    if lock is None:
        raise EnvironmentFault(
            "another gateway serves from this directory",
            where=str(state),
            hint="stop it, or give another --state",
        )
    try:
        yield
    finally:
        os.close(lock)
