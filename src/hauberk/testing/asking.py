"""Asking a gateway in the same process: its application is driven without a socket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from hauberk.core.digest import digest_bytes
from hauberk.core.spec import ClientSpec, Spec, parse_spec
from hauberk.faces.gateway.compose import Gateway, compose
from hauberk.faces.gateway.identity import Clients

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hauberk.core.ports import Routing
    from hauberk.faces.gateway.tap import RecordSink
    from hauberk.testing.gateway_fakes import FakeWorld

CLIENT, OPERATOR = "token-of-a-client", "token-of-an-operator"
HEADER = "Inference-Header-Content-Length"


def clients() -> tuple[ClientSpec, ...]:
    """A client ``alice`` and an operator ``olga``, known by ``CLIENT`` and ``OPERATOR``."""
    return (
        ClientSpec(name="alice", token_sha256=digest_bytes(CLIENT.encode())),
        ClientSpec(name="olga", token_sha256=digest_bytes(OPERATOR.encode()), role="operator"),
    )


def fake_gateway(
    state: Path,
    world: FakeWorld,
    records: RecordSink,
    *,
    routing: Routing | None = None,
    spec: Mapping[str, Any] | None = None,
) -> Gateway:
    """A gateway of a model named ``m`` over a fake world; its tap is not started."""
    tree: dict[str, Any] = {"model": {"name": "m"}, **(spec or {})}
    read: Spec = parse_spec(tree)
    gateway = compose(
        read, state=state, world=world.world, clients=Clients(clients()), records=records
    )
    if routing is not None:
        gateway.pool.arrange(routing)
    return gateway


def ask(
    gateway: Gateway,
    method: str,
    path: str,
    *,
    token: str | None = CLIENT,
    headers: Mapping[str, str] | None = None,
    **body: Any,
) -> httpx.Response:
    """One request; ``body`` is ``json=`` or ``content=`` as httpx takes them."""
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"

    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(gateway.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, headers=sent, **body)

    return asyncio.run(go())


def json_body(x: NDArray[Any], **more: Any) -> dict[str, Any]:
    """An inference request for rows, as plain values."""
    tensor = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
    return {"inputs": [tensor], **more}


def binary_body(x: NDArray[np.float32], **more: Any) -> tuple[bytes, dict[str, str]]:
    """An inference request for rows with raw bytes, and its headers."""
    raw = np.ascontiguousarray(x).tobytes()
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": list(x.shape),
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [tensor], **more}).encode()
    headers = {"Content-Type": "application/octet-stream", HEADER: str(len(head))}
    return head + raw, headers
