"""Run an ONNX model on numpy arrays. This file imports no torch: the gateway serves with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort

from hauberk.adapters.models.formats import MAX_BYTES, Format, require
from hauberk.core.errors import DataError, HauberkError, ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MAX_CLASSES, _MAX_BATCH = 1 << 20, 1024
_HINT = "export it with one float32 input (batch, ...) of fixed shape, best with a dynamic batch"


class Session:
    """A classifier in ONNX: float32 inputs ``(batch, *shape)`` to logits ``(batch, classes)``.

    A graph whose batch is fixed is run as often as it takes, the last time on rows of zeros as
    well. Safe to call from several threads at once.

    Raises:
        ModelFormatError: if the file is not ONNX, is damaged or larger than 1 GiB, keeps tensors
            in other files, has other inputs and outputs, or fails on a batch of zeros.
    """

    def __init__(self, source: Path | bytes, *, threads: int = 1) -> None:
        data, where = read_model(source)
        require(data, Format.ONNX, where=where)
        refuse_external(data, where)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads burn the cores that other models need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        self.input_dtype = np.dtype(np.float32)
        try:
            self._session = ort.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            self._input, self.input_shape, self._fixed = _read_input(self._session, where)
            self._output, self.classes = _read_output(self._session, where)
            # What a model declares is not what it does: ask it once before it serves.
            self(np.zeros((2, *self.input_shape), dtype=np.float32))
        except ModelFormatError:
            raise
        except Exception as error:
            raise ModelFormatError(
                f"onnxruntime refuses the model: {why(error)}", where=where
            ) from None

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits ``(batch, classes)`` of inputs ``(batch, *input_shape)``.

        Raises:
            DataError: if the shape or the type does not fit.
            HauberkError: if the model fails on the batch, or gives logits of another shape.
        """
        if x.dtype != np.float32 or x.shape[1:] != self.input_shape or x.ndim == 0:
            raise DataError(
                f"expected float32 inputs (batch, {', '.join(map(str, self.input_shape))}), "
                f"got {x.dtype} {x.shape}",
                where="model input",
            )
        if len(x) == 0:
            return np.empty((0, self.classes), dtype=np.float32)
        try:
            logits = self._run(x) if self._fixed is None else self._by_fixed(x, self._fixed)
        except Exception as error:
            raise HauberkError(f"inference failed: {why(error)}", where="model") from None
        if logits.shape != (len(x), self.classes):
            raise HauberkError(
                f"logits of shape {logits.shape} instead of {(len(x), self.classes)}",
                where="model",
            )
        return logits

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        feed = {self._input: np.ascontiguousarray(x)}
        logits: NDArray[np.float32] = self._session.run([self._output], feed)[0]
        return logits

    def _by_fixed(self, x: NDArray[np.float32], size: int) -> NDArray[np.float32]:
        missing = -len(x) % size
        if missing:
            x = np.concatenate([x, np.zeros((missing, *self.input_shape), np.float32)])
        found = [self._run(x[at : at + size]) for at in range(0, len(x), size)]
        return np.concatenate(found)[: len(x) - missing]


def read_model(source: Path | bytes) -> tuple[bytes, str]:
    """Content of a model file and what to call it in messages.

    Raises:
        ModelFormatError: if it cannot be read or is larger than 1 GiB.
    """
    if isinstance(source, bytes):
        return source, "model"
    path = Path(source)
    try:
        if not path.is_file():
            raise ModelFormatError("no such file", where=str(path))
        if path.stat().st_size > MAX_BYTES:
            raise ModelFormatError(f"larger than {MAX_BYTES} bytes", where=str(path))
        return path.read_bytes(), str(path)
    except OSError as error:
        raise ModelFormatError(
            f"cannot be read: {error.strerror or error}", where=str(path)
        ) from None


def refuse_external(data: bytes, where: str) -> None:
    """A tensor kept in another file is not under the digest, and its path may lead anywhere."""
    model = onnx.load_model_from_string(data)
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ModelFormatError(
                f"tensor {tensor.name[:80]!r} lies in another file",
                where=where,
                hint="export the model as a single file",
            )


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor, those in attributes, subgraphs and functions included."""
    graphs: list[onnx.GraphProto] = [model.graph]
    graphs += [info.initialization for info in model.training_info]
    graphs += [info.algorithm for info in model.training_info]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs.extend((*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])))


def _read_input(
    session: ort.InferenceSession, where: str
) -> tuple[str, tuple[int, ...], int | None]:
    """Name, shape of a row, and the batch if it is fixed."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelFormatError(f"{len(inputs)} inputs instead of one", where=where, hint=_HINT)
    shape = inputs[0].shape
    fixed = tuple(size for size in shape[1:] if isinstance(size, int) and size > 0)
    if inputs[0].type != "tensor(float)" or not fixed or len(fixed) != len(shape) - 1:
        raise ModelFormatError(
            f"input {inputs[0].name!r} is {inputs[0].type} {shape}", where=where, hint=_HINT
        )
    batch = shape[0] if isinstance(shape[0], int) else None
    if batch is not None and not 1 <= batch <= _MAX_BATCH:
        raise ModelFormatError(f"the batch is fixed at {batch}", where=where, hint=_HINT)
    return inputs[0].name, fixed, batch


def _read_output(session: ort.InferenceSession, where: str) -> tuple[str, int]:
    outputs = {output.name: output for output in session.get_outputs()}
    if "logits" not in outputs and len(outputs) != 1:
        raise ModelFormatError(
            f"{len(outputs)} outputs, none named 'logits'", where=where, hint=_HINT
        )
    output = outputs.get("logits") or next(iter(outputs.values()))
    shape = output.shape
    if (
        output.type != "tensor(float)"
        or len(shape) != 2
        or not isinstance(shape[1], int)
        or not 2 <= shape[1] <= _MAX_CLASSES
    ):
        raise ModelFormatError(
            f"output {output.name!r} is {output.type} {shape}, not float32 (batch, classes)",
            where=where,
            hint=_HINT,
        )
    return output.name, shape[1]


def opened(data: bytes, *, threads: int) -> ort.InferenceSession:
    """A session on a model's content, on the processor alone and without a word on stderr."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    return ort.InferenceSession(
        data, options, providers=["CPUExecutionProvider"], enable_fallback=0
    )


def why(error: Exception) -> str:
    """The first line of what a library says, for an error of one line."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
