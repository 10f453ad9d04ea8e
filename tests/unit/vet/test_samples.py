"""Labelled samples: copies, contradictions, flipped labels and marks are found, and only these."""

from typing import Any

import numpy as np
import pytest

import hauberk as hb
from hauberk.vet.poison_labels import FlippedLabels
from hauberk.vet.poison_triggers import Triggers
from hauberk.vet.samples import SampleCheck

Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def digits() -> Arrays:
    train = hb.dataset("digits").split("train")
    # Every second pixel is enough here, and quicker.
    return train.x[:, :, ::2, ::2].copy(), train.y.copy()


def test_clean_digits_hold_no_mark_and_hardly_a_wrong_label(digits: Arrays) -> None:
    assert Triggers()(*digits) == ()
    assert FlippedLabels()(*digits).mean() < 0.02


@pytest.mark.parametrize("rate", [0.05, 0.20])
def test_flipped_labels_are_found(digits: Arrays, rate: float) -> None:
    x, y = digits
    rng = np.random.default_rng(0)
    rows = rng.choice(len(y), int(rate * len(y)), replace=False)
    wrong = y.copy()
    wrong[rows] = (y[rows] + rng.integers(1, 10, len(rows))) % 10
    found = FlippedLabels()(x, wrong)
    assert found[rows].mean() > 0.8
    assert np.delete(found, rows).mean() < 0.02


@pytest.mark.parametrize("own", [False, True])
def test_a_mark_on_one_label_is_found(digits: Arrays, *, own: bool) -> None:
    x, y = digits[0].copy(), digits[1].copy()
    rng = np.random.default_rng(1)
    among = np.flatnonzero((y == 7) == own)
    rows = rng.choice(among, 12 if own else len(y) // 10, replace=False)
    x[rows, :, -3:-1, -3:-1] = 1.0
    y[rows] = 7
    (found,) = Triggers()(x, y)
    assert found.label == 7
    assert len(set(found.rows) & set(rows)) >= 0.95 * len(rows)
    assert len(set(found.rows) - set(rows)) <= 3


def test_a_mark_on_every_label_is_no_mark_of_one(digits: Arrays) -> None:
    x = digits[0].copy()
    x[:, :, -3:-1, -3:-1] = 1.0
    assert Triggers()(x, digits[1]) == ()


def test_copies_within_and_across_splits(digits: Arrays) -> None:
    x, y = digits
    train, test = (x[:300].copy(), y[:300].copy()), (x[300:400].copy(), y[300:400].copy())
    train[0][17], train[1][17] = train[0][3], train[1][3]
    test[0][5], test[1][5] = train[0][8], train[1][8]
    test[0][6] = np.clip(train[0][9] * 0.999 + 0.0004, 0, 1)
    test[0][7], test[1][7] = train[0][11], (train[1][11] + 1) % 10
    test[0][8] = 0.5
    found = {
        (one.part, one.line): one.rule for one in SampleCheck()({"train": train, "test": test})
    }
    assert found[("train", 17)] == "HB-V305"
    assert found[("test", 5)] == "HB-V305"
    assert found[("test", 6)] == "HB-V305"
    assert found[("test", 7)] == "HB-V306"
    assert found[("test", 8)] == "HB-V308"


def test_few_samples_say_nothing() -> None:
    x, y = np.random.default_rng(0).random((20, 1, 4, 4)), np.arange(20) % 2
    assert not FlippedLabels()(x, y).any()
    assert Triggers()(x, y) == ()
