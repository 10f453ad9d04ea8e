"""gRPC: our codec against protobuf's own runtime, and the service over a real channel."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.spec import AccessSpec
from hauberk.faces.gateway import codec_grpc
from hauberk.faces.gateway.faults import BadRequest
from hauberk.faces.gateway.rpc import SERVICE, start
from hauberk.testing.asking import CLIENT
from hauberk.testing.gateway_bench import SHAPE, Bench

if TYPE_CHECKING:
    from collections.abc import Callable

pb: Any = pytest.importorskip("google.protobuf.descriptor_pb2", reason="no protobuf runtime")
STRING, BYTES, INT64, FLOAT, BOOL, MESSAGE = 9, 12, 3, 2, 8, 11


def messages() -> dict[str, Any]:
    """The protocol's messages, described here once more, so that two readings must agree."""
    pool: Any = import_module("google.protobuf.descriptor_pool").DescriptorPool()
    factory: Any = import_module("google.protobuf.message_factory")
    file = pb.FileDescriptorProto(name="oip.proto", package="t", syntax="proto3")

    def add(name: str, *fields: tuple[str, int, int, int, str]) -> None:
        made = file.message_type.add(name=name)
        for field, number, label, kind, type_name in fields:
            one = made.field.add(name=field, number=number, label=label, type=kind)
            if type_name:
                one.type_name = f".t.{type_name}"

    add("Contents", ("fp32", 6, 3, FLOAT, ""), ("int64", 3, 3, INT64, ""))
    add("Choice", ("bool_param", 1, 1, BOOL, ""), ("string_param", 3, 1, STRING, ""))
    add("Pair", ("key", 1, 1, STRING, ""), ("value", 2, 1, MESSAGE, "Choice"))
    tensor = [
        ("name", 1, 1, STRING, ""),
        ("datatype", 2, 1, STRING, ""),
        ("shape", 3, 3, INT64, ""),
    ]
    add("Tensor", *tensor, ("contents", 5, 1, MESSAGE, "Contents"))
    head = [("model", 1, 1, STRING, ""), ("version", 2, 1, STRING, ""), ("id", 3, 1, STRING, "")]
    tail = [("parameters", 4, 3, MESSAGE, "Pair"), ("tensors", 5, 3, MESSAGE, "Tensor")]
    add("Request", *head, *tail, ("outputs", 6, 3, MESSAGE, "Tensor"), ("raw", 7, 3, BYTES, ""))
    add("Response", *head, *tail, ("raw", 6, 3, BYTES, ""))
    add("Flag", ("value", 1, 1, BOOL, ""))
    add("Named", ("name", 1, 1, STRING, ""), ("version", 2, 1, STRING, ""))
    pool.Add(file)
    found = pool.FindFileByName("oip.proto").message_types_by_name
    return {name: factory.GetMessageClass(one) for name, one in found.items()}


M = messages()
X = np.random.default_rng(0).uniform(size=(2, *SHAPE)).astype(np.float32)


def request(x: Any = X, *, raw: bool = True, **head: Any) -> Any:
    made = M["Request"](**{"model": "m", **head})
    one = made.tensors.add(name="x", datatype="FP32", shape=x.shape)
    if raw:
        made.raw.append(x.tobytes())
    else:
        one.contents.fp32.extend(x.ravel().tolist())
    return made


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(0, 5),
    raw=st.booleans(),
    identity=st.text(st.characters(categories=["L", "N"]), max_size=20),
    version=st.text("abc123", max_size=12),
)
def test_what_protobuf_writes_is_read(rows: int, raw: bool, identity: str, version: str) -> None:
    x = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    made = request(x, raw=raw, id=identity, version=version)
    read, name, got = codec_grpc.read(made.SerializeToString())
    assert (read.id, name, got) == (identity, "m", version)
    np.testing.assert_array_equal(read.inputs[0].data, x)
    assert read.inputs[0].data.shape == x.shape


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 80))
def test_no_bytes_do_worse_than_a_bad_request(noise: bytes, at: int) -> None:
    good = request().SerializeToString()
    for data in (noise, good[:at] + noise + good[at:], good[: -len(noise) - 1]):
        try:
            codec_grpc.read(data)
        except BadRequest:
            continue


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m.raw.append(b""),
        lambda m: m.tensors[0].shape.append(2),
        lambda m: m.tensors[0].shape.__setitem__(0, -1),
        lambda m: m.tensors[0].contents.fp32.append(1.0),
        lambda m: setattr(m.tensors[0], "datatype", "BYTES"),
        lambda m: m.ClearField("tensors"),
        lambda m: m.outputs.extend([M["Tensor"](name="y"), M["Tensor"](name="y")]),
        lambda m: setattr(m, "id", "a\nb"),
    ],
)
def test_what_does_not_go_together_is_refused(spoil: Callable[[Any], None]) -> None:
    made = request()
    spoil(made)
    with pytest.raises(BadRequest):
        codec_grpc.read(made.SerializeToString())


def call(bench: Bench, method: str, data: bytes, token: str | None = CLIENT) -> tuple[str, bytes]:
    """One call over a channel: the status and the answer."""
    grpc: Any = pytest.importorskip("grpc", reason="the grpc extra is not installed")

    async def go() -> tuple[str, bytes]:
        server, port = await start(bench.gateway.app, AccessSpec(), host="127.0.0.1", port=0)
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                ask = channel.unary_unary(f"/{SERVICE}/{method}")
                metadata = [("authorization", f"Bearer {token}")] if token else []
                try:
                    return "OK", await ask(data, metadata=metadata, timeout=10)
                except grpc.aio.AioRpcError as error:
                    return error.code().name, (error.details() or "").encode()
        finally:
            await server.stop(None)

    return asyncio.run(go())


def test_a_model_answers_as_over_http(bench: Bench) -> None:
    status, data = call(bench, "ModelInfer", request(id="one").SerializeToString())
    assert status == "OK"
    answer = M["Response"].FromString(data)
    assert (answer.model, answer.id, len(answer.raw)) == ("m", "one", 1)
    logits = np.frombuffer(answer.raw[0], np.float32).reshape(answer.tensors[0].shape)
    told = bench.infer(X).json()["outputs"][0]
    np.testing.assert_allclose(logits.ravel(), told["data"], rtol=1e-6)
    assert {pair.key for pair in answer.parameters} >= {"hauberk_outcome", "hauberk_route"}


@pytest.mark.parametrize(
    ("method", "data", "token", "status"),
    [
        ("ServerLive", b"", None, "OK"),
        ("ServerReady", b"", None, "OK"),
        ("ServerMetadata", b"", None, "UNAUTHENTICATED"),
        ("ServerMetadata", b"", CLIENT, "OK"),
        ("ModelReady", M["Named"](name="m").SerializeToString(), CLIENT, "OK"),
        ("ModelMetadata", M["Named"](name="m").SerializeToString(), CLIENT, "OK"),
        ("ModelMetadata", M["Named"](name="other").SerializeToString(), CLIENT, "NOT_FOUND"),
        ("ModelInfer", b"\xff", CLIENT, "INVALID_ARGUMENT"),
        ("ModelInfer", b"", "stranger", "UNAUTHENTICATED"),
        ("Nothing", b"", CLIENT, "UNIMPLEMENTED"),
    ],
)
def test_who_gets_what(
    bench: Bench, method: str, data: bytes, token: str | None, status: str
) -> None:
    assert call(bench, method, data, token)[0] == status
