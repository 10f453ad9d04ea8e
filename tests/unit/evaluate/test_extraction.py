from __future__ import annotations

import numpy as np
import pytest
import torch

from hauberk.evaluate.extraction import Copy, Pool, copies, perceptron


def _pool(n: int = 400) -> Pool:
    """Answers of a plane in eight dimensions: easy to copy."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * n, 8)).astype(np.float32)
    labels = (x @ rng.normal(size=8) > 0).astype(np.int64)
    answers = np.eye(2, dtype=np.float32)[labels]
    return Pool(x=x[:n], answers=answers[:n], held=x[n:], labels=labels[n:])


def test_more_answers_make_a_better_copy_and_the_first_good_one_ends_it() -> None:
    (found,) = copies(
        _pool(),
        {"p": perceptron((8,), 2, hidden=16)},
        fidelity=0.93,
        counts=(10, 50, 200),
        seeds=(0,),
        steps=150,
    )
    counts = [count for count, _ in found.points]
    assert counts == [10, 50, 200, 400][: len(counts)]
    assert found.points[0][1] < 0.93 <= found.points[-1][1]
    queries = found.queries(0.93)
    assert queries is not None
    assert counts[-2] < queries <= counts[-1]


def test_the_same_seed_makes_the_same_copy() -> None:
    made = [copies(_pool(), {"p": perceptron((8,), 2)}, seeds=(3,), steps=20) for _ in range(2)]
    assert made[0] == made[1]
    before = torch.random.get_rng_state()
    perceptron((8,), 2)(0)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("points", "needed"),
    [
        (((10, 0.5), (100, 0.9)), 10 * 10 ** (0.3 / 0.4)),
        (((10, 0.85),), 10),
        (((10, 0.5), (100, 0.7)), None),
        (((10, 0.7), (50, 0.6), (100, 0.8)), 100),
    ],
)
def test_between_two_numbers_of_queries_their_logarithm_counts(
    points: tuple[tuple[int, float], ...], needed: float | None
) -> None:
    found = Copy(copyist="p", seed=0, points=points).queries(0.8)
    assert found == (None if needed is None else pytest.approx(needed))
