"""The gateway against the bare ASGI floor: what the layers add to one request.

Both answer the same binary V2 request with the same linear model, each in a process of its own
behind uvicorn with uvloop and httptools. All layers are on but the model-specific detector: keys,
roles, quotas, schema, drift statistics, tap and sealed log. One raw socket asks each in turn, so
that whatever else the machine does falls on both.
"""

from __future__ import annotations

# ruff: noqa: PLC0415 - each process imports what it serves with, no more
import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import Row, at_most, conditions, publish

CLASSES = 10
SHAPES = {"28x28": (1, 28, 28), "3x224x224": (3, 224, 224)}
TARGETS = {"28x28": (0.25, 1.0), "3x224x224": (1.0, None)}


def floor(shape: tuple[int, ...], sock: socket.socket) -> None:
    """The least that can answer: parse, run, encode; no check of anything."""
    import uvicorn

    from hauberk.adapters.models.session import Session
    from hauberk.testing.toy_onnx import linear_onnx

    run = Session(linear_onnx(weights(shape), shape=shape))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        head_length = int(dict(scope["headers"])[b"inference-header-content-length"])
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        head = json.loads(body[:head_length])
        x = np.frombuffer(memoryview(body)[head_length:], np.float32)
        logits = run(x.reshape(head["inputs"][0]["shape"]))
        one: dict[str, Any] = {"name": "logits", "datatype": "FP32", "shape": list(logits.shape)}
        one["parameters"] = {"binary_data_size": logits.nbytes}
        told = json.dumps({"model_name": "m", "outputs": [one]}).encode()
        answer = told + logits.tobytes()
        headers = [
            (b"content-length", str(len(answer)).encode()),
            (b"inference-header-content-length", str(len(told)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    config = uvicorn.Config(app, loop="uvloop", http="httptools", lifespan="off", log_config=None)
    uvicorn.Server(config).run(sockets=[sock])


def ours(shape: tuple[int, ...], sock: socket.socket, folder: Path) -> None:
    """The gateway with its layers on."""
    from hauberk.adapters.local.records import RecordLog
    from hauberk.core.ports import Routing
    from hauberk.core.spec import parse_spec
    from hauberk.faces.gateway.compose import compose
    from hauberk.faces.gateway.identity import Clients
    from hauberk.faces.gateway.server import run
    from hauberk.testing.asking import clients
    from hauberk.testing.gateway_fakes import FakeWorld
    from hauberk.testing.toy_onnx import linear_onnx

    (folder / "blobs").mkdir()
    world, state = FakeWorld(folder / "blobs"), folder / "state"
    bounded = ("requests_per_second", "bytes_per_second", "rows_per_day")
    quota = dict.fromkeys(bounded, 1e12)
    spec = parse_spec({"model": {"name": "m"}, "quota": {**quota, "concurrent": 64}})
    records = RecordLog(state / "records")
    gateway = compose(
        spec, state=state, world=world.world, clients=Clients(clients()), records=records
    )
    gateway.pool.arrange(Routing(primary=world.add(linear_onnx(weights(shape), shape=shape))))
    run(gateway, spec, sock=sock, state=state)


def weights(shape: tuple[int, ...]) -> Any:
    """The same linear model for both."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(int(np.prod(shape)), CLASSES)).astype(np.float32)


def request(shape: tuple[int, ...]) -> bytes:
    """One binary request, headers and all."""
    from hauberk.testing.asking import CLIENT, binary_body

    x = np.random.default_rng(1).uniform(size=(1, *shape)).astype(np.float32)
    body, headers = binary_body(x, parameters={"binary_data_output": True})
    lines = ["POST /v2/models/m/infer HTTP/1.1", "Host: x", f"Authorization: Bearer {CLIENT}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Peer:
    """One server process and one connection to it."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        command = [sys.executable, "-m", "benchmarks.gateway", "--serve", kind, "--shape", name]
        command += ["--folder", str(folder), "--fd", str(sock.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[sock.fileno()])
        self.connection = socket.create_connection(sock.getsockname())
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.close()

    def ask(self, data: bytes) -> float:
        """Seconds from the first byte sent to the last one received."""
        started = time.perf_counter()
        self.connection.sendall(data)
        got = bytearray()
        while b"\r\n\r\n" not in got:
            got += self.connection.recv(65536)
        head, _, rest = bytes(got).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0])
        left = length - len(rest)
        while left > 0:
            left -= len(self.connection.recv(65536))
        took = time.perf_counter() - started
        if b" 200 " not in head[:20]:
            raise RuntimeError(bytes(got)[:500])
        return took

    def cpu(self) -> float:
        """CPU seconds of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def stop(self) -> None:
        """End it."""
        self.connection.close()
        self.process.terminate()
        self.process.wait(20)


def measure(name: str, asks: int) -> list[Row]:
    """Latency of both in turn, in milliseconds."""
    data = request(SHAPES[name])
    with tempfile.TemporaryDirectory() as folder:
        peers = [Peer(kind, name, Path(folder)) for kind in ("floor", "ours")]
        took: list[list[float]] = [[], []]
        try:
            for _ in range(200):
                for peer in peers:
                    peer.ask(data)
            before = [peer.cpu() for peer in peers]
            for _ in range(asks):
                for mine, peer in zip(took, peers, strict=True):
                    mine.append(peer.ask(data) * 1e3)
            cpu = [(p.cpu() - b) / asks * 1e3 for p, b in zip(peers, before, strict=True)]
        finally:
            for peer in peers:
                peer.stop()
    base, full = (dict(zip(("min", "p50", "p99"), figures(one), strict=True)) for one in took)
    rows = [
        Row(id=f"{name} {at} ms", measured=full[at], peer=base[at], ratio=full[at] / base[at])
        for at in ("min", "p50", "p99")
    ]
    rows.append(Row(id=f"{name} cpu ms", measured=cpu[1], peer=cpu[0], ratio=cpu[1] / cpu[0]))
    for at, target in zip(("p50", "p99"), TARGETS[name], strict=True):
        if target is not None:
            rows.append(at_most(f"{name} added {at} ms", full[at] - base[at], target))
    return rows


def figures(took: list[float]) -> tuple[float, float, float]:
    """Minimum, median and 99th percentile."""
    return min(took), statistics.median(took), statistics.quantiles(took, n=100)[98]


def main() -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asks", type=int, default=3000)
    parser.add_argument("--serve", choices=["floor", "ours"])
    parser.add_argument("--shape", choices=list(SHAPES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--fd", type=int)
    given = parser.parse_args()
    if given.serve:
        sock = socket.socket(fileno=given.fd)
        sock.setblocking(False)
        shape = SHAPES[given.shape]
        if given.serve == "floor":
            floor(shape, sock)
        else:
            ours(shape, sock, given.folder)
        return 0
    rows = [*measure("28x28", given.asks), *measure("3x224x224", max(100, given.asks // 5))]
    return publish("gateway", conditions(asks=given.asks), rows)


if __name__ == "__main__":
    sys.exit(main())
