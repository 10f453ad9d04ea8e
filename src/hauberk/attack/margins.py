"""Losses for climbing that do not fade where a model is sure: ratios of logit differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

_TINY = 1e-12


def dlr(out: Tensor, y: Tensor) -> Tensor:
    """Difference of logits ratio ``(batch,)``, the higher, the more wrong.

    Croce and Hein (2020), equation 6: the margin over the distance from the largest to the third
    largest logit. With two classes, which have no third, the margin alone.

    Raises:
        UserError: if the outputs are not logits ``(batch, classes)``.
    """
    logits = rows_of_logits(out)
    own, other = own_and_other(logits, y)
    return (other - own) / _spread(logits, third=2, fourth=2)


def dlr_towards(out: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """The targeted form of :func:`dlr`: how near each output ``(batch,)`` is to ``target``.

    Croce and Hein (2020), equation 7.

    Raises:
        UserError: if the outputs are not logits ``(batch, classes)``.
    """
    logits = rows_of_logits(out)
    gap = difference(logits, y, target)
    return gap / _spread(logits, third=2, fourth=3)


def difference(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """The target's logit less the label's, ``(batch,)``."""
    gap: Tensor = logits.gather(1, target[:, None]) - logits.gather(1, y[:, None])
    return gap.squeeze(1)


def own_and_other(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The label's logit and the largest other one, ``(batch,)`` each."""
    own = logits.gather(1, y[:, None])
    other = logits.scatter(1, y[:, None], float("-inf")).amax(1)
    return own.squeeze(1), other


def runners_up(out: Tensor, y: Tensor, count: int) -> Tensor:
    """The classes nearest to winning, without the label: ``(batch, up to count)``, best first.

    Raises:
        UserError: if the outputs are not logits ``(batch, classes)``.
    """
    logits = rows_of_logits(out)
    others = logits.scatter(1, y[:, None], float("-inf"))
    ordered: Tensor = others.argsort(dim=1, descending=True, stable=True)
    return ordered[:, : min(count, logits.shape[1] - 1)]


def rows_of_logits(out: Tensor) -> Tensor:
    """The outputs as float32, if they are logits ``(batch, two classes or more)``.

    Raises:
        UserError: if they are not.
    """
    if out.ndim != 2 or out.shape[1] < 2:
        raise UserError(
            f"the attack compares the logits of classes, the outputs are {tuple(out.shape)}",
            hint="use an attack on the loss, such as pgd or apgd",
        )
    return out.float()


def _spread(logits: Tensor, *, third: int, fourth: int) -> Tensor:
    """From the largest logit to the mean of two lower ones, by rank; 1 if there are only two."""
    classes = logits.shape[1]
    if classes == 2:
        return logits.new_ones(len(logits))
    ranked = logits.topk(min(fourth + 1, classes), dim=1).values
    low = (ranked[:, third] + ranked[:, min(fourth, classes - 1)]) / 2
    return (ranked[:, 0] - low).clamp_min(_TINY)
