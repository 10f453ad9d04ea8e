"""How many samples fit: measured on two of them, before any is attacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hauberk.core.model import Access

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.model import Model

MOST = 256
# An attack holds the clean, the best, the present and the last point, a gradient and a few more.
_POINTS = 12
_ON_CPU = 1 << 30


def fitting(model: Model, sample: Tensor, *, budget: int | None = None) -> int:
    """The samples ``(...)`` like this one that an attack may hold at once, 1 to ``MOST``.

    ``budget`` in bytes; without one 1 GiB, or half of what is free on a GPU. What a forward pass
    keeps for the backward pass is counted, twice, since gradients pass through as much again.
    """
    two = sample[None].repeat(2, *[1] * sample.ndim)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.ndim and tensor.shape[0] == 2:  # weights do not grow with the batch
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    def unpack(tensor: Any) -> Any:
        return tensor

    if model.access == Access.GRADIENTS:
        with (
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(pack, unpack),
        ):
            leaf = two.clone().requires_grad_()
            model(leaf.clone())  # a first layer may work in place
    one = sum(kept.values()) + _POINTS * sample.numel() * sample.element_size()
    return max(1, min(MOST, (budget or _free(sample)) // one))


def _free(sample: Tensor) -> int:
    if sample.is_cuda:
        return int(torch.cuda.mem_get_info(sample.device)[0]) // 2
    return _ON_CPU
