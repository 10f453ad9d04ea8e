"""The API server as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import msgspec
import yaml

from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ApiServer:
    """A running server; its kubeconfig and its audit log are in ``folder``."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, *, seconds: float = 30.0) -> Self:
        """Start it and wait until it listens.

        Raises:
            EnvironmentFault: if it does not.
        """
        command = [sys.executable, "-m", "hauberk.testing.kube", str(folder)]
        server = cls(folder, subprocess.Popen(command))
        deadline = time.monotonic() + seconds
        while not server.kubeconfig.exists():
            if server.process.poll() is not None or time.monotonic() > deadline:
                server.stop()
                raise EnvironmentFault("the API server does not start", where=str(folder))
            time.sleep(0.02)
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def kubeconfig(self) -> Path:
        """How clients reach it."""
        return self.folder / "kubeconfig"

    @property
    def url(self) -> str:
        """Where it listens."""
        tree = yaml.safe_load(self.kubeconfig.read_text())
        return str(tree["clusters"][0]["cluster"]["server"])

    def named(self, who: str) -> Path:
        """A kubeconfig by which a client's requests bear a name in the audit log."""
        path = self.folder / f"kubeconfig-{who}"
        path.write_text(self.kubeconfig.read_text().replace(self.url, f"{self.url}/as/{who}"))
        return path

    def audit(self) -> list[dict[str, Any]]:
        """Every request to an object so far."""
        lines = (self.folder / "audit.jsonl").read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines]

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
