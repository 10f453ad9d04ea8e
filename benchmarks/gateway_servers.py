"""The servers that are compared, each in a process of its own."""

from __future__ import annotations

# ruff: noqa: PLC0415 - each process imports what it serves with, no more
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np

from benchmarks.gateway_load import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = 10
SHAPES = {"28x28": (1, 28, 28), "3x224x224": (3, 224, 224)}
SANITISE = ("requantise", "median")
BOUNDED = ("requests_per_second", "bytes_per_second", "rows_per_day")
PEERS = Path(__file__).parent / "gateway_peers"


def weights(shape: tuple[int, ...]) -> Any:
    """The same linear model for all."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(int(np.prod(shape)), CLASSES)).astype(np.float32)


def floor(shape: tuple[int, ...], port: int) -> None:
    """The least that can answer: parse, run, encode; no check of anything."""
    import uvicorn

    from hauberk.adapters.models.session import Session
    from hauberk.testing.toy_onnx import linear_onnx

    run = Session(linear_onnx(weights(shape), shape=shape))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        head_length = int(dict(scope["headers"]).get(b"inference-header-content-length", 0))
        body, more = bytearray(), True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        if not head_length:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
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

    config = uvicorn.Config(
        app, port=port, loop="uvloop", http="httptools", lifespan="off", log_config=None
    )
    uvicorn.Server(config).run()


def ours(shape: tuple[int, ...], port: int, grpc_port: int, folder: Path, clients: int) -> None:
    """The gateway with its layers on but the model-specific detector."""
    from hauberk.adapters.local.records import RecordLog
    from hauberk.core.digest import digest_bytes
    from hauberk.core.ports import Routing
    from hauberk.core.spec import ClientSpec, parse_spec
    from hauberk.faces.gateway.compose import compose
    from hauberk.faces.gateway.identity import Clients
    from hauberk.faces.gateway.listen import listen
    from hauberk.faces.gateway.server import run
    from hauberk.testing.asking import clients as known
    from hauberk.testing.gateway_fakes import FakeWorld
    from hauberk.testing.toy_onnx import linear_onnx

    (folder / "blobs").mkdir(parents=True)
    world, state = FakeWorld(folder / "blobs"), folder / "state"
    spec = parse_spec(
        {
            "model": {"name": "m"},
            "quota": {**dict.fromkeys(BOUNDED, 1e12), "concurrent": 64},
            "serve": {"sanitise": list(SANITISE), "port": port, "grpc_port": grpc_port},
        }
    )
    more = (
        ClientSpec(name=f"c{n}", token_sha256=digest_bytes(token_of(n).encode()))
        for n in range(clients)
    )
    records = RecordLog(state / "records")
    gateway = compose(
        spec,
        state=state,
        world=world.world,
        clients=Clients((*known(), *more)),
        records=records,
    )
    gateway.pool.arrange(Routing(primary=world.add(linear_onnx(weights(shape), shape=shape))))
    run(gateway, spec, sock=listen("127.0.0.1", port, shared=True), state=state)


def service(folder: Path, shape: tuple[int, ...], port: int) -> Path:
    """The state directory of a gateway of two workers that count together, in SQLite."""
    import msgspec

    from hauberk.adapters.local.home import Home
    from hauberk.core.ports import Routing
    from hauberk.testing.asking import clients
    from hauberk.testing.toy_onnx import linear_onnx

    home = Home.create(folder)
    digest = home.store.put(linear_onnx(weights(shape), shape=shape))
    home.trust.sign(digest, {"role": "initial", "by": "bench"}, time.time())
    (folder / "routing.json").write_bytes(msgspec.json.encode(Routing(primary=digest)))
    bounds = "".join(f"{name} = 1e12\n" for name in BOUNDED)
    text = f"""
[model]
name = "m"
[serve]
port = {port}
workers = 2
sanitise = {json.dumps(SANITISE)}
[share]
backend = "sqlite"
[quota]
backend = "sqlite"
concurrent = 64
{bounds}"""
    for one in clients():
        fields = {"name": one.name, "token_sha256": one.token_sha256, "role": one.role}
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())
        text += f"[[serve.clients]]\n{lines}"
    (folder / "hauberk.toml").write_text(text)
    return folder


def token_of(number: int) -> str:
    """The token of the n-th of many clients."""
    return f"token-of-client-{number:06d}"


@dataclass
class Server:
    """One running server: its ports and processes."""

    url: str
    grpc_port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def pids(self) -> list[int]:
        """The processes that serve: those that were started, and their children."""
        found = [process.pid for process in self.processes]
        for pid in list(found):
            tasks = Path(f"/proc/{pid}/task/{pid}/children")
            found += [int(child) for child in tasks.read_text().split()] if tasks.exists() else []
        return found

    def stop(self) -> None:
        """End it."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(kind: str, name: str, folder: Path, *, clients: int = 0) -> Server | None:
    """Start a server for a shape's name and wait for it; None if its environment is missing."""
    http, grpc, inner, inner_grpc = free_ports(4)
    size, made = int(np.prod(SHAPES[name])), Server(f"http://127.0.0.1:{http}", grpc)
    log = (folder / f"{kind}-{name}.log").open("wb")

    def begin(command: Sequence[str], **more: Any) -> None:
        made.processes.append(subprocess.Popen(command, stdout=log, stderr=log, **more))

    live = "/v2/health/live"
    if kind == "workers":
        state = service(folder / f"{kind}-{name}", SHAPES[name], http)
        config = str(state / "hauberk.toml")
        words = ["-m", "hauberk", "serve", "--state", str(state), "--config", config]
        begin([sys.executable, *words])
        live = "/v2/health/ready"
    elif kind in {"floor", "ours", "processes"}:
        own = [sys.executable, "-m", "benchmarks.gateway", "--shape", name]
        own += ["--serve", "ours" if kind == "processes" else kind, "--clients", str(clients)]
        for number, other in enumerate((grpc, inner_grpc)[: 2 if kind == "processes" else 1]):
            place = folder / f"{kind}-{name}-{clients + number}"
            begin([*own, "--folder", str(place), "--ports", str(http), str(other)])
    elif kind == "mlserver":
        python = environment("mlserver")
        if python is None:
            return None
        _mlserver(folder / "mlserver", http, grpc)
        env = {**os.environ, "LINEAR_SIZE": str(size), "PYTHONPATH": str(PEERS)}
        begin([str(python.parent / "mlserver"), "start", str(folder / "mlserver")], env=env)
    else:
        python = environment("kserve")
        if python is None:
            return None
        script = [str(python), str(PEERS / "kserve_server.py")]
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        if kind == "transformer":
            begin([*script, "predictor", str(inner), str(inner_grpc), str(size)], env=clean)
            await_live(f"http://127.0.0.1:{inner}/v2/health/live")
            begin([*script, kind, str(http), str(grpc), f"127.0.0.1:{inner}"], env=clean)
        else:
            begin([*script, "predictor", str(http), str(grpc), str(size)], env=clean)
    await_live(made.url + live)
    return made


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def await_live(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(url, trust_env=False, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"nobody answers at {url}")


def _mlserver(folder: Path, http: int, grpc: int) -> None:
    folder.mkdir(exist_ok=True)
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": free_ports(1)[0]}
    server = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    model = {"name": "m", "implementation": "mlserver_model.Linear"}
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
