import numpy as np
import pytest
import torch

from hauberk.core.data import Dataset


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def blobs(n: int, seed: int) -> Dataset:
    """Images (1, 6, 6) of two classes: bright above or below; noise hides a few."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.uniform(0.0, 0.5, (n, 1, 6, 6))
    x[y == 0, :, :3] += 0.4
    x[y == 1, :, 3:] += 0.4
    return Dataset(name="blobs", x=x.astype(np.float32), y=y.astype(np.int64), classes=2)


@pytest.fixture(scope="session")
def train() -> Dataset:
    return blobs(90, 0)


@pytest.fixture(scope="session")
def validation() -> Dataset:
    return blobs(40, 1)
