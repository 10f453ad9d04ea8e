"""A linear model behind a server for tests: V2, TensorFlow Serving's REST, JSON, misbehaviour.

``mode`` may change at any time: ``good``, ``slow`` (answers after ``wait`` s), ``hang`` (never),
``trickle`` (a byte now and then), ``reset``, ``cut`` (half of the body), ``garbage``, ``shape``
(outputs of another shape), ``nan``, ``error`` (500), ``refuse`` (400), ``huge``.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE, CLASSES = (2, 3), 4
WEIGHTS = np.random.default_rng(3).normal(size=(6, CLASSES)).astype(np.float32)
_LENGTH = "inference-header-content-length"


def expected(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of rows."""
    out: NDArray[np.float32] = x.reshape(len(x), -1) @ WEIGHTS
    return out


class UpstreamServer:
    """Listens on a free port of this machine until it is closed."""

    def __init__(self, *, binary: bool = True, gives: str = "logits", port: int = 0) -> None:
        self.mode, self.wait = "good", 0.3
        self.binary, self.gives = binary, gives
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                del args

            def do_GET(self) -> None:
                told = json.dumps(outer.metadata(self.path)).encode()
                outer.send(self, told, {"Connection": "close"})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.asked.append(self.path)
                outer.respond(self, body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args: Any) -> None:
                del args  # clients that go away are what is tested

        self._http = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._http.server_address[1]

    @property
    def url(self) -> str:
        """The same as a URL."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()

    def metadata(self, path: str) -> dict[str, Any]:
        """What a GET is told."""
        if path == "/v2":
            return {"name": "toy", "extensions": ["binary_tensor_data"] if self.binary else []}
        if path.startswith("/v1"):
            sizes = ["-1", *map(str, SHAPE)]
            ins: Any = {"x": {"tensor_shape": {"dim": [{"size": size} for size in sizes]}}}
            outs = {"y": {"tensor_shape": {"dim": [{"size": "-1"}, {"size": str(CLASSES)}]}}}
            signature = {"serving_default": {"inputs": ins, "outputs": outs}}
            return {"metadata": {"signature_def": {"signature_def": signature}}}
        ins = [{"name": "in", "datatype": "FP32", "shape": [-1, *SHAPE]}]
        return {"inputs": ins, "outputs": [{"name": "out", "shape": [-1, CLASSES]}]}

    def output(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """The model's output in the form that it gives."""
        logits = expected(x)
        if self.mode == "shape":
            return np.zeros((len(x), 2, 2), np.float32)
        if self.mode == "nan":
            logits = logits * np.nan
        if self.gives == "labels":
            labels: NDArray[Any] = logits.argmax(1)
            return labels
        if self.gives == "probabilities":
            raised: NDArray[Any] = np.exp(logits - logits.max(1, keepdims=True))
            chances: NDArray[Any] = (raised / raised.sum(1, keepdims=True)).astype(np.float32)
            return chances
        return logits

    def respond(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer a POST, or misbehave."""
        if handler.path.endswith("/infer"):
            answer, headers = self._v2(handler, body)
        else:
            key, given = "instances", json.loads(body)
            rows = given[key] if key in given else given["data"]["rows"]
            x = np.array(rows, np.float32)
            answer = json.dumps({"predictions": self.output(x).tolist()}).encode()
            headers = {}
        match self.mode:
            case "slow":
                time.sleep(self.wait)
            case "hang":
                time.sleep(30)
            case "reset":
                linger = struct.pack("ii", 1, 0)
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                handler.connection.shutdown(socket.SHUT_RDWR)
                handler.close_connection = True
                return
            case "garbage":
                answer, headers = b"\xff\x00{{{", {}
        self.send(handler, answer, headers)

    def send(self, handler: BaseHTTPRequestHandler, body: bytes, headers: dict[str, str]) -> None:
        """Write the answer, whole or as the mode says."""
        post = handler.command == "POST"
        status = {"error": 500, "refuse": 400}.get(self.mode, 200) if post else 200
        with suppress(OSError):
            handler.send_response(status)
            length = len(body) if self.mode != "huge" or not post else 10**9
            for name, value in {**headers, "Content-Length": str(length)}.items():
                handler.send_header(name, value)
            handler.end_headers()
            if not post or self.mode not in {"trickle", "cut", "huge"}:
                handler.wfile.write(body)
            elif self.mode == "cut":
                handler.wfile.write(body[: len(body) // 2])
                handler.close_connection = True
            elif self.mode == "huge":
                for _ in range(10**4):
                    handler.wfile.write(b" " * 10**5)
            else:
                for number in range(len(body)):
                    handler.wfile.write(body[number : number + 1])
                    handler.wfile.flush()
                    time.sleep(0.05)

    def _v2(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[bytes, dict[str, str]]:
        length = handler.headers.get(_LENGTH)
        head = json.loads(body[: int(length)] if length else body)
        one = head["inputs"][0]
        assert one["name"] == "in"
        raw = body[int(length) :] if length else b""
        x = np.frombuffer(raw, np.float32) if raw else np.array(one["data"], np.float32)
        out = self.output(x.reshape(one["shape"]))
        kind = {"f": "FP32", "i": "INT64"}[out.dtype.kind]
        told: dict[str, Any] = {"name": "out", "datatype": kind, "shape": list(out.shape)}
        if not raw:
            told["data"] = out.ravel().tolist()
            return json.dumps({"outputs": [told]}).encode(), {}
        told["parameters"] = {"binary_data_size": out.nbytes}
        text = json.dumps({"outputs": [told]}).encode()
        return text + out.tobytes(), {_LENGTH: str(len(text))}
