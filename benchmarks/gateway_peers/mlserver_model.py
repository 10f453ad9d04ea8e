"""MLServer's runtime with a linear model of ten classes; its size is in the environment."""

from __future__ import annotations

import os

import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found,unused-ignore]
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found,unused-ignore]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found,unused-ignore]


class Linear(MLModel):  # type: ignore[misc]
    """Logits of ten classes."""

    async def load(self) -> bool:
        size = int(os.environ["LINEAR_SIZE"])
        self.weights = np.random.default_rng(0).normal(size=(size, 10)).astype(np.float32)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0])
        logits = x.reshape(len(x), -1) @ self.weights
        out = NumpyCodec.encode_output("logits", logits.astype(np.float32))
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=[out])
