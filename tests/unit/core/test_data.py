"""Data with an address and a split that never leaks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.core.data import SHARES, Dataset, Split
from hauberk.core.errors import DataError
from hauberk.core.model import Bounds

SPLITS: tuple[Split, ...] = tuple(SHARES)


def dataset(n: int = 200, classes: int = 4, seed: int = 0, **more: Any) -> Dataset:
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "name": "toy",
        "x": rng.random((n, 1, 3, 3), dtype=np.float32),
        "y": rng.integers(0, classes, n).astype(np.int64),
        "classes": classes,
    }
    return Dataset(**{**fields, **more})


@given(n=st.integers(40, 300), classes=st.integers(1, 5), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_the_split_is_whole_disjoint_stratified_and_the_same_again(
    n: int, classes: int, seed: int
) -> None:
    data = dataset(n, classes, seed)
    parts = {split: data.indices(split) for split in SPLITS}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))
    again = dataset(n, classes, seed)
    for split, share in SHARES.items():
        assert np.array_equal(parts[split], again.indices(split))
        for label in range(classes):
            total = int((data.y == label).sum())
            found = int((data.y[parts[split]] == label).sum())
            assert abs(found - share * total) <= 1.5


def test_an_official_part_is_kept() -> None:
    part = np.array([0, 3] * 100, dtype=np.int8)
    data = dataset(part=part)
    assert np.array_equal(data.indices("test"), np.flatnonzero(part == 3))
    assert data.split("test").name == "toy/test"
    with pytest.raises(DataError):
        data.split("calibration")


@pytest.mark.parametrize("what", ["x", "y", "classes", "bounds", "part"])
def test_the_digest_covers_everything_that_counts(what: str) -> None:
    base = dataset(part=np.zeros(200, np.int8))
    changed: dict[str, Any] = {
        "x": base.x * np.float32(0.5),
        "y": (base.y + 1) % 4,
        "classes": 5,
        "bounds": Bounds(0.0, 2.0),
        "part": np.ones(200, np.int8),
    }
    more = {"part": base.part, what: changed[what]}
    assert dataset(**more).digest != base.digest
    assert dataset(part=base.part, name="other").digest == base.digest


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("x", np.zeros((0, 2), np.float32), "no samples"),
        ("x", np.zeros((200, 2)), "float32"),
        ("y", np.zeros(200, np.int32), "int64"),
        ("y", np.zeros(199, np.int64), "labels of shape"),
        ("x", np.full((200, 2), np.nan, np.float32), "NaN"),
        ("x", np.full((200, 2), 1.5, np.float32), "outside"),
        ("x", np.full((200, 2), -0.1, np.float32), "outside"),
        ("y", np.full(200, 4), "labels must lie"),
        ("y", np.full(200, -1), "labels must lie"),
    ],
)
def test_what_does_not_fit_is_refused(field: str, value: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        dataset(**{field: value})
    assert caught.value.where == "toy"


def test_take_keeps_the_order_and_refuses_nothing_at_all() -> None:
    data = dataset()
    taken = data.take(np.array([5, 2], np.int64))
    assert np.array_equal(taken.x, data.x[[5, 2]])
    with pytest.raises(DataError):
        data.take(np.array([], np.int64))


@given(st.integers(1, 300))
@settings(deadline=None, max_examples=20)
def test_batches_hold_every_sample_once(size: int) -> None:
    data = dataset()
    batches = list(data.batches(size))
    assert all(len(x) == len(y) <= size for x, y in batches)
    assert np.array_equal(np.concatenate([y for _, y in batches]), data.y)
