"""Any other ONNX model on onnxruntime: inputs of bytes or of other floats, outputs of any form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch

from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.onnx_end import answer_of, ended
from hauberk.adapters.models.onnx_node import Unconvertible
from hauberk.adapters.models.session import opened, read_model, refuse_external, why
from hauberk.core.errors import DataError, HauberkError, ModelFormatError
from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime as ort
    from numpy.typing import NDArray
    from torch import Tensor

_KINDS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_MAX_BATCH = 1024
_LEAST, _SURE = 1e-12, 2**-24


@dataclass(frozen=True, kw_only=True)
class OnnxScores:
    """A graph of one input as a model without gradients.

    Inputs are floats; for a graph of bytes they are in [0, 1], rounded to steps of 1/255. Outputs
    are what the graph answers, ``(batch, ...)``; behind a softmax their logarithms, behind a
    sigmoid their log-odds. ``fixed`` is the batch that it insists on, ``why`` what bars a slope.
    """

    session: ort.InferenceSession
    input: str
    kind: type[np.generic]
    shape: tuple[int | None, ...]
    fixed: int | None
    output: str
    end: str = ""
    why: str = ""
    bounds: Bounds = field(default_factory=Bounds)

    @classmethod
    def open(cls, source: Path | bytes, *, threads: int = 1) -> OnnxScores:
        """Open a file or its content.

        Raises:
            ModelFormatError: if it is no ONNX, is damaged, or has other inputs than one of numbers.
        """
        data, where = read_model(source)
        require(data, Format.ONNX, where=where)
        refuse_external(data, where)
        try:
            session = opened(data, threads=threads)
            graph = onnx.load_model_from_string(data).graph
            output = answer_of(graph)
        except Unconvertible as error:
            raise ModelFormatError(str(error), where=where) from None
        except Exception as error:
            told = f"onnxruntime refuses the model: {why(error)}"
            raise ModelFormatError(told, where=where) from None
        if output not in {one.name for one in session.get_outputs()}:
            raise ModelFormatError("its scores are no output of their own", where=where)
        inputs = session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _KINDS or not inputs[0].shape:
            told = ", ".join(f"{one.name} {one.type}" for one in inputs[:4])
            raise ModelFormatError(
                f"its inputs are {told}; one of numbers (batch, ...) can be attacked", where=where
            )
        first, *rest = (size if isinstance(size, int) else None for size in inputs[0].shape)
        if first is not None and not 1 <= first <= _MAX_BATCH:
            raise ModelFormatError(f"the batch is fixed at {first}", where=where)
        return cls(
            session=session,
            input=inputs[0].name,
            kind=_KINDS[inputs[0].type],
            shape=tuple(rest),
            fixed=first,
            output=output,
            end=ended(graph, output)[1],
        )

    @property
    def access(self) -> Access:
        """Scores alone."""
        return Access.SCORES

    def __call__(self, x: Tensor, /) -> Tensor:
        """Outputs ``(batch, ...)`` of inputs ``(batch, ...)``.

        Raises:
            DataError: if the shape does not fit.
            HauberkError: if the model fails on the batch.
        """
        fits = x.ndim == len(self.shape) + 1 and all(
            want is None or want == have for want, have in zip(self.shape, x.shape[1:], strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if one is None else str(one) for one in self.shape)
            raise DataError(
                f"the model takes (batch, {wanted}), the samples are {tuple(x.shape)}",
                where="model input",
            )
        rows = x.detach().cpu().float().numpy()
        if self.kind is np.uint8:
            rows = np.rint(rows.clip(0, 1) * np.float32(255))
        asked = np.ascontiguousarray(rows.astype(self.kind))
        size = self.fixed or max(len(asked), 1)
        # Some kernels refuse a batch of none.
        missing = max(size - len(asked), -len(asked) % size)
        if missing:
            asked = np.concatenate([asked, np.zeros((missing, *asked.shape[1:]), self.kind)])
        found = [self._run(asked[at : at + size]) for at in range(0, len(asked), size)]
        out = torch.from_numpy(np.concatenate(found)[: len(rows)].astype(np.float32))
        if self.end == "Softmax":
            return out.clamp_min(_LEAST).log()
        return out.clamp(_LEAST, 1 - _SURE).logit() if self.end == "Sigmoid" else out

    def _run(self, rows: NDArray[Any]) -> NDArray[Any]:
        try:
            answer: NDArray[Any] = self.session.run([self.output], {self.input: rows})[0]
        except Exception as error:
            text = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise HauberkError(f"inference failed: {text}", where="model") from None
        if len(answer) != len(rows):
            raise HauberkError(f"{len(answer)} answers for {len(rows)} samples", where="model")
        return answer
