"""Forests and boosted trees before and after training on the rows that evade them, on NSL-KDD.

Attacked under constraints by ten times the queries that they were trained against, by few columns
at a time, and in another norm that they were not trained for.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.table import Row, conditions, publish
from benchmarks.tabular import table
from hauberk.adapters.models.called import CalledModel
from hauberk.attack.sparse_rs import SparseRS
from hauberk.attack.square import Square
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.harden.evading import Evading

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hauberk.core.data import Dataset
    from hauberk.core.model import Model

LIBRARIES = ("random forest", "xgboost", "lightgbm")
EPS, TEST, SEEDS = 0.1, 500, (0, 1, 2)


def untrained(name: str, seed: int) -> Any:
    """A classifier of one of the libraries, of one thread."""
    if name == "random forest":
        forest = import_module("sklearn.ensemble").RandomForestClassifier
        return forest(30, random_state=seed, n_jobs=1)
    shape = {"n_estimators": 20, "max_depth": 6, "random_state": seed, "n_jobs": 1}
    if name == "xgboost":
        return import_module("xgboost").XGBClassifier(**shape, verbosity=0)
    return import_module("lightgbm").LGBMClassifier(**shape, verbosity=-1)


def learning(
    name: str, classes: int, seed: int
) -> Callable[[NDArray[np.float32], NDArray[np.int64]], Model]:
    """What :class:`Evading` calls: labels that a split lacks keep the score 0."""

    def learn(x: NDArray[np.float32], y: NDArray[np.int64]) -> Model:
        known, places = np.unique(y, return_inverse=True)
        trees = untrained(name, seed).fit(x, places)

        def scores(rows: NDArray[np.float32]) -> NDArray[np.float64]:
            out = np.zeros((len(rows), classes))
            out[:, known] = trees.predict_proba(rows)
            return out

        return CalledModel(function=scores, classes=classes)

    return learn


def measured(model: Model, test: Dataset, threat: ThreatModel) -> dict[str, float]:
    """Clean accuracy and accuracy under each attack."""
    attacks = {
        "square, 500 queries": Square(queries=500),
        # One column or a few at a time: another walk than that of the training.
        "square by few columns, 500 queries": Square(queries=500, share=0.03),
    }
    found = evaluate(model, test, threat, attacks=attacks, seed=1)
    l0 = ThreatModel(norm="l0", eps=4.0, features=threat.features)
    sparse = evaluate(
        model, test, l0, attacks={"sparse-rs, 4 columns": SparseRS(queries=200)}, seed=1
    )
    figures = {
        one.name: float(one.correct[0].mean()) for run in (found, sparse) for one in run.attacks
    }
    return {"clean": float(found.clean.mean()), **figures}


def main() -> int:
    torch.set_num_threads(1)
    data, features = table("nsl-kdd")
    threat = ThreatModel(eps=EPS, features=features)
    train, validation = data.split("train"), data.split("validation")
    test = data.split("test")
    test = test.take(np.linspace(0, len(test) - 1, TEST).astype(np.int64))
    rows = []
    for name in LIBRARIES:
        figures: dict[str, list[float]] = {}
        for seed in SEEDS:
            learn = learning(name, data.classes, seed)
            start = time.process_time()
            plain = learn(train.x, train.y)
            middle = time.process_time()
            hard = Evading().fit(learn, train, validation, threat, seed=seed)
            spent = {"before": middle - start, "after": time.process_time() - middle}
            for when, model in (("before", plain), ("after", hard)):
                found = {**measured(model, test, threat), "CPU s of training": spent[when]}
                for key, value in found.items():
                    figures.setdefault(f"{key}|{when}", []).append(value)
        for key in dict.fromkeys(one.split("|")[0] for one in figures):
            before, after = (figures[f"{key}|{when}"] for when in ("before", "after"))
            rows.append(
                Row(
                    id=f"{name}: {key} (seeds {min(after):.3f} to {max(after):.3f})",
                    measured=mean(after),
                    peer=mean(before),
                    ratio=mean(after) / max(mean(before), 1e-9),
                )
            )
    facts = conditions(eps=EPS, test=TEST, seeds=list(SEEDS), peer="before hardening")
    return publish("trees", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
