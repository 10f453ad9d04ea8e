"""Memory of the gateway in front of another server while many large bodies come at once.

64 clients send a float32 image of 3x1024x2048 each, 25 MB, at the same moment. Guarded, the gateway
reads every one and the answers are scores; passed through (``upstream.inspect = false``) bodies of
that size go both ways. The server behind is a process of its own that reads and forgets. What is
measured is the most resident memory beyond that of the idle process, as the kernel noted it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gateway_servers import await_live, free_ports
from benchmarks.table import Row, at_most

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHAPE, CLASSES = (3, 1024, 2048), 10
CLIENTS = 64
PIECE = 2**18
BODY = 4 * int(np.prod(SHAPE))
MIB = 2**20


async def behind(port: int, *, large: bool) -> None:
    """A V2 server that forgets what it reads; with ``large`` its answers are as long."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                left = next(
                    (
                        int(line.partition(":")[2])
                        for line in head.split("\r\n")
                        if line.lower().startswith("content-length")
                    ),
                    0,
                )
                while left:
                    left -= len(await reader.read(min(left, PIECE)))
                await answer(writer, head.split(" ", 2)[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(writer: asyncio.StreamWriter, path: str) -> None:
        size = 0
        if path == "/v2":
            told: dict[str, Any] = {"extensions": ["binary_tensor_data"]}
        elif not path.endswith("/infer"):
            ins = [{"name": "x", "datatype": "FP32", "shape": [-1, *SHAPE]}]
            told = {"inputs": ins, "outputs": [{"name": "y", "shape": [-1, CLASSES]}]}
        else:
            size = BODY if large else 4 * CLASSES
            out: dict[str, Any] = {"name": "y", "datatype": "FP32", "shape": [1, size // 4]}
            out["parameters"] = {"binary_data_size": size}
            told = {"model_name": "m", "outputs": [out]}
        text = json.dumps(told).encode()
        lines = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text) + size}\r\n"
        if size:
            lines += f"Inference-Header-Content-Length: {len(text)}\r\n"
        writer.write(lines.encode() + b"\r\n" + text)
        piece = bytes(PIECE)
        while size:
            writer.write(piece[:size])
            size -= min(size, PIECE)
            await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=PIECE)
    async with server:
        await server.serve_forever()


async def ask(port: int, head: bytes, body: memoryview) -> int:
    """Send one request and read its answer; its status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=PIECE)
    try:
        writer.write(head)
        for start in range(0, len(body), PIECE):
            writer.write(body[start : start + PIECE])
            await writer.drain()
        status = int((await reader.readline()).split()[1])
        while await reader.read(PIECE):
            pass
        return status
    finally:
        writer.close()


async def load(port: int, head: bytes, body: memoryview) -> list[int]:
    """All clients at once; every status."""
    return list(await asyncio.gather(*(ask(port, head, body) for _ in range(CLIENTS))))


def status_of(pid: int, field: str) -> float:
    """A figure of the kernel's about a process's memory, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith(field)).split()[1]) / 1024


