"""An exported model in eight-bit whole numbers: smaller and quicker, and another function.

Its robustness is its own: rounding moves borders and hides gradients, so it is measured anew.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from hauberk.core.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

_BATCH = 64


def quantised(data: bytes, x: NDArray[np.float32]) -> bytes:
    """The ONNX model ``data`` with weights and activations in int8, scaled by inputs ``x``.

    Weights have a scale per channel. The same inputs give the same bytes.

    Raises:
        ModelFormatError: if the model cannot be quantised.
    """
    model = onnx.load_model_from_string(data)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                model,
                target,
                _Inputs(model.graph.input[0].name, x),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
        except Exception as error:  # the library fails in many ways on graphs it does not know
            first = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            raise ModelFormatError(f"cannot be quantised: {first}", where="int8") from None
        made = onnx.load(target)
    made.ClearField("producer_name")
    made.ClearField("producer_version")
    found: bytes = made.SerializeToString(deterministic=True)
    return found


class _Inputs(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Batches of ``x`` under the model's input name."""

    def __init__(self, name: str, x: NDArray[np.float32]) -> None:
        batches = [x[start : start + _BATCH] for start in range(0, len(x), _BATCH)]
        self._left = iter([{name: batch} for batch in batches])

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._left, None)


@contextmanager
def _quiet() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
