from __future__ import annotations

import numpy as np
import pytest

from hauberk.core.errors import UserError
from hauberk.guard.fingerprint import BITS, Fingerprint, distance
from hauberk.guard.shifts import shift

KEY = bytes(range(32))
RNG = np.random.default_rng


def smooth(n: int, *, seed: int = 0, shape: tuple[int, ...] = (1, 28, 28)) -> np.ndarray:
    """Blobs: what images are like at the scale of a thumbnail."""
    noise = RNG(seed).random((n, *shape), dtype=np.float32)
    blurred = shift(noise, "blur", 2.5, rng=RNG(0))
    low, high = blurred.min(), blurred.max()
    scaled: np.ndarray = ((blurred - low) / (high - low)).astype(np.float32)
    return scaled


def apart(a: list[str], b: list[str]) -> np.ndarray:
    pairs = zip(a, b, strict=True)
    return np.array([distance(int(one, 16), int(two, 16)) for one, two in pairs])


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 120, 200)])
def test_noise_hardly_changes_it_and_another_image_does(shape: tuple[int, ...]) -> None:
    x, mark = smooth(30, shape=shape), Fingerprint(KEY)
    noisy = x + RNG(1).normal(scale=0.02, size=x.shape).astype(np.float32)
    assert np.median(apart(mark(x), mark(noisy))) <= 15
    assert apart(mark(x), mark(np.roll(x, 1, axis=0))).min() > 20


def test_another_key_is_another_hash() -> None:
    x = smooth(20)
    ours, theirs = Fingerprint(KEY)(x), Fingerprint(KEY[::-1])(x)
    assert abs(apart(ours, theirs).mean() - BITS / 2) < 8
    assert Fingerprint(KEY)(x) == ours


def test_a_short_key_is_refused() -> None:
    with pytest.raises(UserError):
        Fingerprint(b"short")


def test_vectors_and_flat_images_have_one_too() -> None:
    assert len(Fingerprint(KEY)(RNG(0).random((3, 20), dtype=np.float32))[0]) == 32
    assert len(Fingerprint(KEY)(np.zeros((1, 3, 8, 8), dtype=np.float32))) == 1
