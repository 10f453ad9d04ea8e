"""Export a module to ONNX, prove that the export is the same function, and run it as a Model."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from hauberk.adapters.models.session import Session
from hauberk.core.digest import digest_bytes
from hauberk.core.errors import ModelFormatError
from hauberk.core.evidence import Evidence
from hauberk.core.model import Access, Bounds
from hauberk.core.rule import find_rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

OPSET = 20


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX model on onnxruntime: scores, no gradients; ``why`` says what stands in their way."""

    session: Session
    bounds: Bounds = field(default_factory=Bounds)
    why: str = ""

    @classmethod
    def open(cls, source: Path | bytes, *, threads: int = 1) -> OnnxModel:
        """Open a file or its content; raises as :class:`Session` does."""
        return cls(Session(source, threads=threads))

    @property
    def access(self) -> Access:
        """Scores alone."""
        return Access.SCORES

    def __call__(self, x: Tensor, /) -> Tensor:
        """Logits ``(batch, classes)``; no gradient flows."""
        return torch.from_numpy(self.session(x.detach().cpu().float().numpy()))


def export(module: nn.Module, shape: Sequence[int]) -> bytes:
    """The module as a single ONNX file; ``shape`` is one sample's.

    Input ``x`` float32 ``(batch, *shape)``, output ``logits``, dynamic batch. The same weights
    give the same bytes: notes on where and how it was traced are left out. The module itself
    is left as it is; a copy is traced in evaluation mode.

    Raises:
        ModelFormatError: if the module cannot be traced.
    """
    # A copy in plain memory order: the module's own layout and mode must not show in the bytes.
    plain = deepcopy(module).cpu().eval()
    plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    # Two samples: a batch of one would be taken for a constant.
    sample = torch.zeros(2, *shape)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                plain,
                (sample,),
                dynamo=True,
                input_names=["x"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        raise ModelFormatError(
            f"cannot be exported: {str(error).splitlines()[0][:200]}", where="onnx"
        ) from None
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def compare(module: nn.Module, data: bytes, x: NDArray[np.float32]) -> Evidence:
    """HB-E007: the largest difference of logits between module and export over inputs ``x``."""
    rule = find_rule("HB-E007")
    training = module.training
    module.eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).float().numpy()
    module.train(training)
    found = Session(data)(x)
    same = expected.shape == found.shape
    difference = float(np.abs(expected - found).max()) if same and len(x) else float("nan")
    return Evidence(
        rule=rule.code,
        subject=digest_bytes(data),
        verdict=rule.judge(difference),
        message=f"largest difference of logits {difference:.2g} over {len(x)} samples",
        value=difference,
        limit=rule.limit,
        severity=rule.severity,
        spec={"n": len(x), "opset": OPSET},
    )


def _strip(model: onnx.ModelProto) -> None:
    """Drop what depends on the machine: file names, stack traces, versions of the exporter."""
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    graph = model.graph
    graph.ClearField("doc_string")
    graph.ClearField("metadata_props")
    graph.ClearField("value_info")
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hush the exporter's remarks on packages that are not needed."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
