"""Models as people have them: the answers of the framework that made them, and their gradients."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from tests.unit.adapters_models.nets import KINDS, SHAPE, Before, images, net, old_onnx
from torch import Tensor, nn

from hauberk.adapters.models.exported import load as read_exported
from hauberk.adapters.models.load import load
from hauberk.adapters.models.onnx import export
from hauberk.adapters.models.source import model_digest
from hauberk.core.errors import ModelFormatError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hauberk.core.model import Model

torch.set_num_threads(1)

WAYS: dict[str, Callable[[nn.Module], bytes]] = {
    "onnx": lambda module: export(module, SHAPE),
    "old onnx": lambda module: old_onnx(module, images(), opset=14),
    "old onnx, one at a time": lambda module: old_onnx(module, images(), fixed=True),
    "old onnx, two at a time": lambda module: old_onnx(module, images(), fixed=True, rows=2),
    "program": lambda module: program(module, images()),
    "program, taken apart": lambda module: program(module, images(), apart=True),
    "program, two at a time": lambda module: program(module, images(2), free=False),
}


def program(module: nn.Module, x: Tensor, *, free: bool = True, apart: bool = False) -> bytes:
    """An archive of ``torch.export``, maybe of its smallest functions alone."""
    buffer = io.BytesIO()
    shapes = ({0: torch.export.Dim("n")},) if free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = torch.export.export(module, (x,), dynamic_shapes=shapes)
        torch.export.save(whole.run_decompositions() if apart else whole, buffer)
    return buffer.getvalue()


def opened(data: bytes, folder: Path) -> Model:
    (folder / "model").write_bytes(data)
    return load(folder / "model")


def slope(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(leaf)[:, 0].sum(), leaf)
    return found


# Ways that differ little from another: by day with the kinds that found something, else at night.
RARE = {"program, taken apart", "old onnx, two at a time"}
MOST = [
    pytest.param(
        kind,
        way,
        id=f"{kind}-{way}",
        marks=pytest.mark.nightly
        if way in RARE and kind not in {"attention", "normalised"}
        else (),
    )
    for kind in KINDS
    for way in WAYS
]


@pytest.mark.parametrize(("kind", "way"), MOST)
def test_answers_and_slopes_are_those_of_the_module(kind: str, way: str, tmp_path: Path) -> None:
    module, x = net(kind), images()
    model = opened(WAYS[way](module), tmp_path)
    assert model.access == Access.GRADIENTS
    with torch.no_grad():
        assert torch.allclose(model(x), module(x), atol=1e-4)
    assert torch.allclose(slope(model, x), slope(module, x), atol=1e-4)
    assert model(x[:0]).shape == (0, 4)


@pytest.mark.parametrize("way", ["onnx", "old onnx", "program", "program, taken apart"])
@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_probabilities_at_the_end_are_left_out(end: str, way: str, tmp_path: Path) -> None:
    module, x = net("vgg"), images()
    ends: dict[str, Callable[[Tensor], Tensor]] = {
        "softmax": lambda out: out.softmax(-1),
        "sigmoid": torch.sigmoid,
    }
    model = opened(WAYS[way](Before(module, after=ends[end]).eval()), tmp_path)
    with torch.no_grad():
        assert torch.allclose(model(x), module(x), atol=1e-4)


@pytest.mark.parametrize("way", [old_onnx, program], ids=["old onnx", "program"])
def test_bytes_come_in_as_images(way: Callable[..., bytes], tmp_path: Path) -> None:
    module = net("residual")
    whole = (images() * 255).round().to(torch.uint8)
    model = opened(way(Before(module, before=lambda x: x.float() / 255).eval(), whole), tmp_path)
    assert model.access == Access.GRADIENTS
    x = whole.float() / 255
    with torch.no_grad():
        assert torch.allclose(model(x), module(x), atol=1e-4)
        assert torch.equal(model(x), model(x + 0.001))  # between two bytes nothing changes
    assert torch.allclose(slope(model, x), slope(module, x), atol=1e-3)


def test_a_quantised_graph_has_a_slope_that_goes_straight_through(tmp_path: Path) -> None:
    quantisation = pytest.importorskip("onnxruntime.quantization")
    module, x = net("vgg"), images(8)
    (tmp_path / "plain").write_bytes(old_onnx(module, x))

    class Reader(quantisation.CalibrationDataReader):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.rows = iter([{"input": one[None].numpy()} for one in x])

        def get_next(self) -> Any:
            return next(self.rows, None)

    quantisation.quantize_static(
        str(tmp_path / "plain"),
        str(tmp_path / "model"),
        Reader(),
        quant_format=quantisation.QuantFormat.QDQ,
        per_channel=True,
    )
    model = load(tmp_path / "model")
    assert model.access == Access.GRADIENTS
    own, found = slope(module, x).flatten(1), slope(model, x).flatten(1)
    assert float(torch.cosine_similarity(own, found).min()) > 0.8
    with torch.no_grad():
        assert float((model(x) - module(x)).abs().max()) < 0.1


def test_nodes_in_any_order_and_floats_of_any_width(tmp_path: Path) -> None:
    module, x = net("vgg"), images()
    graph = onnx.load_model_from_string(old_onnx(module, x))
    nodes = list(graph.graph.node)
    narrow = onnx.helper.make_node("Cast", [nodes[-1].output[0]], ["narrow"], to=10)
    wide = onnx.helper.make_node("Cast", ["narrow"], ["wide"], to=1)
    del graph.graph.node[:]
    graph.graph.node.extend([wide, narrow, *reversed(nodes)])
    graph.graph.output[0].name = "wide"
    model = opened(graph.SerializeToString(), tmp_path)
    assert model.access == Access.GRADIENTS
    with torch.no_grad():
        assert torch.allclose(model(x), module(x), atol=1e-3)


def beside(folder: Path, module: nn.Module) -> Path:
    """A graph with its tensors in another file, as the exporter writes it unless told not to."""
    data = export(module, SHAPE)
    graph = onnx.load_model_from_string(data)
    onnx.save_model(
        graph,
        folder / "net.onnx",
        save_as_external_data=True,
        location="net.data",
        size_threshold=0,
    )
    return folder / "net.onnx"


def test_tensors_in_a_file_beside_the_graph(tmp_path: Path) -> None:
    module, x = net("vgg"), images()
    file = beside(tmp_path, module)
    model, digest = load(file), model_digest(str(file))
    assert model.access == Access.GRADIENTS
    with torch.no_grad():
        assert torch.allclose(model(x), module(x), atol=1e-5)
    whole = (tmp_path / "net.data").read_bytes()
    (tmp_path / "net.data").write_bytes(whole[:-4] + b"\0\0\0\1")
    assert model_digest(str(file)) != digest
    (tmp_path / "net.data").write_bytes(whole[:-40])
    with pytest.raises(ModelFormatError, match="reaches past"):
        load(file)
    (tmp_path / "elsewhere").write_bytes(whole)
    (tmp_path / "net.data").unlink()
    (tmp_path / "net.data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelFormatError, match="no file beside"):
        load(file)


@pytest.mark.parametrize("name", ["../net.data", "/etc/passwd", "sub/net.data", ""])
def test_tensors_that_lie_anywhere_else(name: str, tmp_path: Path) -> None:
    file = beside(tmp_path, net("vgg"))
    graph = onnx.load(file, load_external_data=False)
    for one in graph.graph.initializer:
        for entry in one.external_data:
            entry.value = name if entry.key == "location" else entry.value
    file.write_bytes(graph.SerializeToString())
    with pytest.raises(ModelFormatError, match="no file beside"):
        load(file)


class _Harm:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('a pickle was loaded')",))


def test_a_program_is_read_and_never_unpickled(tmp_path: Path) -> None:
    module, x = net("vgg"), images()
    whole = program(module, x)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            harmful = "sample_inputs" in name
            new.writestr(name, pickle.dumps(_Harm()) if harmful else old.read(name))
    with torch.no_grad():
        assert torch.allclose(opened(out.getvalue(), tmp_path)(x), module(x), atol=1e-5)


def changed(data: bytes, before: bytes, after: bytes) -> bytes:
    """The archive with one text in its members replaced by another."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(
                name.replace(before.decode(), after.decode()), old.read(name).replace(before, after)
            )
    return out.getvalue()


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (b"aten.relu_.default", b"aten.from_file.default", "not on the list"),
        (b"aten.relu_.default", b"aten.relu_.nothing", "torch.export archive"),
        (b"torch.ops.aten.relu_", b"os.system", "not on the list"),
        (b"_operator", b"builtins", ""),
        (b'"use_pickle": false', b'"use_pickle": true', "pickled"),
        (b'"sizes": [{"as_int": 4}', b'"sizes": [{"as_int": 4000000}', "torch.export archive"),
        (b"model_weights_config", b"none", "has no tensor"),
    ],
)
def test_a_program_that_was_tampered_with(before: bytes, after: bytes, told: str) -> None:
    data = program(net("vgg"), images())
    if not told:  # a program of the sort has no such text: nothing is lost
        read_exported(changed(data, before, after), where="here")
        return
    with pytest.raises(ModelFormatError, match=told):
        read_exported(changed(data, before, after), where="here")


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.last = nn.LSTM(48, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.rows(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])
        return out


