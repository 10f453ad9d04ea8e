"""The clients that users have, unchanged: ``kserve`` and ``tritonclient``, over HTTP and gRPC.

They need other versions of what we install, so a Python of their own runs them; CI names it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hauberk.testing.asking import CLIENT, OPERATOR
from hauberk.testing.gateway_process import GatewayProcess, start_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = os.environ.get("HAUBERK_PEERS_PYTHON", "")
SCRIPT = Path(__file__).with_name("official_clients.py")
pytestmark = pytest.mark.skipif(
    not PYTHON,
    reason="HAUBERK_PEERS_PYTHON names no Python with kserve and tritonclient[http,grpc]",
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    pytest.importorskip("grpc", reason="the grpc extra is not installed")
    made = start_gateway(tmp_path_factory.mktemp("gateway"))
    yield made
    made.stop()


@pytest.mark.parametrize("case", ["kserve-rest", "kserve-grpc", "triton-http", "triton-grpc"])
def test_an_official_client_is_content(gateway: GatewayProcess, case: str) -> None:
    where = [f"127.0.0.1:{port}" for port in (gateway.port, gateway.grpc_port)]
    command = [PYTHON, str(SCRIPT), case, *where, CLIENT, OPERATOR]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=clean
    )
    assert done.stdout.strip().endswith("ok"), done.stderr[-3000:]
