from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hauberk.faces.gateway import codec_binary, codec_json
from hauberk.faces.gateway.faults import BadRequest


def body(**changes: Any) -> bytes:
    tensor: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [2], "data": [0.5, 1]}
    tensor.update(changes)
    return json.dumps({"inputs": [{k: v for k, v in tensor.items() if v is not ...}]}).encode()


def test_the_valid_case_is_valid() -> None:
    np.testing.assert_array_equal(codec_json.read(body()).inputs[0].data, [0.5, 1])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"inputs":[]}',
        b'{"inputs":[1]}',
        body() + b"x",
        body(name=...),
        body(datatype=...),
        body(shape=...),
        body(data=...),
        body(data=None),
        body(datatype="BYTES", data=["a", "b"]),
        body(datatype="FP31"),
        body(datatype=""),
        body(shape=[3]),
        body(shape=[2.0]),
        body(shape=[True]),
        body(shape=[-2]),
        body(shape=[2, 1, 1, 1, 1, 1, 1, 1, 1]),
        body(shape=[2**40, 2**40]),
        body(data=[0.5, "1"]),
        body(data=[0.5, True]),
        body(data=[0.5, None]),
        body(data=[[0.5, 1]]),
        body(shape=[2, 2], data=[[1, 2], [3]]),
        body(shape=[2, 2], data=[[1], [2, 3, 4]]),
        body(shape=[4], data=[[1, 2], [3, 4]]),
        body(datatype="UINT8", data=[1, 256]),
        body(datatype="UINT8", data=[1, -1]),
        body(datatype="INT64", data=[1, 0.5]),
        body(datatype="BOOL", data=[1, 0]),
        body(parameters={"binary_data_size": 8}),
        body(parameters={"deep": [1]}),
        body(name="n" * 1000),
        json.dumps({"id": 3, "inputs": []}).encode(),
        json.dumps({"id": "x" * 1000, **json.loads(body())}).encode(),
        json.dumps({"id": "a\nb", **json.loads(body())}).encode(),
        json.dumps({**json.loads(body()), "inputs": json.loads(body())["inputs"] * 2}).encode(),
        json.dumps({**json.loads(body()), "outputs": [{"name": "a"}, {"name": "a"}]}).encode(),
        json.dumps({**json.loads(body()), "outputs": [{}]}).encode(),
        json.dumps({**json.loads(body()), "parameters": {"binary_data_output": 1}}).encode(),
        json.dumps(
            {**json.loads(body()), "outputs": [{"name": "a", "parameters": {"binary_data": "yes"}}]}
        ).encode(),
        body(data=[float("nan"), 1]),
        body(data=[float("inf"), 1]),
    ],
)
def test_a_malformed_request_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        codec_json.read(text)
    assert "\n" not in str(caught.value)


def test_a_value_beyond_float32_becomes_infinite_for_the_schema_to_refuse() -> None:
    assert np.isinf(codec_json.read(body(data=[1e39, 0])).inputs[0].data[0])


def raw(size: Any, *, tail: bytes = b"\0" * 8, **changes: Any) -> tuple[bytes, int]:
    head = body(**{"data": ..., "parameters": {"binary_data_size": size}, **changes})
    return head + tail, len(head)


def test_the_valid_binary_case_is_valid() -> None:
    assert codec_binary.read(*raw(8)).inputs[0].data.shape == (2,)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        raw(7),
        raw(9),
        raw(0),
        raw(-8),
        raw("8"),
        raw(8.0),
        raw(True),
        raw(8, tail=b"\0" * 7),
        raw(8, tail=b"\0" * 9),
        raw(8, tail=b""),
        raw(8, data=[1, 2]),
        raw(8, shape=[3]),
        raw(8, datatype="BYTES"),
        raw(2, tail=b"\0\2", datatype="BOOL"),
        raw(2**62, shape=[2**31, 2**29]),
    ],
)
def test_an_odd_binary_size_is_refused(text: bytes, length: int) -> None:
    with pytest.raises(BadRequest):
        codec_binary.read(text, length)


@pytest.mark.parametrize(
    "value", [b"", b"0", b"-1", b"+5", b"5.0", b" 5", b"5_0", b"11", b"9" * 40]
)
def test_an_odd_header_length_is_refused(value: bytes) -> None:
    with pytest.raises(BadRequest):
        codec_binary.head_length(value, size=10)


def test_a_header_length_within_the_body_is_taken() -> None:
    assert codec_binary.head_length(b"10", size=10) == 10
