from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hauberk.core.errors import DataError
from hauberk.guard.pair import calibrate
from hauberk.guard.shifts import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

X = np.random.default_rng(0).random((300, 1, 8, 8), dtype=np.float32)
WEIGHTS = np.random.default_rng(1).normal(size=(64, 3)).astype(np.float32)


def primary(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x.reshape(len(x), -1) @ WEIGHTS


def twin(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x.reshape(len(x), -1) @ (WEIGHTS + np.float32(0.1))


def test_calibrates_every_family_deterministically() -> None:
    one, two = (calibrate(primary, twin, X, rng=np.random.default_rng(2)) for _ in range(2))
    assert one.to_bytes() == two.to_bytes()
    assert one.families == tuple(FAMILIES)
    assert one.n == 300
    expected = (primary(X).argmax(1) == twin(X).argmax(1)).sum()
    assert one.agreeing == expected


def test_tables_get_the_families_that_fit_them() -> None:
    flat = calibrate(primary, twin, X.reshape(300, -1), rng=np.random.default_rng(2))
    assert 0 < len(flat.families) < len(FAMILIES)


def test_other_shapes_count_as_vectors() -> None:
    rng = np.random.default_rng
    flat = calibrate(primary, twin, X.reshape(300, -1), rng=rng(2))
    cube = calibrate(primary, twin, X.reshape(300, 4, 16), rng=rng(2))
    assert cube.to_bytes() == flat.to_bytes()


def test_too_few_samples() -> None:
    with pytest.raises(DataError, match="too few"):
        calibrate(primary, twin, X[:10], rng=np.random.default_rng(2))
