"""The model as an attack asks it: quiet, without parameter gradients, maybe by a faster copy."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from hauberk.core.model import Model


@contextmanager
def quiet(model: Model) -> Iterator[None]:
    """Evaluation mode and frozen parameters inside; every flag is as it was afterwards.

    A model without a torch module is left alone.
    """
    module = module_of(model)
    parts = [] if module is None else list(module.modules())
    training = [part.training for part in parts]
    learning = [] if module is None else [p for p in module.parameters() if p.requires_grad]
    try:
        for part in parts:
            part.training = False
        for parameter in learning:
            parameter.requires_grad = False
        yield
    finally:
        for part, flag in zip(parts, training, strict=True):
            part.training = flag
        for parameter in learning:
            parameter.requires_grad = True


class Victim:
    """Answers and slopes of a model that is already :func:`quiet`.

    With ``fast`` they come from a channels-last copy under bfloat16, where the machine has units
    for it; :meth:`confirm` always asks the model itself, in full precision.
    """

    def __init__(self, model: Model, *, fast: bool = False) -> None:
        self._model = model
        module = module_of(model) if fast else None
        self._copy = _working_copy(module) if module is not None else None

    @property
    def approximate(self) -> bool:
        """Whether answers come from the copy, and so need to be confirmed."""
        return self._copy is not None

    def confirm(self, points: Tensor) -> Tensor:
        """Outputs of the model itself, without a graph."""
        with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
            # A first layer that works in place would write into the caller's points.
            return self._model(points.clone()).detach()

    def answer(self, points: Tensor) -> Tensor:
        """Outputs ``(batch, ...)`` of ``points`` ``(batch, ...)``, without a graph."""
        if self._copy is None:
            return self.confirm(points)
        with torch.no_grad():
            return self._approximate(points, self._copy).detach()

    def climb(self, points: Tensor, objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs, and the gradient of the summed ``objective(outputs)`` at ``points``.

        What is not finite in a gradient becomes 0.

        Raises:
            UserError: if no gradient flows although the model declares it.
        """
        with torch.inference_mode(mode=False), torch.enable_grad():
            leaf = points.detach().clone().requires_grad_()
            if self._copy is None:
                with torch.autocast(points.device.type, enabled=False):
                    out = self._model(leaf.clone())
            else:
                out = self._approximate(leaf.clone(), self._copy)
            total = objective(out).sum()
            if not total.requires_grad:
                raise UserError(
                    "the model declares gradients but cuts them off",
                    hint="declare Access.SCORES, or keep the graph from input to output",
                )
            (gradient,) = torch.autograd.grad(total, leaf)
        return out.detach(), gradient.nan_to_num(0.0, 0.0, 0.0)

    def _approximate(self, points: Tensor, module: nn.Module) -> Tensor:
        if points.ndim == 4:
            points = points.contiguous(memory_format=torch.channels_last)
        with torch.autocast(points.device.type, dtype=torch.bfloat16):
            out: Tensor = module(points)
        return out.float()


def require(model: Model, needs: Access) -> None:
    """Refuse a model that gives less than an attack needs.

    Raises:
        UserError: if ``model.access`` is below ``needs``.
    """
    if model.access < needs:
        raise UserError(
            f"the attack needs {needs.name.lower()}, the model gives "
            f"{Access(model.access).name.lower()}",
            hint="choose an attack that needs less, such as square",
        )


def module_of(model: Model) -> nn.Module | None:
    """The torch module behind a model, if it has one."""
    if isinstance(model, nn.Module):
        return model
    module = getattr(model, "module", None)
    return module if isinstance(module, nn.Module) else None


def has_bfloat16(device: str) -> bool:
    """Whether that type of device has units for bfloat16; elsewhere it is only emulated."""
    if device == "cpu":
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
    return device == "cuda" and bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _working_copy(module: nn.Module) -> nn.Module | None:
    """A channels-last copy without gradients, or None where it would gain nothing."""
    first = next(module.parameters(), None)
    if first is None or first.dtype != torch.float32 or not has_bfloat16(first.device.type):
        return None
    try:
        twin = copy.deepcopy(module)
    except (RuntimeError, TypeError, ValueError):
        return None  # some modules cannot be copied; the original serves as well
    for parameter in twin.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return twin.eval().requires_grad_(requires_grad=False)
