from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.errors import DataError, UnknownNameError, UserError
from hauberk.core.model import Bounds
from hauberk.guard.shifts import FAMILIES, benign, shift

X = np.random.default_rng(0).random((4, 3, 9, 11), dtype=np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@settings(deadline=None, max_examples=40)
@given(family=st.sampled_from(sorted(FAMILIES)), low=st.floats(-3, 1), width=st.floats(0.1, 300))
def test_stays_in_bounds_and_keeps_shape_and_input(family: str, low: float, width: float) -> None:
    bounds = Bounds(low, low + width)
    x = (low + width * X.astype(np.float64)).clip(low, low + width).astype(np.float32)
    x = np.clip(x, np.nextafter(np.float32(low), np.float32(1e9)), x.max())
    before = x.copy()
    kind, strength = FAMILIES[family]
    moved = shift(x, kind, strength, rng=rng(), bounds=bounds)
    assert moved.shape == x.shape
    assert moved.dtype == np.float32
    assert moved.min() >= np.float32(bounds.low)
    assert moved.max() <= np.float32(bounds.high)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("kind", "nothing"),
    [
        ("noise", 0.0),
        ("brightness", 0.0),
        ("contrast", 1.0),
        ("rotation", 0.0),
        ("blur", 0.0),
        ("translation_x", 0.0),
        ("translation_y", 0.0),
    ],
)
def test_no_strength_is_no_shift(kind: str, nothing: float) -> None:
    np.testing.assert_allclose(shift(X, kind, nothing, rng=rng()), X, atol=1e-6)


def test_known_moves() -> None:
    np.testing.assert_allclose(
        shift(X, "rotation", 90.0, rng=rng())[:, :, :, 1:10], np.rot90(X[:, :, :, 1:10], 1, (2, 3)),
        atol=1e-5,
    )  # fmt: skip
    right = shift(X, "translation_x", 2.0, rng=rng())
    np.testing.assert_allclose(right[..., 2:], X[..., :-2], atol=1e-6)
    assert right[..., :2].max() == 0
    up = shift(X, "translation_y", -1.0, rng=rng())
    np.testing.assert_allclose(up[:, :, :-1], X[:, :, 1:], atol=1e-6)
    half = shift(X, "translation_x", 0.5, rng=rng())
    np.testing.assert_allclose(half[..., 1:], (X[..., 1:] + X[..., :-1]) / 2, atol=1e-6)
    brighter = shift(X, "brightness", 0.15, rng=rng())
    np.testing.assert_allclose(brighter, np.minimum(X + np.float32(0.15), 1), atol=1e-6)
    noisy = shift(np.full_like(X, 0.5), "noise", 0.1, rng=rng())
    assert noisy.std() == pytest.approx(0.1, rel=0.1)


def test_blur_keeps_the_mean_and_smooths() -> None:
    flat = np.full((1, 1, 9, 9), 0.4, dtype=np.float32)
    np.testing.assert_allclose(shift(flat, "blur", 1.5, rng=rng()), flat, atol=1e-6)
    assert shift(X, "blur", 1.0, rng=rng()).std() < 0.6 * X.std()


def test_same_seed_same_noise() -> None:
    one, two = (shift(X, "noise", 0.1, rng=rng()) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_families_of_images_and_of_vectors() -> None:
    assert set(benign(X, rng=rng())) == set(FAMILIES)
    vectors = set(benign(X.reshape(4, -1), rng=rng()))
    assert vectors == {name for name, (kind, _) in FAMILIES.items() if kind in
                       ("noise", "brightness", "contrast")}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "strength", "error"),
    [
        ("nois", 0.1, UnknownNameError),
        ("noise", -0.1, UserError),
        ("blur", -1.0, UserError),
        ("contrast", float("nan"), UserError),
        ("rotation", float("inf"), UserError),
    ],
)
def test_refuses_a_senseless_shift(kind: str, strength: float, error: type[UserError]) -> None:
    with pytest.raises(error):
        shift(X, kind, strength, rng=rng())


def test_refuses_vectors_where_images_are_needed() -> None:
    with pytest.raises(DataError, match="images"):
        shift(X.reshape(4, -1), "rotation", 5.0, rng=rng())
    with pytest.raises(DataError, match="shape"):
        shift(X[0], "noise", 0.1, rng=rng())
