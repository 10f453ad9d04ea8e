from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hauberk.core.errors import DataError, UserError
from hauberk.core.registry import find
from hauberk.guard.twin import TwinDivergence

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGITS = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32) * 4


def test_is_the_registered_twin_guard() -> None:
    assert find("guard", "twin") is TwinDivergence


def test_is_kl_of_twin_against_primary() -> None:
    twin = np.log([[0.5, 0.5]]).astype(np.float32)
    primary = np.log([[0.9, 0.1]]).astype(np.float32)
    expected = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    np.testing.assert_allclose(TwinDivergence().score(primary, twin), expected, rtol=1e-6)


def test_same_answer_scores_zero_and_a_constant_changes_nothing() -> None:
    np.testing.assert_allclose(TwinDivergence().score(LOGITS, LOGITS + 3), 0, atol=1e-6)


def test_confident_disagreement_scores_above_an_unsure_twin() -> None:
    sure_three, sure_five = np.zeros((2, 1, 10), dtype=np.float32)
    sure_three[0, 3] = sure_five[0, 5] = 10
    unsure = np.zeros((1, 10), dtype=np.float32)
    guard = TwinDivergence()
    assert guard.score(sure_three, sure_five) > guard.score(sure_three, unsure) > 0


def test_temperature_softens() -> None:
    twin = LOGITS[:, ::-1]
    hot, cold = TwinDivergence(temperature=5.0), TwinDivergence()
    assert (hot.score(LOGITS, twin) < cold.score(LOGITS, twin)).all()


def test_does_not_depend_on_the_batch_or_overflow() -> None:
    guard, twin = TwinDivergence(), LOGITS[:, ::-1].copy()
    together = guard.score(LOGITS * 1e4, twin)
    alone = [guard.score(LOGITS[i : i + 1] * 1e4, twin[i : i + 1])[0] for i in range(len(twin))]
    assert np.isfinite(together).all()
    np.testing.assert_allclose(together, alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("primary", "twin"),
    [
        (LOGITS, LOGITS[:5]),
        (LOGITS, LOGITS[:, :9]),
        (LOGITS[0], LOGITS[0]),
        (LOGITS[:, :1], LOGITS[:, :1]),
        (np.full_like(LOGITS, np.nan), LOGITS),
        (LOGITS, np.where(np.eye(6, 10) > 0, np.inf, LOGITS)),
        (np.where(np.eye(6, 10) > 0, -np.inf, LOGITS), LOGITS),
    ],
    ids=["rows", "classes", "vector", "one class", "nan", "inf", "-inf"],
)
def test_refuses_what_is_no_pair_of_answers(
    primary: NDArray[np.float32],
    twin: NDArray[np.float32],
) -> None:
    with np.errstate(all="ignore"), pytest.raises(DataError):
        TwinDivergence().score(primary, twin)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_senseless_temperature(temperature: float) -> None:
    with pytest.raises(UserError):
        TwinDivergence(temperature=temperature)
