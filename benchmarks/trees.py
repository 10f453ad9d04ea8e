"""Forests and boosted trees before and after training on the rows that evade them, on NSL-KDD.

Attacked under constraints by six times the queries that they were trained against, by few columns
at a time, and in another norm that they were not trained for. Finished parts are kept in
``.hauberk/bench``; arguments name the parts to run, as in ``"xgboost|0|after"``.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
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
EPS, TEST, SEEDS = 0.1, 150, (0, 1, 2)
EVADING = Evading(rounds=2, rows=1000, validation_most=200)
KEPT = Path(".hauberk/bench/trees.json")


def untrained(name: str, seed: int) -> Any:
    """A classifier of one of the libraries, of one thread."""
    if name == "random forest":
        forest = import_module("sklearn.ensemble").RandomForestClassifier
        return forest(30, random_state=seed, n_jobs=1)
    shape = {"n_estimators": 20, "max_depth": 6, "random_state": seed, "n_jobs": 1}
    if name == "xgboost":
        return import_module("xgboost").XGBClassifier(**shape, verbosity=0)
    # Some of the 38 classes have a handful of rows, on which its default steps diverge.
    careful = {"min_sum_hessian_in_leaf": 1.0, "verbosity": -1}
    return import_module("lightgbm").LGBMClassifier(**shape, **careful)


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
        "square, 300 queries": Square(queries=300),
        # One column or a few at a time: another walk than that of the training.
        "square by few columns, 300 queries": Square(queries=300, share=0.03),
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
    cells = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    data, features = table("nsl-kdd")
    threat = ThreatModel(eps=EPS, features=features)
    for name in LIBRARIES:
        for seed in SEEDS:
            for when in ("before", "after"):
                key = f"{name}|{seed}|{when}"
                if key not in cells and (not sys.argv[1:] or key in sys.argv[1:]):
                    cells[key] = _cell(name, seed, when, data, threat)
                    print(key, cells[key], flush=True)
                    KEPT.parent.mkdir(parents=True, exist_ok=True)
                    KEPT.write_text(json.dumps(cells))
    rows = [row for name in LIBRARIES for row in _rows(cells, name)]
    seeds = sorted({key.split("|")[1] for key in cells})
    facts = conditions(eps=EPS, test=TEST, seeds=seeds, peer="before hardening")
    return publish("trees", facts, rows)


def _cell(name: str, seed: int, when: str, data: Dataset, threat: ThreatModel) -> dict[str, float]:
    train, test = data.split("train"), data.split("test")
    test = test.take(np.linspace(0, len(test) - 1, TEST).astype(np.int64))
    learn, start = learning(name, data.classes, seed), time.process_time()
    if when == "before":
        model = learn(train.x, train.y)
    else:
        model = EVADING.fit(learn, train, data.split("validation"), threat, seed=seed)
    spent = time.process_time() - start
    return {**measured(model, test, threat), "CPU s of training": spent}


def _rows(cells: dict[str, dict[str, float]], name: str) -> list[Row]:
    """Means over the seeds that were run, and their range after hardening."""
    rows = []
    known = {
        when: [v for k, v in cells.items() if k.startswith(name) and k.endswith(when)]
        for when in ("before", "after")
    }
    for key in known["before"][0] if known["before"] and known["after"] else ():
        before, after = ([one[key] for one in known[when]] for when in ("before", "after"))
        rows.append(
            Row(
                id=f"{name}: {key} (seeds {min(after):.3f} to {max(after):.3f})",
                measured=mean(after),
                peer=mean(before),
                ratio=mean(after) / max(mean(before), 1e-9),
            )
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
