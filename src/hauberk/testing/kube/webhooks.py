"""What the vendors' webhooks refuse beyond the schemas, as far as our writes may meet it."""

from __future__ import annotations

from typing import Any

_FRAMEWORKS = (
    "huggingface",
    "lightgbm",
    "model",
    "onnx",
    "paddle",
    "pmml",
    "pytorch",
    "sklearn",
    "tensorflow",
    "triton",
    "xgboost",
)
_SERVES = "kserve-container"


def complaint(kind: str, tree: dict[str, Any]) -> str:
    """Why a vendor's webhook would refuse an object; empty where it would not.

    KServe wants each component of an ``InferenceService`` to have exactly one implementation at
    every moment: a framework, or a container of the name that serves.
    """
    if kind != "InferenceService":
        return ""
    for part in ("predictor", "transformer", "explainer"):
        component = (tree.get("spec") or {}).get(part)
        if component is None:
            continue
        found = [name for name in _FRAMEWORKS if component.get(name) is not None]
        containers = component.get("containers") or ()
        found += ["containers" for one in containers if one.get("name") == _SERVES]
        if len(found) != 1:
            return f"exactly one implementation must be given in {part}, not {found}"
    return ""
