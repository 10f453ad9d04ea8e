"""Classifiers of tables in ONNX, as converters of scikit-learn, XGBoost and LightGBM write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hauberk.adapters.models.formats import Format, require
from hauberk.adapters.models.session import opened, read_model, refuse_external, why
from hauberk.core.errors import DataError, HauberkError, ModelFormatError
from hauberk.core.model import Access, Bounds

if TYPE_CHECKING:
    from pathlib import Path

    import onnxruntime as ort
    from numpy.typing import NDArray
    from torch import Tensor

_LEAST = 1e-12
_MAX_CLASSES = 1 << 16


@dataclass(frozen=True)
class Probabilities:
    """A classifier that answers with a label and a probability per class: scores, no gradients.

    Its answers are the logarithms of the probabilities, in the order of the classes. ``why`` says
    what stands in the way of gradients.
    """

    session: ort.InferenceSession
    input: str
    width: int | None
    output: str
    bounds: Bounds = field(default_factory=Bounds)
    why: str = ""

    @classmethod
    def open(cls, source: Path | bytes, *, threads: int = 1) -> Probabilities:
        """Open a file or its content.

        Raises:
            ModelFormatError: if it is not ONNX, or has no probabilities among its outputs.
        """
        data, where = read_model(source)
        require(data, Format.ONNX, where=where)
        refuse_external(data, where)
        try:
            session = opened(data, threads=threads)
            found = _of_session(cls, session, where)
            found.scores(np.zeros((2, found.width or 1), dtype=np.float32))
        except ModelFormatError:
            raise
        except Exception as error:
            told = f"onnxruntime refuses the model: {why(error)}"
            raise ModelFormatError(told, where=where) from None
        return found

    @property
    def access(self) -> Access:
        """Scores alone."""
        return Access.SCORES

    def __call__(self, x: Tensor, /) -> Tensor:
        """Logarithms of probabilities ``(batch, classes)`` of rows ``(batch, columns)``."""
        rows = np.ascontiguousarray(x.detach().cpu().float().numpy())
        if rows.ndim != 2 or (self.width is not None and rows.shape[1] != self.width):
            raise DataError(f"rows of {self.width} columns are expected, not {rows.shape}")
        # Some kernels refuse a batch of none.
        asked = rows if len(rows) else np.zeros((1, rows.shape[1]), np.float32)
        scores = self.scores(asked)[: len(rows)]
        return torch.from_numpy(scores).clamp_min(_LEAST).log()

    def scores(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities ``(batch, classes)``.

        Raises:
            HauberkError: if the model answers in another form.
        """
        answer: Any = self.session.run([self.output], {self.input: rows})[0]
        if isinstance(answer, list):  # a map from class to probability for each row
            order = sorted(answer[0])
            answer = np.array([[row[key] for key in order] for row in answer], dtype=np.float32)
        found = np.asarray(answer, dtype=np.float32)
        if found.ndim != 2 or len(found) != len(rows) or not 2 <= found.shape[1] <= _MAX_CLASSES:
            raise HauberkError(f"probabilities of shape {found.shape}", where="model")
        return found


def _of_session(
    kind: type[Probabilities], session: ort.InferenceSession, where: str
) -> Probabilities:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 2:
        raise ModelFormatError(
            "not one input of float32 rows (batch, columns)",
            where=where,
            hint="convert with one FloatTensorType input for all columns",
        )
    wide = inputs[0].shape[1]
    named = [one.name for one in outputs if "tensor(float)" in one.type]
    if not named:
        raise ModelFormatError("no probabilities among the outputs", where=where)
    return kind(session, inputs[0].name, wide if isinstance(wide, int) else None, named[0])
