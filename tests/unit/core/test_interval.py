"""Intervals hold what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.interval import paired_gain, wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_against_published_figures(right: int, n: int, low: float, high: float) -> None:
    """The last row is Newcombe (1998), table I."""
    assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)


def test_nothing_measured_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10_000), st.data())
@settings(deadline=None, max_examples=100)
def test_wilson_holds_the_share_and_mirrors(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = wilson(right, n)
    assert 0.0 <= low <= right / n <= high <= 1.0
    other = wilson(n - right, n)
    assert (1 - other[1], 1 - other[0]) == pytest.approx((low, high))


def test_wilson_covers_95_of_100() -> None:
    rng = np.random.default_rng(0)
    right = rng.binomial(200, 0.3, size=4000)
    held = np.mean([low <= 0.3 <= high for low, high in (wilson(int(k), 200) for k in right)])
    assert 0.93 < held < 0.97


def test_paired_gain_covers_95_of_100() -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(200, [0.1, 0.25, 0.65], size=4000)
    spans = [paired_gain(int(b), int(c), 200) for b, c, _ in draws]
    assert 0.93 < np.mean([low <= 0.15 <= high for low, high in spans]) < 0.98


def test_paired_gain_by_hand() -> None:
    """No pair of 10 differs: half a count in each of two cells of 12, so z / 12 either way."""
    assert paired_gain(0, 0, 10) == pytest.approx((-0.16333, 0.16333), abs=1e-5)


@given(st.integers(0, 50), st.integers(0, 50))
@settings(deadline=None, max_examples=60)
def test_paired_gain_mirrors_and_grows(before: int, after: int) -> None:
    low, high = paired_gain(before, after, 100)
    assert -1.0 <= low < high <= 1.0
    back = paired_gain(after, before, 100)
    assert (-back[1], -back[0]) == pytest.approx((low, high))
    if after < 50:
        assert paired_gain(before, after + 1, 101)[1] > low
