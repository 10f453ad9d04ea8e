import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hauberk.adapters.data.parts import CALIBRATION, TEST, TRAIN, VALIDATION, drawn, official


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 6), st.integers(0, 9), st.integers(1, 20))
def test_official_tests_stay_and_groups_hold_together(
    n: int, classes: int, seed: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    test = rng.random(n) < 0.3
    groups = np.array([f"{'t' if held else 'g'}{i // size}" for i, held in enumerate(test)])
    parts = official(y, test, groups=groups)
    np.testing.assert_array_equal(parts == TEST, test)
    for group in set(groups[~test]):
        assert len(set(parts[(groups == group) & ~test])) == 1
    np.testing.assert_array_equal(parts, official(y, test, groups=groups))


def test_shares_are_stratified() -> None:
    y = np.repeat(np.arange(4), [1000, 500, 100, 20]).astype(np.int64)
    parts = drawn(y)
    for label, count in enumerate((1000, 500, 100, 20)):
        found = np.bincount(parts[y == label], minlength=4) / count
        np.testing.assert_allclose(found, [0.60, 0.10, 0.15, 0.15], atol=0.03)


def test_large_sets_give_no_more_than_five_thousand_each() -> None:
    y = np.tile(np.arange(10), 20_000).astype(np.int64)
    parts = official(y, np.arange(len(y)) >= 150_000)
    assert np.bincount(parts).tolist() == [140_000, 5000, 5000, 50_000]
    assert (TRAIN, VALIDATION, CALIBRATION, TEST) == (0, 1, 2, 3)
