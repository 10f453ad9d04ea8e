from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")

from hauberk.core.errors import DataError, UserError
from hauberk.core.model import Bounds
from hauberk.core.registry import find
from hauberk.guard.rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ["requantise", "squeeze", "median", "bilateral", "jpeg", "tv"]
SMOOTHERS = ["median", "bilateral", "jpeg", "tv"]


def scene(channels: int = 3, size: int = 32, low: float = 0.0, high: float = 1.0) -> Any:
    """Smooth images with an edge."""
    y, x = np.mgrid[0:size, 0:size] / size
    one = 0.2 + 0.5 * x + 0.2 * (y > 0.5)
    images = np.stack([np.stack([one * (1 - 0.1 * c)] * 1).squeeze(0) for c in range(channels)])
    return (low + (high - low) * np.stack([images, images[:, ::-1]])).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bounds", [Bounds(), Bounds(-1.0, 3.0)])
def test_images_stay_images_and_nearly_as_they_were(
    name: str, channels: int, bounds: Bounds
) -> None:
    guard = find("guard", name)(bounds=bounds)
    x = scene(channels, low=bounds.low, high=bounds.high)
    before = x.copy()
    cleaned, suspicion = guard.inspect(x)
    assert cleaned.shape == x.shape
    assert cleaned.dtype == np.float32
    assert bounds.low <= cleaned.min() <= cleaned.max() <= bounds.high
    assert suspicion.shape == (2,)
    assert np.abs(cleaned - x).mean() < 0.03 * (bounds.high - bounds.low)
    np.testing.assert_array_equal(x, before)
    alone, _ = guard.inspect(x[:1])
    np.testing.assert_array_equal(alone[0], cleaned[0])


@pytest.mark.parametrize("name", SMOOTHERS)
def test_smoothing_takes_noise_away_and_notices_it(name: str) -> None:
    guard, x = find("guard", name)(), scene()
    rng = np.random.default_rng(0)
    noisy = (x + rng.choice([-0.06, 0.06], size=x.shape)).clip(0, 1).astype(np.float32)
    cleaned, suspicion = guard.inspect(noisy)
    assert np.abs(cleaned - x).mean() < np.abs(noisy - x).mean()
    assert (suspicion > guard.inspect(x)[1]).all()


def test_levels_are_those_asked_for() -> None:
    x = np.random.default_rng(0).uniform(size=(1, 1, 64, 64)).astype(np.float32)
    for bits in (1, 3, 8):
        squeezed = find("guard", "squeeze")(bits=bits).inspect(x)[0]
        assert len(np.unique(squeezed)) == 2**bits
    exact = find("guard", "requantise")().inspect(x)[0]
    np.testing.assert_array_equal(find("guard", "requantise")().inspect(exact)[0], exact)
    assert np.abs(exact - x).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_surrogate_is_the_filter_with_a_gradient(name: str) -> None:
    import torch

    torch.set_num_threads(1)
    guard, x = find("guard", name)(), scene()
    tensor = torch.tensor(x, requires_grad=True)
    out = guard.surrogate(tensor)
    np.testing.assert_allclose(out.detach().numpy(), guard.inspect(x)[0], atol=1e-6)
    out.sum().backward()
    assert tensor.grad is not None
    assert torch.isfinite(tensor.grad).all()
    assert (tensor.grad != 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_image_is_refused(name: str) -> None:
    for shape in ((4, 3), (1, 2, 8, 8), (1, 8, 8)):
        with pytest.raises(DataError, match="images"):
            find("guard", name)().inspect(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("squeeze", {"bits": 0}),
        ("squeeze", {"bits": 9}),
        ("median", {"size": 4}),
        ("bilateral", {"spread": 0.0}),
        ("jpeg", {"quality": 101}),
        ("tv", {"steps": 0}),
    ],
)
def test_a_field_out_of_range_is_refused(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        find("guard", name)(**fields)


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(-1.0, 1.0), Bounds(0.1, 0.7), Bounds(-3, 255)])
def test_bytes_stand_for_even_levels_within_the_bounds(bounds: Bounds) -> None:
    from hauberk.guard.pixels import from_bytes, to_bytes

    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    found = from_bytes(every, bounds)
    levels = np.linspace(bounds.low, bounds.high, 256).reshape(every.shape)
    np.testing.assert_allclose(found, levels, atol=1e-6 * (bounds.high - bounds.low))
    assert np.float32(bounds.low) <= found.min() <= found.max() <= np.float32(bounds.high)
    np.testing.assert_array_equal(to_bytes(found, bounds), every)


