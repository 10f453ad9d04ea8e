"""The model as an attack asks it: quiet, without parameter gradients, maybe by a faster copy."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import pad

from hauberk.attack.working_copy import is_light, working_copy
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from hauberk.core.model import Model

# Slopes of so many points at a time on a processor: what the layers of more leave in memory is
# given back after each step, and fetched anew, page by page, at the next. It also bounds it.
_AT_ONCE = 64


@contextmanager
def quiet(model: Model) -> Iterator[None]:
    """Evaluation mode and frozen parameters inside; every flag is as it was afterwards.

    A model without a torch module is left alone.
    """
    module = _held(model)
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

    With ``fast`` they come from a folded, channels-last copy where the machine has units for
    bfloat16, in which it works if ``half``, unless a ``sample`` ``(1, ...)`` shows the model to be
    too light for that; :meth:`confirm` always asks the model itself, in full precision. ``light``
    is the module of a model whose short passes leave time to bound its answers.
    """

    def __init__(
        self, model: Model, *, fast: bool = False, half: bool = True, sample: Tensor | None = None
    ) -> None:
        self._model = model
        module = module_of(model) if fast else None
        self._copy = None
        self.light: nn.Module | None = None
        if module is not None:
            light = sample is not None and is_light(module, sample)
            self._copy = working_copy(module, half=half, light=light)
            self.light = module if light else None

    @property
    def half(self) -> bool:
        """Whether answers are worked out in bfloat16."""
        return self._copy is not None and self._copy.half

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
            return self._copy(points).detach()

    def climb(self, points: Tensor, objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs, and the gradient of the summed ``objective(outputs)`` at ``points``.

        What is not finite in a gradient becomes 0.

        Raises:
            UserError: if no gradient flows although the model declares it.
        """
        out, gradients = self.fan(points, lambda out: objective(out)[:, None])
        return out, gradients.squeeze(1)

    def fan(self, points: Tensor, objectives: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Outputs, and a gradient ``(batch, objectives, ...)`` of each of several objectives.

        ``objectives(outputs)`` gives ``(batch, objectives)``; one forward pass serves them all.

        Raises:
            UserError: if no gradient flows although the model declares it.
        """
        whole = self._copy is None or self.light is not None or points.device.type != "cpu"
        parts, first = [], 0
        for some in torch.split(points, max(1, len(points)) if whole else _AT_ONCE):
            parts.append(self._fan(some, (first, len(points)), objectives))
            first += len(some)
        if len(parts) == 1:
            return parts[0]
        outs, slopes = zip(*parts, strict=True)
        return torch.cat(outs), torch.cat(slopes)

    def _fan(
        self,
        points: Tensor,
        place: tuple[int, int],
        objectives: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """:meth:`fan` of points that follow so many others of a batch of so many in all."""
        first, count = place
        with torch.inference_mode(mode=False), torch.enable_grad():
            leaf = points.detach().clone().requires_grad_()
            if self._copy is None:
                with torch.autocast(points.device.type, enabled=False):
                    out = self._model(leaf.clone())
            else:
                out = self._copy(leaf.clone())
            whole, last = out, first + len(points)
            if len(points) < count:
                # The objectives know the batch by its rows; those of others do not count.
                whole = pad(out.movedim(0, -1), (first, count - last)).movedim(-1, 0)
            totals = objectives(whole)[first:last].sum(0)
            if not totals.requires_grad:
                raise UserError(
                    "the model declares gradients but cuts them off",
                    hint="declare Access.SCORES, or keep the graph from input to output",
                )
            kept = len(totals) - 1
            found = [
                torch.autograd.grad(total, leaf, retain_graph=number < kept)[0]
                for number, total in enumerate(totals)
            ]
        return out.detach(), torch.stack(found, 1).nan_to_num(0.0, 0.0, 0.0)


def require(model: Model, needs: Access) -> None:
    """Refuse a model that gives less than an attack needs.

    Raises:
        UserError: if ``model.access`` is below ``needs``.
    """
    if model.access < needs:
        why = getattr(model, "why", "")
        enough = "hop-skip-jump" if model.access == Access.LABELS else "square"
        raise UserError(
            f"the attack needs {needs.name.lower()}, the model gives "
            f"{Access(model.access).name.lower()}" + (f": {why}" if why else ""),
            hint=f"choose an attack that needs less, such as {enough}",
        )


def module_of(model: Model) -> nn.Module | None:
    """The torch module behind a model, if it has one."""
    if isinstance(model, nn.Module):
        return model
    module = getattr(model, "module", None)
    return module if isinstance(module, nn.Module) else None


def _held(model: Model) -> nn.Module | None:
    """The torch module that answers in the end, through whatever wraps the model as ``model``."""
    while module_of(model) is None and hasattr(model, "model"):
        model = model.model
    return module_of(model)