def measure(folder: Path, name: str, settings: Mapping[str, Any], *, large: bool) -> list[Row]:
    """Rows of one way to serve; ``settings`` are lines of the section upstream."""
    from hauberk.testing.asking import CLIENT, binary_body  # noqa: PLC0415

    here, port = free_ports(2)
    place = folder / name.replace(" ", "-")
    processes: list[subprocess.Popen[bytes]] = []
    own = [sys.executable, "-m", "benchmarks.gateway_large"]
    try:
        processes.append(subprocess.Popen([*own, "--behind", str(here), *["--large"][:large]]))
        await_live(f"http://127.0.0.1:{here}/v2")
        fields = json.dumps({"url": f"http://127.0.0.1:{here}", **settings})
        log = (folder / f"{name}.log").open("wb")
        processes.append(
            subprocess.Popen(
                [*own, "--gateway", str(port), str(place), fields], stdout=log, stderr=log
            )
        )
        await_live(f"http://127.0.0.1:{port}/v2/health/ready")
        pid = processes[-1].pid
        body, headers = binary_body(
            np.zeros((1, *SHAPE), np.float32), id="1", parameters={"binary_data_output": True}
        )
        lines = {**headers, "Authorization": f"Bearer {CLIENT}", "Content-Length": str(len(body))}
        head = "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in lines.items()) + "\r\n"
        idle = status_of(pid, "VmRSS")
        begun = time.perf_counter()
        found = asyncio.run(load(port, head.encode(), memoryview(body)))
        took = time.perf_counter() - begun
        peak = status_of(pid, "VmHWM")
    finally:
        for process in processes:
            process.terminate()
            process.wait(30)
    good = sum(status == 200 for status in found)
    bodies = CLIENTS * (BODY // MIB) * (2 if large else 1)
    return [
        at_most(f"{name}: most memory beyond the idle process, MiB", peak - idle, LIMIT[large]),
        Row(id=f"{name}: of so many MiB in bodies at once", measured=float(bodies)),
        at_most(f"{name}: requests not answered 200", float(len(found) - good), 0.0),
        Row(id=f"{name}: seconds for {len(found)} requests", measured=took),
    ]


# Guarded, what `serve.max_bodies_bytes` lets in, what the filters make of it, and the tap's share;
# passed through, some pieces for each of 64 clients, both ways.
LIMIT = {False: 1024.0, True: 128.0}


WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "guarded": ({}, False),
    "passed through": ({"inspect": False}, True),
}


def rows(folder: Path, ways: Sequence[str] = tuple(WAYS)) -> list[Row]:
    """The ways to serve that are named."""
    found: list[Row] = []
    for name in ways:
        settings, large = WAYS[name]
        found += measure(folder, name, settings, large=large)
    return found


def gateway(port: int, folder: Path, upstream: Mapping[str, Any]) -> None:
    """A gateway with a sealed log and, where it reads the tensors, two filters."""
    from hauberk.adapters.local.records import RecordLog  # noqa: PLC0415
    from hauberk.core.spec import parse_spec  # noqa: PLC0415
    from hauberk.faces.gateway.compose import compose  # noqa: PLC0415
    from hauberk.faces.gateway.identity import Clients  # noqa: PLC0415
    from hauberk.faces.gateway.listen import listen  # noqa: PLC0415
    from hauberk.faces.gateway.server import run  # noqa: PLC0415
    from hauberk.testing.asking import clients  # noqa: PLC0415
    from hauberk.testing.gateway_fakes import FakeWorld  # noqa: PLC0415

    (folder / "blobs").mkdir(parents=True)
    serve: dict[str, Any] = {"max_body_bytes": 32 * MIB, "port": port}
    if upstream.get("inspect", True):
        serve["sanitise"] = ["requantise", "median"]
    limits = {"timeout": 60.0, "max_answer_bytes": 32 * MIB, "connections": CLIENTS}
    spec = parse_spec({"model": {"name": "m"}, "serve": serve, "upstream": {**limits, **upstream}})
    state = folder / "state"
    made = compose(
        spec,
        state=state,
        world=FakeWorld(folder / "blobs").world,
        clients=Clients(clients()),
        records=RecordLog(state / "records"),
    )
    run(made, spec, sock=listen("127.0.0.1", port), state=state)


def main(given: Sequence[str] | None = None) -> int:
    """Start what is asked for, or measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--behind", type=int)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--gateway", nargs=3)
    told = parser.parse_args(given)
    if told.behind:
        asyncio.run(behind(told.behind, large=told.large))
    elif told.gateway:
        gateway(int(told.gateway[0]), Path(told.gateway[1]), json.loads(told.gateway[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            for row in rows(Path(folder)):
                print(f"{row.id}: {row.measured:.1f} {row.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
