from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hauberk.faces.gateway import codec_binary, codec_json
from hauberk.faces.gateway.faults import BadRequest
from hauberk.faces.gateway.tensors import DATATYPES, Request, Response, Tensor, Wanted

if TYPE_CHECKING:
    from numpy.typing import NDArray

few = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
NAMES = {dtype: name for name, dtype in DATATYPES.items()}


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    dtype = draw(st.sampled_from(list(DATATYPES.values())))
    shape = draw(npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    finite: dict[str, Any] = (
        {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    )
    elements = npst.from_dtype(dtype, **finite)
    array: NDArray[Any] = draw(npst.arrays(dtype, shape, elements=elements))
    return array


def head_of(name: str, data: NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": NAMES[data.dtype], "shape": list(data.shape)}


@few
@given(data=arrays(), nested=st.booleans())
def test_json_data_arrives_as_it_was_sent(data: NDArray[Any], nested: bool) -> None:
    values = data.tolist() if nested and data.size else data.ravel().tolist()
    request = codec_json.read(
        json.dumps({"inputs": [{**head_of("x", data), "data": values}]}).encode()
    )
    np.testing.assert_array_equal(request.inputs[0].data, data)
    assert request.inputs[0].data.dtype == data.dtype


@few
@given(data=st.lists(arrays(), min_size=1, max_size=4), raw=st.lists(st.booleans(), min_size=4))
def test_binary_data_arrives_as_it_was_sent(data: list[NDArray[Any]], raw: list[bool]) -> None:
    inputs, rest = [], b""
    for number, one in enumerate(data):
        head = head_of(f"x{number}", one)
        if raw[number]:
            rest += one.tobytes()
            inputs.append({**head, "parameters": {"binary_data_size": one.nbytes}})
        else:
            inputs.append({**head, "data": one.ravel().tolist()})
    text = json.dumps({"inputs": inputs}).encode()
    request = codec_binary.read(text + rest, len(text))
    for sent, got in zip(data, request.inputs, strict=True):
        np.testing.assert_array_equal(got.data, sent)
        assert got.data.dtype == sent.dtype


@few
@given(
    data=st.lists(arrays(), min_size=1, max_size=3),
    choices=st.lists(st.sampled_from([None, True, False]), min_size=3, max_size=3),
    default=st.booleans(),
)
def test_outputs_go_out_in_the_form_that_was_asked_for(
    data: list[NDArray[Any]], choices: list[bool | None], default: bool
) -> None:
    outputs = tuple(Tensor(f"y{number}", one) for number, one in enumerate(data))
    wanted = tuple(Wanted(one.name, choices[i]) for i, one in enumerate(outputs))
    request = Request(wanted=wanted, binary=default)
    response = Response(model="m", version="v", id="7", outputs=outputs, parameters={"a": 1})
    body, length = codec_binary.write(response, request)
    head = json.loads(body[:length])
    rest = body[len(body) if length is None else length :]
    assert (head["model_name"], head["model_version"], head["id"]) == ("m", "v", "7")
    for number, (sent, got) in enumerate(zip(data, head["outputs"], strict=True)):
        chosen = choices[number]
        is_binary = default if chosen is None else chosen
        assert ("binary_data_size" in got.get("parameters", {})) is is_binary
        assert ("data" in got) is not is_binary
        if is_binary:
            size = got["parameters"]["binary_data_size"]
            values, rest = np.frombuffer(rest[:size], DATATYPES[got["datatype"]]), rest[size:]
        else:
            values = np.array(got["data"], DATATYPES[got["datatype"]])
        np.testing.assert_array_equal(values.reshape(got["shape"]), sent)
    assert rest == b""


GOOD = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2],[3,4.5]]}]}'
RAW = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}'

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@few
@given(body=st.binary(max_size=200), length=st.integers(0, 250))
@example(body=b"[" * 100_000, length=100_000)
@example(body=b'{"inputs":' + b"[" * 100_000, length=10)
@example(body=b"\xff\xfe", length=2)
def test_garbage_is_a_bad_request_and_nothing_else(body: bytes, length: int) -> None:
    with pytest.raises(BadRequest):
        codec_json.read(body)
    with pytest.raises(BadRequest):
        codec_binary.read(body, length)


@few
@given(
    at=st.integers(0, 200),
    cut=st.integers(0, 3),
    put=st.binary(max_size=3) | st.sampled_from([b"[", b"]", b"1e999", b"-1", b"null", b'""']),
    good=st.sampled_from([GOOD, RAW]),
)
def test_a_damaged_request_is_read_or_refused(at: int, cut: int, put: bytes, good: bytes) -> None:
    text = good[:at] + put + good[at + cut :]
    for body, length in ((text, len(text)), (text + b"\0" * 8, len(text))):
        try:
            request = codec_binary.read(body, min(length, len(body)))
        except BadRequest:
            continue
        for tensor in request.inputs:
            assert tensor.data.size <= len(body)


@few
@given(key=st.sampled_from(["name", "datatype", "shape", "data", "parameters"]), value=json_values)
def test_a_field_of_any_value_is_read_or_refused(key: str, value: Any) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "data": [0.5, 1], key: value}
    with suppress(BadRequest):
        codec_json.read(json.dumps({"inputs": [tensor]}).encode())
