"""Real servers for tests, on loopback and in folders of their own, gone when the block ends."""

from __future__ import annotations

import glob
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEBIAN = "/usr/lib/postgresql/*/bin"


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None where it is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += [Path(one) for one in sorted(glob.glob(_DEBIAN), reverse=True)]  # noqa: PTH207
    return next((one for one in folders if (one / "pg_ctl").is_file()), None)


@dataclass
class Postgres:
    """A cluster of its own; ``url`` names a database in it, with the password of its owner."""

    programs: Path
    folder: Path
    port: int
    password: str
    as_user: dict[str, Any]

    def url(self, database: str = "postgres") -> str:
        """A database's URL."""
        return f"postgresql://hauberk:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait for it."""
        self._control("start", "-l", str(self.folder / "log"), "-o", self._options(), "-w")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends sessions, ``immediate`` is a crash."""
        self._control("stop", "-m", mode, "-w")

    def restart(self, mode: str = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    def create(self, *, template: str = "template1") -> str:
        """A new database, a copy of ``template``; its URL."""
        import psycopg  # noqa: PLC0415 - of an extra

        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def _options(self) -> str:
        sockets = f"-c unix_socket_directories= -c listen_addresses=127.0.0.1 -p {self.port}"
        return f"{sockets} -c max_connections=200 -c shared_buffers=32MB"

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), *words)

    def _run(self, program: str, *words: str) -> None:
        with (self.folder / "control.log").open("ab") as log:
            subprocess.run(
                [str(self.programs / program), *words],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
                timeout=120,
                **self.as_user,
            )


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A PostgreSQL server; where we are root it runs as ``nobody``, since it refuses root."""
    programs = postgres_programs()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="hauberk-postgres-"))
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    password = secrets.token_hex(16)
    server = Postgres(programs, folder, free_port(), password, as_user)
    try:
        secret = folder / "password"
        secret.write_text(password)
        if as_user:
            os.chown(secret, as_user["user"], as_user["group"])
        server._run(  # noqa: SLF001 - its own maker
            "initdb", "-D", str(folder / "data"), "-U", "hauberk", "-E", "UTF8", "--locale=C",
            "--auth=scram-sha-256", "--pwfile", str(secret), "--no-instructions", "--no-sync",
        )  # fmt: skip
        server.start()
        yield server
    finally:
        with suppress(subprocess.SubprocessError):
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def s3_server() -> Iterator[str]:
    """Moto's server as a process; its URL."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server)
        yield url
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def until(true: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for something to be true, and return it; fails where that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
    return found


def redis_program() -> str | None:
    """The server of Redis or Valkey; None where there is none."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@contextmanager
def redis_server(folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis that keeps nothing: its URL and its process, which may be killed.

    By default it takes a port that is free; another one may take its place there.
    """
    program, port = redis_program(), port or free_port()
    assert program is not None, "no redis-server on this machine"
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*words, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port))
        yield f"redis://127.0.0.1:{port}/0", process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port of loopback that nothing listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}")
        try:
            httpx.get(url, timeout=5.0, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server does not answer")
