"""The operators with which converters of scikit-learn write what is smooth: linear models, scaling.

They lie in a domain of their own. Trees are not among them: they have no slope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hauberk.adapters.models.onnx_node import Node, Unconvertible

if TYPE_CHECKING:
    from collections.abc import Callable

DOMAIN = "ai.onnx.ml"
_ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "NONE": lambda x: x,
    "SOFTMAX": lambda x: x.softmax(1),
    "LOGISTIC": torch.sigmoid,
}


def _linear_classifier(node: Node, x: Tensor) -> tuple[Tensor, Tensor]:
    """Labels by place, and scores."""
    bias = x.new_tensor(node.get("intercepts") or [0.0])
    weight = x.new_tensor(node.get("coefficients")).view(len(bias), -1)
    score = x @ weight.t() + bias
    labels = node.get("classlabels_ints") or node.get("classlabels_strings") or []
    end = _ENDS.get(node.get("post_transform", "NONE"))
    if end is None:
        raise Unconvertible(f"a linear classifier that ends in {node.get('post_transform')}")
    if score.shape[1] == 1 and len(labels) == 2:  # one side of the border, from one plane
        sure = end(score)
        other = 1 - sure if node.get("post_transform") == "LOGISTIC" else -sure
        score = torch.cat([other, sure], 1)
    else:
        score = end(score)
    return score.argmax(1), score


def _linear_regressor(node: Node, x: Tensor) -> Tensor:
    targets = node.get("targets", 1)
    weight = x.new_tensor(node.get("coefficients")).view(targets, -1)
    bias = node.get("intercepts")
    out = x @ weight.t()
    if node.get("post_transform", "NONE") != "NONE":
        raise Unconvertible("a linear regression with a transform at its end")
    return out if bias is None else out + x.new_tensor(bias)


def _scaler(node: Node, x: Tensor) -> Tensor:
    offset, scale = (x.new_tensor(node.get(name)) for name in ("offset", "scale"))
    return (x - offset) * scale


def _normaliser(node: Node, x: Tensor) -> Tensor:
    kind = node.get("norm", "MAX")
    if kind == "MAX":
        size = x.abs().amax(1, keepdim=True)
    elif kind == "L1":
        size = x.abs().sum(1, keepdim=True)
    else:
        size = x.norm(dim=1, keepdim=True)
    return x / size.where(size > 0, torch.ones_like(size))


TABLES: dict[str, Callable[..., Any]] = {
    "LinearClassifier": _linear_classifier,
    "LinearRegressor": _linear_regressor,
    "Normalizer": _normaliser,
    "Scaler": _scaler,
}
