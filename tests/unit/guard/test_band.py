from __future__ import annotations

import numpy as np
import pytest

from hauberk.core.errors import DataError
from hauberk.guard import band


@pytest.mark.parametrize("n", [20, 21, 100, 270, 5000])
def test_levels_ascend_above_the_plain_share(n: int) -> None:
    order, bounds = band.ranks(n), np.array(band.levels(n, 0.05))
    assert order[0] == 1
    assert order[-1] <= 0.8 * n
    assert (np.diff(order) > 0).all()
    assert (np.diff(bounds) > 0).all()
    assert (bounds > order / n).all()
    assert bounds[-1] < 1


@pytest.mark.parametrize(("n", "delta"), [(60, 0.05), (60, 0.2), (270, 0.05)])
def test_all_levels_hold_together_as_often_as_stated(n: int, delta: float) -> None:
    draws = 4000
    uniforms = np.sort(np.random.default_rng(9).random((draws, n)), axis=1)
    tails = uniforms[:, band.ranks(n) - 1]  # tail beyond the r-th most extreme score
    held = (tails <= np.array(band.levels(n, delta))).all(axis=1).mean()
    noise = 3 * np.sqrt(delta * (1 - delta) / draws)
    assert 1 - delta - noise <= held <= 1 - delta + noise + 0.01


def test_smaller_delta_and_fewer_samples_widen() -> None:
    assert band.levels(270, 0.01)[0] > band.levels(270, 0.05)[0]
    assert band.levels(100, 0.05)[0] > band.levels(270, 0.05)[0]
    assert band.levels(270, 0.05)[0] < 0.016  # or there is no power at the usual size


@pytest.mark.parametrize("n", [0, 1, 19])
def test_refuses_too_few(n: int) -> None:
    with pytest.raises(DataError, match="too few"):
        band.levels(n, 0.05)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, float("nan")])
def test_refuses_a_delta_that_is_no_probability(delta: float) -> None:
    with pytest.raises(DataError, match="delta"):
        band.levels(50, delta)
