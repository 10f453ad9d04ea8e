"""PGD in l1: each step goes along the signs of the steepest few values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hauberk.attack.narrow import per_sample
from hauberk.attack.pgd import PGD
from hauberk.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from hauberk.core.threat import Norm


@dataclass(frozen=True, kw_only=True)
class Slide(PGD):
    """``steps`` steps of ``step_size`` in ``l1``, begun anew ``restarts`` times.

    ``share`` of the values, the steepest, move by the same amount each; a whole gradient would
    spread the step over all of them and hardly move any, the steepest value alone would soon stand
    at its bound. ``step_size`` is in ``l1``; None takes 2.5 ``eps`` / ``steps``. ``fast`` works on
    a bfloat16 copy. Tramèr and Boneh (2019), section 3.3.

    Raises:
        UserError: if a number is out of range, or restarts would all be the same.
    """

    name: ClassVar[str] = "slide"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)

    share: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise UserError(f"slide's share must lie in (0, 1], not {self.share}")

    def _way(self, gradient: Tensor, norm: Norm) -> Tensor:
        many = max(1, round(self.share * gradient[0].numel()))
        return steepest_few(gradient, gradient.new_full((1,), many))


def steepest_few(gradient: Tensor, many: Tensor) -> Tensor:
    """The signs of the ``many`` ``(batch,)`` steepest values of each gradient, of ``l1`` norm 1.

    Values as steep as the last of them go along; a gradient of zero gives zero.
    """
    flat = gradient.flatten(1).abs()
    place = (many.long().clamp(1, flat.shape[1]) - 1).expand(len(flat))
    bar = flat.sort(dim=1, descending=True).values.gather(1, place[:, None])
    signs = gradient.sign() * (flat >= bar).view_as(gradient)
    return signs / per_sample(signs.flatten(1).abs().sum(1).clamp_min(1.0), signs)
