"""What one request costs a model: parameters, operations, and milliseconds as it is served."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hauberk.adapters.models import onnx
from hauberk.adapters.models.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one sample: ``flops`` of its matrix products and convolutions, ``ms`` of processor."""

    parameters: int
    flops: int
    ms: float

    def share(self, whole: Cost) -> dict[str, Any]:
        """Beside another's: each figure, and what part of the other's it is."""
        return {
            "parameters": self.parameters,
            "parameters_share": round(self.parameters / whole.parameters, 4),
            "flops": self.flops,
            "flops_share": round(self.flops / max(1, whole.flops), 4),
            "ms": round(self.ms, 4),
            "ms_share": round(self.ms / whole.ms, 4),
        }


def costs(modules: Sequence[nn.Module], shape: Sequence[int], *, times: int = 200) -> list[Cost]:
    """The cost of each module on samples of ``shape``, timed in turns on one thread.

    Milliseconds are those of the quickest of ``times`` answers of the exported model.

    Raises:
        ModelFormatError: if a module cannot be exported.
    """
    sessions = [Session(onnx.export(module, tuple(shape))) for module in modules]
    x = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    best = [float("inf")] * len(modules)
    for _ in range(times):
        for place, session in enumerate(sessions):
            began = time.process_time()
            session(x)
            best[place] = min(best[place], 1e3 * (time.process_time() - began))
    return [
        Cost(
            parameters=sum(one.numel() for one in module.parameters()),
            flops=_flops(module, torch.from_numpy(x)),
            ms=spent,
        )
        for module, spent in zip(modules, best, strict=True)
    ]


def _flops(module: nn.Module, sample: torch.Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(sample)
    return int(counter.get_total_flops())
