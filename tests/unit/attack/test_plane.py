from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.attack.ball import size
from hauberk.attack.plane import to_plane
from hauberk.core.errors import UserError
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from hauberk.core.threat import Norm

BOUNDS = Bounds()
NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")


def _plane(
    seed: int, n: int = 6, values: int = 5
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand((n, values), generator=generator)
    normal = torch.randn((n, values), generator=generator)
    inner = torch.rand((n, values), generator=generator)
    return points, normal, (normal * inner).sum(1), generator


@pytest.mark.parametrize("norm", NORMS)
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20))
def test_on_the_plane_in_the_bounds_and_none_is_nearer(norm: Norm, seed: int) -> None:
    points, normal, offset, generator = _plane(seed)
    step = to_plane(points, normal, offset, norm=norm, bounds=BOUNDS)
    there = points + step
    assert bool(((there >= -1e-6) & (there <= 1 + 1e-6)).all())
    assert torch.allclose((normal * there).sum(1), offset, atol=1e-4)
    # Rivals: points of the plane that lie within the bounds, reached along random ways.
    rivals = torch.rand((200, *points.shape), generator=generator)
    back = (offset - (normal * rivals).sum(2)) / (normal * normal).sum(1)
    rivals = rivals + back[:, :, None] * normal
    valid = ((rivals >= 0) & (rivals <= 1)).all(2)
    for row in range(len(points)):
        found = rivals[valid[:, row], row] - points[row]
        if len(found):
            assert bool((size(found, norm) >= size(step[row : row + 1], norm) - 1e-4).all())


@pytest.mark.parametrize(
    ("norm", "expected"),
    [("linf", [-0.2, -0.2]), ("l2", [-0.2, -0.2]), ("l1", [-0.4, 0.0])],
)
def test_against_a_worked_example(norm: Norm, expected: list[float]) -> None:
    """From (0.5, 0.5) onto x + y = 0.6; in l1 the first of equals takes it all."""
    step = to_plane(
        torch.tensor([[0.5, 0.5]]),
        torch.ones(1, 2),
        torch.tensor([0.6]),
        norm=norm,
        bounds=BOUNDS,
    )
    assert torch.allclose(step, torch.tensor([expected]), atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_out_of_reach_it_goes_as_far_as_the_bounds_let_it(norm: Norm) -> None:
    step = to_plane(
        torch.full((1, 3), 0.25), torch.ones(1, 3), torch.tensor([9.0]), norm=norm, bounds=BOUNDS
    )
    assert torch.allclose(step, torch.full((1, 3), 0.75), atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
def test_a_plane_without_a_normal_moves_nothing(norm: Norm) -> None:
    step = to_plane(
        torch.rand(2, 3, generator=torch.Generator().manual_seed(0)),
        torch.zeros(2, 3),
        torch.tensor([1.0, -1.0]),
        norm=norm,
        bounds=BOUNDS,
    )
    assert np.array_equal(step.numpy(), np.zeros((2, 3)))


def test_no_plane_in_l0() -> None:
    with pytest.raises(UserError, match="l0"):
        to_plane(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1), norm="l0", bounds=BOUNDS)
