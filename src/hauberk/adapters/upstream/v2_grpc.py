"""A V2 server over gRPC with raw contents: KServe, Triton, MLServer, another gateway of ours."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np

from hauberk.adapters.upstream.reading import chosen, garbage, row_shape, tensor
from hauberk.adapters.upstream.trouble import Trouble
from hauberk.adapters.upstream.wire import (
    fields,
    message,
    opening,
    packed,
    put,
    put_always,
    signed,
    text,
    varints,
)
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hauberk.adapters.upstream.trouble import Kind
    from hauberk.core.spec import UpstreamSpec

_SERVICE = "/inference.GRPCInferenceService/"
_KINDS: dict[str, Kind] = {
    "DEADLINE_EXCEEDED": "slow",
    "INVALID_ARGUMENT": "refused",
    "NOT_FOUND": "refused",
    "PERMISSION_DENIED": "refused",
    "UNAUTHENTICATED": "refused",
    "UNIMPLEMENTED": "refused",
    "INTERNAL": "garbage",
    "RESOURCE_EXHAUSTED": "garbage",
}


class V2Grpc:
    """One channel to a server; ``grpcs://`` speaks TLS.

    Raises:
        ConfigError: if grpcio is not installed, or the URL or a file cannot be read.
    """

    def __init__(self, spec: UpstreamSpec) -> None:
        try:
            grpc: Any = import_module("grpc")
        except ImportError:
            raise ConfigError(
                "grpcio is not installed",
                where="upstream.protocol",
                hint="pip install 'hauberk[grpc]'",
            ) from None
        self._grpc, self._spec, self._input = grpc, spec, spec.input
        scheme, _, place = spec.url.rpartition("://")
        if not place or scheme not in {"", "grpc", "grpcs", "http", "https"}:
            raise ConfigError("must be HOST:PORT, grpc:// or grpcs://", where="upstream.url")
        options = [
            ("grpc.max_receive_message_length", spec.max_answer_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),
        ]
        if scheme in {"grpcs", "https"}:
            roots = Path(spec.ca).read_bytes() if spec.ca else None
            secret = grpc.ssl_channel_credentials(roots)
            self._channel = grpc.secure_channel(place, secret, options)
        else:
            self._channel = grpc.insecure_channel(place, options)
        finalize(self, self._channel.close)
        self._metadata = []
        if spec.token_file:
            token = Path(spec.token_file).read_text("ascii").strip()
            self._metadata = [("authorization", f"Bearer {token}")]
        self._names = put(1, spec.model) + put(2, spec.version)

    def describe(self) -> tuple[tuple[int, ...], int | None]:
        """Shape of a row and number of classes by the server's metadata.

        Raises:
            Trouble: if it does not answer.
        """
        data = self._call("ModelMetadata", self._names)
        with garbage("its metadata"):
            found: dict[int, list[dict[str, Any]]] = {4: [], 5: []}
            for number, value in fields(memoryview(data)):
                if number in found:
                    found[number].append(_described(message(value)))
            if not self._input and found[4]:
                self._input = str(found[4][0]["name"])
            shape = row_shape(found[4], self._input)
            given = row_shape(found[5], self._spec.output, "logits")
        return shape, given[0] if len(given) == 1 and self._spec.gives != "labels" else None

    def ask(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """The output for rows.

        Raises:
            Trouble: if there is none.
        """
        shape = put(3, packed(x.shape))
        one = put(1, self._input or "input-0") + put(2, "FP32") + shape
        wanted = put_always(6, put(1, self._spec.output)) if self._spec.output else b""
        raw = np.ascontiguousarray(x).data.cast("B")
        head = [self._names, put(3, "0"), put_always(5, one), wanted, opening(7, len(raw))]
        data = self._call("ModelInfer", b"".join([*head, raw]))  # copied once
        with garbage("its answer"):
            described, contents = [], []
            for number, value in fields(memoryview(data)):
                if number == 5:
                    described.append(_described(message(value)))
                elif number == 6:
                    contents.append(message(value))
            tensors = {}
            for place, told in enumerate(described):
                if contents:
                    data_of = tensor(told["datatype"], told["shape"], contents[place])
                else:
                    data_of = _typed(told)
                tensors[told["name"]] = data_of
            return chosen(tensors, self._spec.output, "logits")
        raise AssertionError

    def _call(self, method: str, data: bytes) -> bytes:
        ask = self._channel.unary_unary(_SERVICE + method)
        try:
            answer: bytes = ask(data, timeout=self._spec.timeout, metadata=self._metadata)
        except self._grpc.RpcError as error:
            code = error.code().name
            # Of a refused connection grpc says so; of a lost one it cannot know what was done.
            sent = not (code == "UNAVAILABLE" and "connect" in str(error.details()).lower())
            raise Trouble(_KINDS.get(code, "down"), f"it answers {code}", sent=sent) from None
        return answer


def _described(data: memoryview) -> dict[str, Any]:
    """A tensor's name, datatype, shape and typed contents."""
    told: dict[str, Any] = {"name": "", "datatype": "", "shape": [], "contents": None}
    for number, value in fields(data):
        if number == 3:
            told["shape"] += [signed(size) for size in varints(value)]
        elif number == 5:
            told["contents"] = message(value)
        elif number in {1, 2}:
            told["name" if number == 1 else "datatype"] = text(value)
    return told


def _typed(told: dict[str, Any]) -> NDArray[Any]:
    """An array of typed contents: numbers are packed, or one a field."""
    floats = {"FP32": "<f4", "FP64": "<f8"}.get(told["datatype"])
    parts: list[Any] = []
    for _, value in fields(told["contents"] or memoryview(b"")):
        if floats:
            parts.append(np.frombuffer(message(value), dtype=floats))
        else:
            parts.append(np.array([signed(one) for one in varints(value)], dtype=np.int64))
    data: NDArray[Any] = np.concatenate(parts) if parts else np.empty(0)
    return data.reshape(told["shape"])