def plainly(plane: Any, weight: float, steps: int) -> Any:
    """Chambolle's iteration as he wrote it, on a whole plane."""
    f = plane.astype(np.float64) / weight
    p = np.zeros((2, *plane.shape))
    for step in range(steps + 1):
        divergence = p.sum(axis=0)
        divergence[1:] -= p[0, :-1]
        divergence[:, 1:] -= p[1, :, :-1]
        if step == steps:
            return np.rint((f - divergence) * weight).clip(0, 255)
        gradient = np.zeros_like(p)
        gradient[0, :-1] = np.diff(divergence - f, axis=0)
        gradient[1, :, :-1] = np.diff(divergence - f, axis=1)
        p = (p + gradient / 4) / (1 + np.hypot(*gradient) / 4)
    raise AssertionError


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (23, 17), (64, 5)])
@pytest.mark.parametrize("band", [1, 8, 128])
@pytest.mark.parametrize("steps", [1, 10])
def test_total_variation_by_bands_is_that_of_the_whole(
    shape: tuple[int, int], band: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hauberk.guard import tv

    monkeypatch.setattr(tv, "_BAND", band)
    monkeypatch.setattr(tv, "_LARGE", 100)  # side by side, if not tiny
    rng = np.random.default_rng(0)
    planes = list(rng.integers(0, 256, size=(3, *shape), dtype=np.uint8))
    found = tv.TotalVariation(steps=steps).on_bytes(planes)
    for plane, smooth in zip(planes, found, strict=True):
        away = np.abs(smooth - plainly(plane, 12.0, steps))
        assert away.max() <= 1, "one level: where the value lies between two"
        assert (away > 0).mean() <= 0.02


def table(*row: float) -> NDArray[np.float32]:
    return np.array([[1.0, 0.5, 1.0, 0.0], list(row)], dtype=np.float32)


RULES = Rows(low=(0, -1, 0, 0), high=(10, 1, 1, 1), whole=(0,), one_hot=((2, 3),))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((3, 0, 0, 1), ""),
        ((10, -1, 1, 0), ""),
        ((11, 0, 0, 1), "feature 0 is out"),
        ((3, -1.5, 0, 1), "feature 1 is out"),
        ((3, float("nan"), 0, 1), "feature 1 is out"),
        ((3.5, 0, 0, 1), "whole number"),
        ((3, 0, 1, 1), "exactly one"),
        ((3, 0, 0, 0), "exactly one"),
        ((3, 0, 0.5, 0.5), "exactly one"),
    ],
)
def test_rows_that_no_source_makes_are_refused(row: tuple[float, ...], why: str) -> None:
    if not why:
        assert RULES.inspect(table(*row))[0].shape == (2, 4)
        return
    with pytest.raises(DataError, match=why):
        RULES.inspect(table(*row))


def test_constraints_that_contradict_themselves_are_refused() -> None:
    for wrong in (
        {"low": (0,), "high": (1, 2)},
        {"low": (1,), "high": (0,)},
        {"low": (0,), "high": (1,), "whole": (1,)},
        {"low": (), "high": ()},
    ):
        with pytest.raises(UserError):
            Rows(**wrong)


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("shape", [(28, 28), (5, 95), (64, 96), (1, 3)])
def test_a_narrow_image_is_smoothed_as_a_wide_one(size: int, shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    plane = np.random.default_rng(size).integers(0, 256, shape).astype(np.uint8)
    (ours,) = find("guard", "median")(size=size).on_bytes([plane])
    assert np.array_equal(ours, cv2.medianBlur(plane, size))
