"""A gateway in a process of its own over a fake world, for tests that need real sockets.

``python -m hauberk.testing.gateway_process FOLDER SPEC`` serves a linear model of 3 classes over
rows of shape (1, 2, 3), with the clients of :mod:`hauberk.testing.asking`; SPEC is JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from hauberk.core.digest import digest_bytes
from hauberk.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from collections.abc import Mapping

SHAPE = (1, 2, 3)
_PATIENCE = 30.0


@dataclass(frozen=True)
class GatewayProcess:
    """One running gateway: its process, its folder, its ports."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    grpc_port: int

    @property
    def url(self) -> str:
        """Where it answers over HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.folder / "state"

    @property
    def told(self) -> str:
        """What it wrote to stderr so far."""
        return (self.folder / "stderr").read_text("utf-8")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(_PATIENCE)


def start_gateway(folder: Path, spec: Mapping[str, Any] | None = None) -> GatewayProcess:
    """Start a gateway and wait until it lives.

    Raises:
        EnvironmentFault: if it does not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ports = _free_ports()
    tree = {**(spec or {})}
    tree["serve"] = {
        **dict(zip(("port", "grpc_port"), ports, strict=True)),
        **tree.get("serve", {}),
    }
    command = [sys.executable, "-m", "hauberk.testing.gateway_process", str(folder)]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen([*command, json.dumps(tree)], stderr=stderr, env=os.environ)
    made = GatewayProcess(process, folder, *ports)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{made.url}/v2/health/live", trust_env=False).is_success:
                return made
        except httpx.HTTPError:
            time.sleep(0.05)
    process.kill()
    raise EnvironmentFault(f"the gateway did not start: {made.told[-500:]}", where=str(folder))


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def main() -> None:
    """Serve until SIGTERM."""
    from hauberk.adapters.local.records import RecordLog  # noqa: PLC0415 - of the process alone
    from hauberk.core.ports import Routing  # noqa: PLC0415
    from hauberk.core.spec import parse_spec  # noqa: PLC0415
    from hauberk.faces.gateway.compose import compose  # noqa: PLC0415
    from hauberk.faces.gateway.identity import Clients  # noqa: PLC0415
    from hauberk.faces.gateway.listen import listen  # noqa: PLC0415
    from hauberk.faces.gateway.server import run  # noqa: PLC0415
    from hauberk.testing.asking import clients  # noqa: PLC0415
    from hauberk.testing.gateway_fakes import FakeWorld, calibration  # noqa: PLC0415

    folder, tree = Path(sys.argv[1]), json.loads(sys.argv[2])
    tree.setdefault("model", {"name": "m"})
    paired = tree.pop("paired", False)
    spec = parse_spec(tree)
    blobs = folder / "blobs"
    blobs.mkdir(exist_ok=True)
    world, state = FakeWorld(blobs), folder / "state"
    gateway = compose(
        spec,
        state=state,
        world=world.world,
        clients=Clients((*clients(), *spec.serve.clients)),
        records=RecordLog(state / "records"),
    )
    routing = Routing(primary=world.linear(SHAPE))
    if paired:
        made = calibration(0.2)
        (blobs / digest_bytes(made)).write_bytes(made)
        routing = Routing(
            primary=routing.primary,
            twin=world.linear(SHAPE, seed=1),
            calibration=digest_bytes(made),
        )
    gateway.pool.arrange(routing)
    run(gateway, spec, sock=listen(spec.serve.host, spec.serve.port), state=state)


if __name__ == "__main__":
    main()
