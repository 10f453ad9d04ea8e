from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.attack.ball import Ball, patch_side, project, require_norm, size, steepest
from hauberk.core.errors import UserError
from hauberk.core.model import Bounds

if TYPE_CHECKING:
    from hauberk.core.threat import Norm

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1", "l0")


def _draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("norm", "expected"), [("linf", 3.0), ("l2", 10.0**0.5), ("l1", 4.0), ("l0", 2.0)]
)
def test_sizes(norm: Norm, expected: float) -> None:
    delta = torch.tensor([[[3.0, 0.0], [-1.0, 0.0]]])
    assert size(delta, norm).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**20), eps=st.floats(0.0, 20.0))
def test_projection_is_in_the_ball_and_leaves_the_inside_alone(
    norm: Norm, seed: int, eps: float
) -> None:
    delta = _draw(seed, 4, 2, 5)
    moved = project(delta, norm, eps)
    sizes = size(moved, norm)
    assert bool((sizes <= eps * (1 + 1e-5) + 1e-6).all())
    inside = size(delta, norm) <= eps
    assert torch.allclose(moved[inside], delta[inside], atol=1e-6)
    assert torch.allclose(project(moved, norm, eps), moved, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_projection_is_the_nearest_point(norm: Norm) -> None:
    """Of many points of the ball none is nearer to the original than the projection."""
    delta, eps = _draw(0, 1, 6) * 2, 1.0
    nearest = (project(delta, norm, eps) - delta).norm()
    rivals = project(_draw(1, 4000, 6) * 1.5, norm, eps)
    assert bool(((rivals - delta).norm(dim=1) >= nearest - 1e-5).all())


def test_l1_projection_against_a_worked_example() -> None:
    delta = torch.tensor([[0.8, -0.6, 0.1]])
    assert torch.allclose(project(delta, "l1", 1.0), torch.tensor([[0.6, -0.4, 0.0]]), atol=1e-6)


def test_l0_keeps_the_largest_even_among_ties() -> None:
    delta = torch.tensor([[1.0, -3.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    kept = project(delta, "l0", 2.0)
    assert kept.tolist()[0] == [1.0, -3.0, 0.0, 0.0]
    assert size(kept, "l0").tolist() == [2.0, 2.0]


@pytest.mark.parametrize("norm", NORMS)
def test_ball_and_bounds_together(norm: Norm) -> None:
    ball = Ball(norm, 2.0, Bounds(-1.0, 3.0))
    centre = torch.rand(8, 3, 4, generator=torch.Generator().manual_seed(0)) * 4 - 1
    points = ball.project(centre + 10 * _draw(0, 8, 3, 4), centre)
    assert bool(ball.contains(points, centre).all())


@pytest.mark.parametrize(
    "fault",
    [float("nan"), float("inf"), 1.01, -0.01, 0.7],
    ids=["nan", "inf", "high", "low", "far"],
)
def test_contains_refuses(fault: float) -> None:
    ball = Ball("linf", 0.1, Bounds())
    centre = torch.full((2, 3), 0.5)
    points = centre.clone()
    points[1, 2] = fault
    assert ball.contains(points, centre).tolist() == [True, False]


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_starts_fill_the_ball(norm: Norm) -> None:
    ball = Ball(norm, 0.25, Bounds())
    centre = torch.full((4000, 2), 0.5)
    uniform = torch.rand((4000, 3), generator=torch.Generator().manual_seed(0))
    points = ball.start(centre, uniform)
    assert bool(ball.contains(points, centre).all())
    # In two dimensions half of the volume lies within 1/sqrt(2) of the radius.
    within = size(points - centre, norm) < 0.25 / 2**0.5
    assert float(within.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert torch.allclose(points.mean(0), torch.full((2,), 0.5), atol=0.01)


def test_a_start_at_the_edges_of_the_draw_is_finite() -> None:
    uniform = torch.tensor([[0.0, 0.0, 0.0], [1 - 2**-24, 0.0, 1 - 2**-24], [0.5, 0.5, 0.5]])
    centre = torch.full((3, 2), 0.5)
    assert bool(
        Ball("l2", 0.25, Bounds())
        .contains(Ball("l2", 0.25, Bounds()).start(centre, uniform), centre)
        .all()
    )


def test_no_start_for_other_norms() -> None:
    with pytest.raises(UserError, match="l0"):
        Ball("l0", 1.0, Bounds()).start(torch.zeros(1, 2), torch.zeros(1, 3))


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e20])
def test_steepest_has_norm_one_at_any_scale(scale: float) -> None:
    gradient = _draw(0, 3, 4, 4) * scale
    assert torch.allclose(size(steepest(gradient, "l2"), "l2"), torch.ones(3), atol=1e-5)
    assert bool((steepest(gradient, "linf").abs() == 1).all())


def test_steepest_of_nothing_is_nothing() -> None:
    for norm in ("linf", "l2"):
        assert not steepest(torch.zeros(2, 3), norm).any()
    with pytest.raises(UserError, match="l0"):
        steepest(torch.zeros(2, 3), "l0")


def test_an_unknown_norm_is_refused_with_what_is_known() -> None:
    require_norm("l2", "linf", "l2")
    with pytest.raises(UserError, match="linf and l2, not in l1"):
        require_norm("l1", "linf", "l2")


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20), eps=st.floats(0.01, 4.0))
def test_l1_within_bounds_is_the_nearest_point_of_both(seed: int, eps: float) -> None:
    ball = Ball("l1", eps, Bounds())
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand((1, 6), generator=generator)
    point = centre + torch.randn((1, 6), generator=generator)
    nearest = ball.project(point, centre)
    assert bool(ball.contains(nearest, centre).all())
    rivals = centre + (torch.rand((3000, 6), generator=generator) - 0.5) * 2
    rivals = torch.cat([rivals, nearest + 0.05 * torch.randn((3000, 6), generator=generator)])
    rivals = (centre + project(rivals.clamp(0, 1) - centre, "l1", eps)).clamp(0, 1)
    assert bool(((rivals - point).norm(dim=1) >= (nearest - point).norm() - 1e-5).all())


def test_l1_starts_fill_the_ball() -> None:
    centre = torch.full((4000, 3), 0.5)
    uniform = torch.rand((4000, 4), generator=torch.Generator().manual_seed(0))
    away = size(Ball("l1", 0.4, Bounds()).start(centre, uniform) - centre, "l1")
    assert float(away.max()) <= 0.4 + 1e-6
    # Evenly in the volume: the cube of the radius is uniform.
    assert float(((away / 0.4) ** 3).mean()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("eps", "shape", "side"),
    [(0.0, (1, 8, 8), 0), (0.001, (1, 8, 8), 1), (0.25, (3, 8, 8), 4), (1.0, (1, 8, 4), 4)],
)
def test_a_patch_is_the_largest_square_of_its_share(
    eps: float, shape: tuple[int, ...], side: int
) -> None:
    assert patch_side(eps, (5, *shape)) == side


def test_a_patch_is_told_from_what_is_none() -> None:
    ball = Ball("patch", 0.25, Bounds())
    centre = torch.full((4, 2, 8, 8), 0.5)
    points = centre.clone()
    points[0, :, 3:7, 2:6] = 1.0
    points[1, 0, 3:8, 2:6] = 1.0
    points[2, 0, 0, 0] = points[2, 1, 7, 7] = 0.0
    assert ball.contains(points, centre).tolist() == [True, False, False, True]


@pytest.mark.parametrize(("eps", "shape"), [(0.1, (5, 8)), (1.5, (5, 1, 8, 8))])
def test_no_patch_of_that_kind(eps: float, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError):
        patch_side(eps, shape)


def test_what_has_no_distance_has_no_size() -> None:
    with pytest.raises(UserError):
        size(torch.zeros(1, 2), "spatial")
    with pytest.raises(UserError):
        project(torch.zeros(1, 2), "patch", 1.0)
