import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from hauberk.adapters.models.session import Session
from hauberk.core.errors import DataError, ModelFormatError
from hauberk.testing.toy_onnx import linear_onnx

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
GOOD = linear_onnx(WEIGHTS, shape=(1, 2, 2))


def model(
    x: list[str | int | None], out: list[str | int | None], *, kind: int = TensorProto.FLOAT
) -> bytes:
    """A model that hands its input on, with the shapes given."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("x", kind, x)],
        [helper.make_tensor_value_info("logits", kind, out)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return bytes(made.SerializeToString())


def test_logits_of_a_linear_model() -> None:
    session = Session(GOOD)
    x = np.random.default_rng(0).random((5, 1, 2, 2), dtype=np.float32)
    assert session.input_shape == (1, 2, 2)
    assert session.classes == 3
    assert session.input_dtype == np.float32
    np.testing.assert_allclose(session(x), x.reshape(5, 4) @ WEIGHTS, rtol=1e-5)
    assert session(x).dtype == np.float32


def test_a_file_is_read_as_its_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(GOOD)
    x = np.ones((2, 1, 2, 2), dtype=np.float32)
    np.testing.assert_array_equal(Session(path, threads=2)(x), Session(GOOD)(x))


def test_an_empty_batch_gives_no_logits() -> None:
    assert Session(GOOD)(np.empty((0, 1, 2, 2), dtype=np.float32)).shape == (0, 3)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_a_fixed_batch_is_run_as_often_as_it_takes(size: int, rows: int) -> None:
    x = np.random.default_rng(2).random((rows, 4), dtype=np.float32)
    np.testing.assert_array_equal(Session(model([size, 4], [size, 4]))(x), x)


def test_memory_order_does_not_matter() -> None:
    x = np.random.default_rng(1).random((2, 2, 1, 6), dtype=np.float32).T[:5]
    assert not x.flags.c_contiguous
    np.testing.assert_array_equal(
        Session(GOOD)(x[:, :, :, :2]), Session(GOOD)(x[:, :, :, :2].copy())
    )


@pytest.mark.parametrize(
    "x",
    [
        np.ones((2, 1, 2, 2)),
        np.ones((2, 1, 2, 3), dtype=np.float32),
        np.ones((2, 4), dtype=np.float32),
        np.ones((1, 2, 2), dtype=np.float32),
        np.float32(1.0) * np.ones((), dtype=np.float32),
    ],
    ids=["float64", "width", "flat", "no-batch", "scalar"],
)
def test_a_wrong_batch_is_the_callers_fault(x: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected float32"):
        Session(GOOD)(x)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (model(["n", 4], ["n", 4], kind=TensorProto.DOUBLE), "double"),
        (model([5000, 4], [5000, 4]), "batch is fixed"),
        (model(["n", "d"], ["n", 4]), "input 'x'"),
        (model(["n"], ["n"]), "input 'x'"),
        (model(["n", 2, 2], ["n", 2, 2]), "output 'logits'"),
        (model(["n", 1], ["n", 1]), "output 'logits'"),
        (GOOD[: len(GOOD) // 2], "HB-S004"),
        (b"", "empty"),
        (b"\x80\x04K\x01.", "pickle"),
    ],
)
def test_models_of_another_form_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ModelFormatError, match=reason):
        Session(data)


def test_an_unknown_operator_is_refused_in_one_line() -> None:
    made = onnx.load_model_from_string(GOOD)
    made.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelFormatError, match="onnxruntime refuses") as caught:
        Session(made.SerializeToString())
    assert "\n" not in str(caught.value)


def test_a_model_that_does_not_do_what_it_declares_is_refused() -> None:
    """Declared (batch, 2); the reshape to pairs gives six rows for two samples."""
    made = onnx.load_model_from_string(model(["n", 6], ["m", 2]))
    made.graph.node[0].CopyFrom(helper.make_node("Reshape", ["x", "form"], ["logits"]))
    made.graph.initializer.append(helper.make_tensor("form", TensorProto.INT64, [2], [-1, 2]))
    with pytest.raises(ModelFormatError, match="logits of shape"):
        Session(made.SerializeToString())


def external(tensor: onnx.TensorProto) -> onnx.TensorProto:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    tensor.ClearField("raw_data")
    return tensor


def test_tensors_in_other_files_are_refused() -> None:
    made = onnx.load_model_from_string(GOOD)
    external(made.graph.initializer[0])
    with pytest.raises(ModelFormatError, match="another file"):
        Session(made.SerializeToString())


def test_tensors_in_other_files_are_found_inside_nodes() -> None:
    made = onnx.load_model_from_string(GOOD)
    inner = helper.make_graph([], "inner", [], [])
    inner.initializer.append(external(helper.make_tensor("t", TensorProto.FLOAT, [1], [1.0])))
    constant = helper.make_node("If", ["c"], ["o"], then_branch=inner)
    made.graph.node.append(constant)
    with pytest.raises(ModelFormatError, match="another file"):
        Session(made.SerializeToString())


def test_missing_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelFormatError, match="no such file"):
        Session(tmp_path / "none.onnx")
    with pytest.raises(ModelFormatError, match="no such file"):
        Session(tmp_path)
    (tmp_path / "big.onnx").write_bytes(GOOD)
    monkeypatch.setattr("hauberk.adapters.models.session.MAX_BYTES", 10)
    with pytest.raises(ModelFormatError, match="larger than"):
        Session(tmp_path / "big.onnx")


@settings(deadline=None, max_examples=40)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_gives_a_traceback(position: int, flip: int) -> None:
    data = bytearray(GOOD)
    data[position] ^= flip
    with suppress(ModelFormatError, DataError):
        Session(bytes(data))(np.ones((1, 1, 2, 2), dtype=np.float32))


def test_threads_may_share_a_session() -> None:
    session = Session(GOOD)
    x = np.random.default_rng(2).random((64, 1, 2, 2), dtype=np.float32)
    expected = session(x)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: session(x), range(64)):
            np.testing.assert_array_equal(found, expected)


def test_serving_loads_no_torch() -> None:
    code = "import sys, hauberk.adapters.models.session; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
