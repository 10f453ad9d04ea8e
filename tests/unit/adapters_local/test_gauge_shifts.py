from __future__ import annotations

import numpy as np
import pytest

from hauberk.adapters.local.gauge_shifts import PLAIN, SPATIAL, changed

ALL = [(family, s) for kinds in (PLAIN, SPATIAL) for family, each in kinds.items() for s in each]


def images() -> np.ndarray:
    return np.random.default_rng(0).random((6, 3, 16, 14), dtype=np.float32)


@pytest.mark.parametrize(("family", "strength"), ALL, ids=str)
def test_each_changes_the_image_and_keeps_its_form(family: str, strength: float) -> None:
    x = images()
    before = x.copy()
    out = changed(x, family, strength, np.random.default_rng(1))
    assert out.shape == x.shape
    assert out.dtype == np.float32
    assert out.min() >= 0
    assert out.max() <= 1
    assert np.abs(out - x).mean() > 0.005
    assert (x == before).all()
    assert (changed(x, family, strength, np.random.default_rng(1)) == out).all()


@pytest.mark.parametrize("family", PLAIN)
def test_the_plain_ones_take_vectors(family: str) -> None:
    x = np.random.default_rng(0).random((5, 20), dtype=np.float32)
    assert changed(x, family, PLAIN[family][0], np.random.default_rng(1)).shape == x.shape


def test_space_is_moved_about_the_centre() -> None:
    x = np.zeros((1, 1, 9, 9), dtype=np.float32)
    x[0, 0, 4, 4] = x[0, 0, 4, 6] = 1.0
    out = changed(x, "zoom", 2.0, np.random.default_rng(0))
    assert out[0, 0, 4, 4] == 1.0
    assert out[0, 0, 4, 8] == 1.0
    assert out[0, 0, 4, 6] == 0.0
    blocks = changed(x, "pixelate", 3.0, np.random.default_rng(0))
    assert blocks[0, 0, 3:6, 3:6] == pytest.approx(1 / 9)