def test_why_there_is_no_slope_is_said(tmp_path: Path) -> None:
    module, x = _Recurrent().eval(), images()
    model = opened(old_onnx(module, x), tmp_path)
    assert model.access == Access.SCORES
    assert "LSTM" in getattr(model, "why", "")
    with torch.no_grad():
        assert torch.allclose(model(x), module(x), atol=1e-5)
    soft = opened(old_onnx(Before(module, after=lambda out: out.softmax(-1)).eval(), x), tmp_path)
    with torch.no_grad():
        assert torch.allclose(soft(x), module(x).log_softmax(-1), atol=1e-4)


def _table() -> tuple[Any, Any]:
    x = np.random.default_rng(0).random((200, 5), dtype=np.float32)
    return x, (x[:, 0] + x[:, 1] > 1).astype(np.int64) + (x[:, 2] > 0.7)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("kind", ["logistic", "perceptron", "scaled", "two classes"])
def test_smooth_classifiers_of_tables_have_slopes(kind: str, zipmap: bool, tmp_path: Path) -> None:
    convert = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = _table()
    made: dict[str, Any] = {
        "logistic": LogisticRegression(),
        "perceptron": MLPClassifier((8,), max_iter=30, random_state=0),
        "scaled": make_pipeline(StandardScaler(), LogisticRegression()),
        "two classes": LogisticRegression(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = made[kind].fit(x, y > 0 if kind == "two classes" else y)
        proto = convert.convert_sklearn(
            one,
            initial_types=[("x", convert.common.data_types.FloatTensorType([None, 5]))],
            options={"zipmap": zipmap},
        )
    model = opened(proto.SerializeToString(), tmp_path)
    assert model.access == Access.GRADIENTS
    rows = torch.from_numpy(x)
    with torch.no_grad():
        found = model(rows)
    assert torch.equal(found.argmax(1), torch.from_numpy(one.predict_proba(x).argmax(1)))
    assert float(slope(model, rows).abs().max()) > 0
