"""The gateway against the bare ASGI floor and its peers: what its layers add to a request.

Every server runs the same linear model in a process of its own, and ``wrk`` asks it. Floor and
gateway take turns, so that whatever else the machine does falls on both; what is added is the
median over the turns of the differences. Two processes behind one port are measured as
``serve.workers`` runs them, with counts in SQLite, and with counts of their own. All layers of the
gateway are on but the model-specific detector: keys, roles, quotas, schema, sanitisers, drift
statistics, tap and sealed log.

``--million`` asks the gateway a million times and prints its memory, and then that of many large
requests at once (:mod:`benchmarks.gateway_large`); it takes minutes. ``--large WAY`` measures one
way to serve those alone, and leaves the other figures of the file as they are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gateway_large import WAYS
from benchmarks.gateway_large import rows as large
from benchmarks.gateway_load import Load, Question, cpu, memory, put_load, require_wrk
from benchmarks.gateway_plot import plot
from benchmarks.gateway_servers import SANITISE, SHAPES, Server, floor, ours, start, token_of
from benchmarks.table import RESULTS, Row, at_least, at_most, conditions, publish

if TYPE_CHECKING:
    from collections.abc import Sequence

INFER = "/v2/models/m/infer"
ADDED = {"28x28": (0.25, 1.0), "3x224x224": (1.0, None)}
TIMES = {"28x28": 5.0, "3x224x224": 20.0}
ROWS = (1, 4, 16, 64, 256)
PRINCIPALS = (10, 1_000, 100_000)
PUBLISHED_MS = (5.0, 8.0)


def question(shape: tuple[int, ...], *, rows: int = 1, binary: bool = True) -> Question:
    """A request for rows, raw or in JSON."""
    from hauberk.testing.asking import CLIENT, binary_body, json_body  # noqa: PLC0415

    x = np.random.default_rng(1).uniform(size=(rows, *shape)).astype(np.float32)
    token = {"Authorization": f"Bearer {CLIENT}"}
    if binary:
        body, headers = binary_body(x, id="1", parameters={"binary_data_output": True})
        return Question(body, {**headers, **token})
    text = json.dumps(json_body(x, id="1")).encode()
    return Question(text, {"Content-Type": "application/json", **token})


class Bench:
    """Servers of one shape, started once."""

    def __init__(self, name: str, folder: Path, kinds: Sequence[str], seconds: float) -> None:
        self.name, self.seconds, self.shape = name, seconds, SHAPES[name]
        self.servers: dict[str, Server] = {}
        for kind in kinds:
            server = start(kind, name, folder)
            if server is not None:
                self.servers[kind] = server

    def ask(self, kind: str, *, binary: bool = True, connections: int = 1) -> Load | None:
        """Load on one of them."""
        server = self.servers.get(kind)
        if server is None:
            return None
        asked = question(self.shape, binary=binary)
        return put_load(
            server.url + INFER,
            asked,
            pids=server.pids,
            seconds=self.seconds,
            connections=connections,
        )

    def stop(self) -> None:
        """End them."""
        for server in self.servers.values():
            server.stop()


def compare(bench: Bench, turns: int) -> list[Row]:
    """Latency of one client, ours against the floor, and requests a second against the peers."""
    rows: list[Row] = []
    loads: dict[str, list[Load]] = {"floor": [], "ours": []}
    bench.ask("floor")
    bench.ask("ours")
    for _ in range(turns):
        for kind, told in loads.items():
            load = bench.ask(kind)
            assert load is not None
            told.append(load)
    base, full = loads["floor"], loads["ours"]
    for key in ("low", "p50", "p99", "cpu"):
        ours_, floor_ = (statistics.median(getattr(x, key) for x in one) for one in (full, base))
        label = {"low": "min ms", "cpu": "CPU ms a request"}.get(key, f"{key} ms")
        rows.append(
            Row(id=f"{bench.name} {label}", measured=ours_, peer=floor_, ratio=ours_ / floor_)
        )
    for key, target in zip(("p50", "p99"), ADDED[bench.name], strict=True):
        added = statistics.median(
            getattr(a, key) - getattr(b, key) for a, b in zip(full, base, strict=True)
        )
        label = f"{bench.name} added {key} ms"
        rows.append(at_most(label, added, target) if target else Row(id=label, measured=added))
    return [*rows, *_rates(bench)]


def _rates(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    mine = {count: bench.ask("ours", connections=count) for count in (1, 8)}
    peers = [
        ("floor", True),
        ("kserve", True),
        ("kserve", False),
        ("transformer", False),
        ("mlserver", False),
    ]
    best = 0.0
    for kind, binary in peers:
        form = "binary" if binary else "JSON"
        for count in (1, 8):
            load, own = bench.ask(kind, binary=binary, connections=count), mine[count]
            if load is None or own is None:
                rows.append(Row(id=f"{bench.name} {kind}: not installed", measured=None))
                break
            best = max(best, load.rate) if kind == "kserve" else best
            rows.append(
                Row(
                    id=f"{bench.name} req/s, {count} clients, {kind} {form}",
                    measured=own.rate,
                    peer=load.rate,
                    ratio=own.rate / load.rate,
                )
            )
            if count == 1:
                label = f"{bench.name} p50 ms, {kind} {form}"
                rows.append(
                    Row(id=label, measured=own.p50, peer=load.p50, ratio=own.p50 / load.p50)
                )
                label = f"{bench.name} CPU ms a request, {kind} {form}"
                rows.append(
                    Row(id=label, measured=own.cpu, peer=load.cpu, ratio=own.cpu / load.cpu)
                )
    most = max((load.rate for load in mine.values() if load), default=0.0)
    for kind, what in (
        ("processes", "two processes that count apart"),
        ("workers", "serve.workers = 2, counts in SQLite"),
    ):
        two = bench.ask(kind, connections=8)
        if best and two is not None:
            label = f"{bench.name} req/s, 8 clients, {what}; KServe's SDK at its best"
            rows.append(Row(id=label, measured=two.rate, peer=best, ratio=two.rate / best))
    if (eight := mine[8]) is not None:
        label = f"{bench.name} CPU ms a request, 8 clients, ours"
        rows.append(Row(id=label, measured=eight.cpu))
        label = f"{bench.name} wrk's share of a core meanwhile"
        rows.append(Row(id=label, measured=eight.busy))
    if best:
        label = f"{bench.name} req/s over KServe's SDK at its best"
        rows.append(at_least(label, most / best, TIMES[bench.name]))
    return rows


def by_payload(bench: Bench) -> tuple[list[Row], list[tuple[float, float]]]:
    """The median latency of requests of more and more rows: a line fits it."""
    server, points = bench.servers["ours"], []
    for rows in ROWS:
        asked = question(bench.shape, rows=rows)
        load = put_load(server.url + INFER, asked, pids=server.pids, seconds=bench.seconds)
        points.append((len(asked.body) / 1024, load.p50))
    x, y = np.array(points).T
    slope, start_ = np.polyfit(x, y, 1, w=1 / y)
    fit = slope * x + start_
    worst = float(np.max(np.abs(fit - y) / y))
    exponent = float(np.polyfit(np.log(x[-3:]), np.log(y[-3:]), 1)[0])
    return [
        Row(id="payload: ms a further KiB", measured=float(slope)),
        Row(id="payload: worst distance from a line", measured=worst),
        at_most("payload: growth exponent, 16 to 256 rows", exponent, 1.05),
    ], points


def by_principals(folder: Path, seconds: float) -> tuple[list[Row], list[tuple[float, float]]]:
    """The median latency while more and more principals ask in turn."""
    points, shape = [], SHAPES["28x28"]
    for count in PRINCIPALS:
        server = start("ours", "28x28", folder, clients=count)
        assert server is not None
        try:
            base = question(shape)
            asked = Question(base.body, base.headers, [token_of(n) for n in range(count)])
            load = put_load(server.url + INFER, asked, pids=server.pids, seconds=2 * seconds)
            points.append((float(count), load.p50))
        finally:
            server.stop()
    ratio = points[-1][1] / points[0][1]
    return [at_most("principals: p50 of 100 000 over that of 10", ratio, 1.25)], points


def rpc(bench: Bench, asks: int = 1500) -> list[Row]:
    """The same over gRPC with raw contents, asked by one client; the servers take turns."""
    grpc: Any = import_module("grpc")  # of an extra

    from hauberk.adapters.upstream.wire import packed, put, put_always  # noqa: PLC0415
    from hauberk.testing.asking import CLIENT  # noqa: PLC0415

    x = np.random.default_rng(1).uniform(size=(1, *bench.shape)).astype(np.float32)
    tensor = put(1, "x") + put(2, "FP32") + put(3, packed(x.shape))
    data = put(1, "m") + put(3, "1") + put_always(5, tensor) + put_always(7, x.tobytes())
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    kinds: list[str] = [kind for kind in ("ours", "kserve") if kind in bench.servers]
    took: dict[str, list[float]] = {kind: [] for kind in kinds}
    used = dict.fromkeys(kinds, 0.0)
    turns, each = 15, asks // 15
    with ExitStack() as stack:
        calls: dict[str, Any] = {}
        for kind in kinds:
            place = f"127.0.0.1:{bench.servers[kind].grpc_port}"
            channel = stack.enter_context(grpc.insecure_channel(place, options))
            calls[kind] = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for turn in range(turns + 1):
            for kind, call in calls.items():
                before = sum(map(cpu, bench.servers[kind].pids))
                found = []
                for _ in range(each):
                    begun = time.perf_counter()
                    call(data, metadata=[("authorization", f"Bearer {CLIENT}")], timeout=20)
                    found.append((time.perf_counter() - begun) * 1e3)
                if turn:  # the first warms them up
                    took[kind] += found
                    used[kind] += sum(map(cpu, bench.servers[kind].pids)) - before
    if len(kinds) < 2:
        return [Row(id=f"{bench.name} gRPC: KServe is not installed", measured=None)]
    per_request = {kind: used[kind] / (turns * each) * 1e3 for kind in kinds}
    figures = {
        "p50 ms": {kind: statistics.median(found) for kind, found in took.items()},
        "min ms": {kind: min(found) for kind, found in took.items()},
        "CPU ms a request": per_request,
    }
    return [
        Row(
            id=f"{bench.name} gRPC {name}",
            measured=of["ours"],
            peer=of["kserve"],
            ratio=of["ours"] / of["kserve"],
        )
        for name, of in figures.items()
    ]


def sanitisers() -> list[Row]:
    """What the gateway does with an image before the model sees it, beside the published 5 to 8 ms.

    Validation and one sanitiser, an image at a time.
    """
    import cv2  # noqa: PLC0415

    from hauberk.faces.gateway.cleaning import cleaner  # noqa: PLC0415
    from hauberk.guard.schema import Schema  # noqa: PLC0415

    rows = []
    for shape, asks in (((3, 224, 224), 200), ((3, 1024, 2048), 20)):
        noise = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
        x = np.stack([cv2.GaussianBlur(plane, (0, 0), 3) for plane in noise])[None]
        schema = Schema(shape=shape)
        for name in ("requantise", "squeeze", "median", "bilateral", "jpeg", "tv"):
            clean, took = cleaner((name,)), []
            for _ in range(asks if name != "tv" else max(5, asks // 10)):
                begun = time.perf_counter()
                schema.check(x)
                clean(x, schema.bounds)
                took.append((time.perf_counter() - begun) * 1e3)
            p95 = float(np.quantile(took, 0.95))
            label = f"schema + {name} p95 ms, {'x'.join(map(str, shape))}"
            low = PUBLISHED_MS[0]
            rows.append(Row(id=label, measured=p95, peer=low, ratio=p95 / low))
    return rows


def swaps(folder: Path, seconds: float) -> list[Row]:
    """Two models put into force in turn, as often as they load, while requests come."""
    import httpx  # noqa: PLC0415

    from benchmarks.gateway_servers import weights  # noqa: PLC0415
    from hauberk.core.digest import digest_bytes  # noqa: PLC0415
    from hauberk.testing.asking import OPERATOR  # noqa: PLC0415
    from hauberk.testing.toy_onnx import linear_onnx  # noqa: PLC0415

    shape = SHAPES["28x28"]
    server = start("ours", "28x28", folder, clients=1)
    assert server is not None
    made = [linear_onnx(sign * weights(shape), shape=shape) for sign in (1, -1)]
    for data in made:
        (folder / "ours-28x28-1" / "blobs" / digest_bytes(data)).write_bytes(data)
    over, done = threading.Event(), [0]

    def swap() -> None:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as client:
            while not over.is_set():
                routing = {"primary": digest_bytes(made[done[0] % 2])}
                client.put("/v2/hauberk/routing", json=routing, timeout=30).raise_for_status()
                done[0] += 1
                over.wait(0.1)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        asked = question(shape)
        load = put_load(
            server.url + INFER, asked, pids=server.pids, seconds=2 * seconds, connections=2
        )
    finally:
        over.set()
        thread.join(60)
        server.stop()
    return [
        at_least("swaps: models put into force under load", float(done[0]), 10.0),
        at_least("swaps: requests a second meanwhile", load.rate, 500.0),
        at_most("swaps: requests that failed", float(load.wrong), 0.0),
    ]


def million(folder: Path, asks: int) -> list[Row]:
    """Memory of the gateway while it is asked again and again by eight clients."""
    server = start("ours", "28x28", folder)
    assert server is not None
    asked, done, after = question(SHAPES["28x28"]), 0, 0.0
    try:
        pid = server.processes[0].pid
        while done < asks:
            load = put_load(server.url + INFER, asked, pids=server.pids, seconds=20, connections=8)
            done += load.requests
            after = after if after and done - load.requests >= asks / 10 else memory(pid)
            print(f"{done} requests, {memory(pid):.0f} MiB", file=sys.stderr)
        grown = memory(pid) - after
    finally:
        server.stop()
    return [
        Row(id="requests", measured=float(done)),
        at_most("memory gained from a tenth of them to the last, MiB", grown, 16.0),
    ]


def main() -> int:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--million", type=int, nargs="?", const=1_000_000)
    parser.add_argument("--large", choices=list(WAYS))
    parser.add_argument("--serve", choices=["floor", "ours"])
    parser.add_argument("--shape", choices=list(SHAPES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--ports", type=int, nargs=2)
    parser.add_argument("--clients", type=int, default=0)
    given = parser.parse_args()
    if given.serve:
        shape, (http, grpc) = SHAPES[given.shape], given.ports
        if given.serve == "floor":
            floor(shape, http)
        else:
            ours(shape, http, grpc, given.folder, given.clients)
        return 0
    require_wrk()
    facts = conditions(seconds=given.seconds, turns=given.turns, sanitise=" ".join(SANITISE))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if given.large:
            own = {"parts": {given.large: {"load": facts["load"]}}}
            old = json.loads((RESULTS / "gateway-memory.json").read_text())["conditions"]
            found = large(folder, [given.large])
            return publish("gateway-memory", {**old, **own}, found, keep=":")
        if given.million:
            found = [*million(folder, given.million), *large(folder)]
            return publish("gateway-memory", facts, found)
        rows: list[Row] = sanitisers()
        lines = {}
        for name in SHAPES:
            kinds = (
                "floor",
                "ours",
                "processes",
                "workers",
                "kserve",
                "transformer",
                "mlserver",
            )
            bench = Bench(name, folder, kinds, given.seconds)
            try:
                rows += compare(bench, given.turns)
                rows += rpc(bench, 1500 if name == "28x28" else 300)
                if name == "28x28":
                    more, lines["payload"] = by_payload(bench)
                    rows += more
            finally:
                bench.stop()
        rows += swaps(folder, given.seconds)
        more, lines["principals"] = by_principals(folder, given.seconds)
        rows += more
    plot(lines["payload"], lines["principals"])
    return publish("gateway", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
