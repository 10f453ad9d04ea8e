from __future__ import annotations

import numpy as np
import pytest

from hauberk.attack.streams import Streams


def test_a_sample_draws_the_same_in_any_company() -> None:
    whole = Streams.of(3, np.arange(10))
    alone = Streams.of(3, np.array([7]))
    assert np.array_equal(whole.uniform(5, 20)[7], alone.uniform(5, 20)[0])
    assert np.array_equal(whole.take(np.array([7, 2])).uniform(5, 20), whole.uniform(5, 20)[[7, 2]])


def test_draws_do_not_depend_on_earlier_ones_or_on_their_size() -> None:
    streams = Streams.of(3, np.arange(4))
    first = streams.uniform(1, 8)
    streams.uniform(0, 100)
    assert np.array_equal(first, streams.uniform(1, 8))
    assert np.array_equal(first, streams.uniform(1, 30)[:, :8])


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_uniform_on_the_unit_interval(seed: int) -> None:
    draws = Streams.of(seed, np.arange(200)).uniform(0, 500)
    assert draws.dtype == np.float32
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    expected = draws.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi², 19 degrees, p < 0.001


def test_samples_numbers_seeds_and_values_are_independent() -> None:
    draws = np.stack(
        [
            Streams.of(seed, np.arange(40)).uniform(number, 64)
            for seed in (0, 1, 2)
            for number in (0, 1, 2)
        ]
    )
    assert len(np.unique(draws)) > 0.99 * draws.size
    flat = draws.reshape(-1, 64).astype(np.float64) - 0.5
    correlations = np.corrcoef(flat) - np.eye(len(flat))
    assert np.abs(correlations).max() < 0.65  # 64 values: a standard deviation is 0.125
    assert abs(correlations.mean()) < 0.01


def test_forks_draw_apart_from_each_other_and_from_their_stream() -> None:
    whole = Streams.of(3, np.arange(4))
    twice = whole.take(np.array([0, 0, 1, 1])).fork(np.array([0, 1, 0, 1]))
    drawn = np.concatenate([whole.uniform(0, 5), twice.uniform(0, 5)])
    assert len(np.unique(drawn, axis=0)) == 8
    again = whole.take(np.array([1])).fork(np.array([1]))
    assert np.array_equal(again.uniform(0, 5)[0], twice.uniform(0, 5)[3])
