"""KServe's SDK: a server with a linear model, or a stock transformer before one.

``python kserve_server.py predictor HTTP GRPC SIZE`` or ``... transformer HTTP GRPC PREDICTOR``.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np

# The SDK reads its flags while it is imported.
ARGUMENTS, sys.argv[1:] = sys.argv[1:], []
if ARGUMENTS[0] == "transformer":
    sys.argv[1:] = ["--predictor_host", ARGUMENTS[3], "--predictor_protocol", "v2"]
from kserve import (  # noqa: E402
    InferOutput,
    InferRequest,
    InferResponse,
    Model,
    ModelServer,
)


class Linear(Model):  # type: ignore[misc]
    """Logits of ten classes."""

    def __init__(self, size: int) -> None:
        super().__init__("m")
        self.weights = np.random.default_rng(0).normal(size=(size, 10)).astype(np.float32)
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        x = payload.inputs[0].as_numpy()
        logits = x.reshape(len(x), -1) @ self.weights
        out = InferOutput(name="logits", shape=list(logits.shape), datatype="FP32")
        binary = bool((payload.parameters or {}).get("binary_data_output"))
        out.set_data_from_numpy(logits, binary_data=binary)
        return InferResponse(response_id=payload.id or "0", model_name="m", infer_outputs=[out])


class Transformer(Model):  # type: ignore[misc]
    """Passes on what it gets: the hop alone."""

    def __init__(self) -> None:
        super().__init__("m")
        self.ready = True

    async def preprocess(self, payload: InferRequest, headers: Any = None) -> InferRequest:
        return payload


if __name__ == "__main__":
    kind, http, grpc, what = ARGUMENTS
    logging.disable(logging.INFO)  # a line a request would be to its disadvantage
    model: Model = Linear(int(what)) if kind == "predictor" else Transformer()
    server = ModelServer(
        http_port=int(http),
        grpc_port=int(grpc),
        enable_grpc=kind == "predictor",
        enable_latency_logging=False,
        workers=1,
    )
    server.start([model])
