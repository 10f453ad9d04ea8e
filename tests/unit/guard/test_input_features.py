from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import DataError
from hauberk.guard.features import NAMES, features
from hauberk.guard.shifts import shift

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bars(n: int = 40, *, seed: int = 0) -> NDArray[np.float32]:
    """Upright soft bars of different places and widths: ``(n, 1, 28, 28)``."""
    rng = np.random.default_rng(seed)
    x, y = np.arange(28.0), np.arange(28.0)
    across = np.exp(-(((x - rng.normal(13.5, 1, (n, 1))) / rng.uniform(2, 3, (n, 1))) ** 2))
    along = 1 / (1 + np.exp(-4 * (8 - np.abs(y - 13.5))))
    image: NDArray[np.float32] = (along[None, :, None] * across[:, None, :]).astype(np.float32)
    return image[:, None]


def named(x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    return features(x)[:, NAMES.index(name)]


def test_shape_names_and_type() -> None:
    found = features(bars(3))
    assert found.shape == (3, len(NAMES))
    assert found.dtype == np.float32
    assert len(set(NAMES)) == len(NAMES)


def test_values_of_a_known_image() -> None:
    x = np.zeros((1, 1, 3, 3), dtype=np.float32)
    x[0, 0, 1, 2] = 0.9  # right of the middle
    found = dict(zip(NAMES, features(x)[0], strict=True))
    assert found["mean"] == pytest.approx(0.1)
    assert found["contrast"] == pytest.approx(np.std([0.9] + [0.0] * 8))
    assert found["darkest"] == 0
    assert found["brightest"] == pytest.approx(0.9)
    assert (found["centre_x"], found["centre_y"]) == (pytest.approx(1, abs=1e-4), 0)
    assert found["spread"] == pytest.approx(0, abs=1e-4)
    assert found["noise_floor"] == pytest.approx(0.9 * 2 / 4)


@pytest.mark.parametrize(
    ("kind", "strength", "name", "sign"),
    [
        ("noise", 0.1, "noise_floor", 1),
        ("noise", 0.05, "fine_detail", 1),
        ("brightness", 0.15, "darkest", 1),
        ("brightness", -0.15, "brightest", -1),
        ("contrast", 0.7, "contrast", -1),
        ("rotation", 15.0, "slant", 1),
        ("rotation", -15.0, "slant", -1),
        ("rotation", 15.0, "edge_tilt", -1),
        ("blur", 1.0, "noise_floor", -1),
        ("translation_x", 3.0, "centre_x", 1),
        ("translation_y", -3.0, "centre_y", -1),
    ],
)
def test_a_shift_moves_its_statistic(kind: str, strength: float, name: str, sign: int) -> None:
    x = bars()
    rng = np.random.default_rng(1)
    before, after = named(x, name), named(shift(x, kind, strength, rng=rng), name)
    assert (sign * (after - before) > 0).mean() > 0.95
    assert abs(after.mean() - before.mean()) > before.std()


def test_upright_and_level_edges_are_opposite() -> None:
    x = bars()
    level = np.ascontiguousarray(x.transpose(0, 1, 3, 2))
    assert named(x, "edge_balance").min() > 0.1
    np.testing.assert_allclose(named(level, "edge_balance"), -named(x, "edge_balance"), rtol=1e-4)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.sampled_from([(5, 7), (5, 1), (4, 1, 8, 8), (4, 3, 5, 9), (4, 1, 1, 6), (4, 2, 1, 1)]),
    seed=st.integers(0, 2**16),
)
def test_one_by_one_is_as_together(shape: tuple[int, ...], seed: int) -> None:
    x = np.random.default_rng(seed).random(shape, dtype=np.float32)
    alone = np.concatenate([features(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(features(x), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.3, -2.0])
def test_a_flat_image_is_finite(level: float) -> None:
    assert np.isfinite(features(np.full((2, 3, 4, 4), level, dtype=np.float32))).all()


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((0, 1, 4, 4), np.float32),
        np.zeros((2, 4, 4), np.float32),
        np.zeros(4, np.float32),
        np.full((1, 1, 4, 4), np.nan, np.float32),
        np.full((1, 9), np.inf, np.float32),
        np.full((1, 9), 1e38, np.float32),
    ],
    ids=["empty", "three axes", "one axis", "nan", "inf", "overflow"],
)
def test_refuses_what_it_cannot_describe(
    x: NDArray[np.float32],
) -> None:
    with np.errstate(all="ignore"), pytest.raises(DataError):
        features(x)
