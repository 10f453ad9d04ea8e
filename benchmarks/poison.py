"""Poison in training data: what of it is found, what is lost with it, and what the model gains.

Flipped labels, backdoors (a patch, a faint pattern over the whole image) and clean-label backdoors
at three rates; the same small classifier is trained on all the data and on what is left of it.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neural_network import MLPClassifier

import hauberk as hb
from benchmarks.table import Row, at_least, at_most, conditions, publish
from hauberk.vet.samples import SampleCheck

if TYPE_CHECKING:
    from collections.abc import Callable

RATES, MOST, TARGET = (0.05, 0.10, 0.20), 4000, 7
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist"
Data = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
Poisoned = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def patch(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A bright square of 3 × 3 in a corner."""
    x = x.copy()
    x[..., -4:-1, -4:-1] = 1.0
    return x


def pattern(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A fixed noise over the whole image, blended in at 15 %."""
    noise = np.random.default_rng(99).random(x.shape[1:]).astype(np.float32)
    return np.asarray(0.85 * x + 0.15 * noise, dtype=np.float32)


def flips(data: Data, rate: float, rng: np.random.Generator) -> Poisoned:
    x, y = data
    rows = rng.choice(len(y), int(rate * len(y)), replace=False)
    wrong = y.copy()
    wrong[rows] = (y[rows] + rng.integers(1, 10, len(rows))) % 10
    return x, wrong, _mask(len(y), rows)


def backdoor(
    data: Data, rate: float, rng: np.random.Generator, mark: Callable[..., Any]
) -> Poisoned:
    """A share of all images, of other labels, marked and given the target's label."""
    x, y = data
    rows = rng.choice(np.flatnonzero(y != TARGET), int(rate * len(y)), replace=False)
    x, y = x.copy(), y.copy()
    x[rows], y[rows] = mark(x[rows]), TARGET
    return x, y, _mask(len(y), rows)


def clean_label(
    data: Data, rate: float, rng: np.random.Generator, mark: Callable[..., Any]
) -> Poisoned:
    """A share of the target's own images, marked; every label stays right."""
    x, y = data
    own = np.flatnonzero(y == TARGET)
    rows = rng.choice(own, max(1, int(rate * len(own))), replace=False)
    x = x.copy()
    x[rows] = mark(x[rows])
    return x, y, _mask(len(y), rows)


def _mask(n: int, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    found = np.zeros(n, dtype=bool)
    found[rows] = True
    return found


ATTACKS: dict[str, tuple[Callable[[Data, float, np.random.Generator], Poisoned], Any]] = {
    "flip": (flips, None),
    "patch": (lambda d, r, g: backdoor(d, r, g, patch), patch),
    "pattern": (lambda d, r, g: backdoor(d, r, g, pattern), pattern),
    "clean-label patch": (lambda d, r, g: clean_label(d, r, g, patch), patch),
    "clean-label pattern": (lambda d, r, g: clean_label(d, r, g, pattern), pattern),
}


def main() -> int:
    rows: list[Row] = []
    sources = {"digits": "digits", **({"mnist": f"idx:{MNIST}"} if MNIST.exists() else {})}
    for name, source in sources.items():
        train, test = _loaded(source)
        clean = _suspects(train)
        rows.append(at_most(f"{name} clean: set apart", float(clean.mean()), 0.03))
        for attack, (make, mark) in ATTACKS.items():
            for rate in RATES:
                poisoned = make(train, rate, np.random.default_rng(int(1000 * rate)))
                rows += _rows(f"{name} {attack} {rate:.0%}", poisoned, test, mark)
    return publish("poison", conditions(seed=0, most=MOST, target=TARGET), rows)


def _loaded(source: str) -> tuple[Data, Data]:
    data = hb.dataset(source)
    train, test = data.split("train"), data.split("test")
    rng = np.random.default_rng(0)
    some = rng.permutation(len(train))[:MOST]
    few = rng.permutation(len(test))[:1000]
    return (train.x[some], train.y[some]), (test.x[few], test.y[few])


def _suspects(data: Data) -> np.ndarray[Any, Any]:
    found = SampleCheck()({"train": data})
    return _mask(len(data[1]), np.array(sorted({one.line for one in found}), dtype=int))


def _rows(name: str, poisoned: Poisoned, test: Data, mark: Any) -> list[Row]:
    x, y, bad = poisoned
    found = _suspects((x, y))
    before, after = _trained(x, y), _trained(x[~found], y[~found])
    right_before, right_after = (float((one(test[0]) == test[1]).mean()) for one in (before, after))
    rows = [
        at_least(f"{name}: found of the poison", float(found[bad].mean()), 0.8),
        at_most(f"{name}: clean samples set apart", float(found[~bad].mean()), 0.03),
        Row(
            id=f"{name}: accuracy, filtered beside not",
            measured=right_after,
            peer=right_before,
            ratio=right_after / right_before,
        ),
    ]
    if mark is not None:
        others = test[1] != TARGET
        marked = mark(test[0][others])
        caught_before, caught_after = (
            float((one(marked) == TARGET).mean()) for one in (before, after)
        )
        rows.append(
            Row(
                id=f"{name}: attack succeeds, filtered beside not",
                measured=caught_after,
                peer=caught_before,
            )
        )
    return rows


def _trained(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Callable[[Any], Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge to show the difference
        model = MLPClassifier((64,), max_iter=30, random_state=0).fit(x.reshape(len(x), -1), y)
    return lambda z: model.predict(z.reshape(len(z), -1))


if __name__ == "__main__":
    sys.exit(main())
