"""Rotations and shifts: the picture as it would be if the camera had been held otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING, ClassVar

from torch.nn.functional import affine_grid, grid_sample

from hauberk.attack.ball import require_norm
from hauberk.attack.search import Search
from hauberk.core.errors import UserError
from hauberk.core.model import Access

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from hauberk.core.data import Batch
    from hauberk.core.model import Bounds, Model
    from hauberk.core.task import Task
    from hauberk.core.threat import ThreatModel

_SHIFT = 1 / 300


@dataclass(frozen=True, kw_only=True)
class Spatial:
    """A grid of ``angles`` rotations and ``shifts`` × ``shifts`` translations; labels suffice.

    The norm is ``spatial``: rotations by ``eps`` degrees at most, translations by ``eps`` / 300 of
    each side, so that 30 is the usual budget of 30° and a tenth. Values are interpolated; what
    comes in from outside is the value nearest 0 within the bounds. The order goes from the
    smallest change to the largest, and a budget of queries cuts it there. Engstrom et al. (2019),
    section 3.2.

    Raises:
        UserError: if a number is out of range, or the inputs are not images.
    """

    needs: ClassVar[Access] = Access.LABELS

    angles: int = 11
    shifts: int = 5

    def __post_init__(self) -> None:
        if self.angles < 1 or self.shifts < 1:
            raise UserError("spatial needs at least one angle and one shift")

    def __call__(
        self,
        model: Model,
        batch: Batch,
        threat: ThreatModel,
        /,
        *,
        task: Task,
        rng: np.random.Generator,
    ) -> Tensor:
        """See :class:`hauberk.attack.attack.Attack`."""
        require_norm(threat.norm, "spatial")
        if batch.x.ndim != 4:
            raise UserError("spatial turns images, the inputs are rows")
        with Search(model, batch, threat, task=task, rng=rng, needs=self.needs) as search:
            if not search.done():
                search.ask(search.x)
            for angle, right, down in self.grid(threat.eps):
                if search.done():
                    break
                search.ask(transformed(search.x, angle, right, down, bounds=search.ball.bounds))
            return search.result()

    def grid(self, eps: float) -> list[tuple[float, float, float]]:
        """Degrees and shifts as shares of a side, without the one that changes nothing."""
        turns, ways = _even(self.angles, eps), _even(self.shifts, eps * _SHIFT)
        found = [(turn, right, down) for turn in turns for right in ways for down in ways]
        scale = max(eps, 1e-12)
        ranked = sorted(
            found,
            key=lambda one: (
                (one[0] / scale) ** 2
                + ((one[1] / _SHIFT / scale) ** 2 + (one[2] / _SHIFT / scale) ** 2) / 2
            ),
        )
        return [one for one in ranked if any(one)]


def transformed(
    images: Tensor, angle: float, right: float, down: float, *, bounds: Bounds
) -> Tensor:
    """Images ``(batch, channels, height, width)`` turned about their middle, then shifted.

    ``angle`` in degrees, anticlockwise; ``right`` and ``down`` as shares of width and height.
    """
    height, width = images.shape[-2:]
    turn = angle * pi / 180
    # From where in the source each pixel comes; in units of half a side.
    ratio = height / width
    matrix = images.new_tensor(
        [
            [cos(turn), -sin(turn) * ratio, 0.0],
            [sin(turn) / ratio, cos(turn), 0.0],
        ]
    )
    matrix[:, 2] = -matrix[:, :2] @ matrix.new_tensor([2 * right, 2 * down])
    where = affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    nothing = min(max(0.0, bounds.low), bounds.high)
    moved = grid_sample(
        images - nothing, where, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return (moved + nothing).clamp(bounds.low, bounds.high)


def _even(many: int, most: float) -> list[float]:
    """``many`` numbers evenly from ``-most`` to ``most``; 0 alone if there is but one."""
    if many == 1:
        return [0.0]
    return [most * (2 * place / (many - 1) - 1) for place in range(many)]
