from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hauberk.testing.gateway_bench import SHAPE, Bench

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.make(tmp_path)


@pytest.fixture
def rows() -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(size=(64, *SHAPE)).astype(np.float32)
