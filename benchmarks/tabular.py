"""Rows of tables attacked under constraints: how many fall, and that none breaks a constraint."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn

from benchmarks.table import Row, at_least, at_most, conditions, publish
from hauberk.adapters.data.features_file import read_features
from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.models.architectures import build
from hauberk.attack.apgd_l1 import APGDL1
from hauberk.attack.hop_skip_jump import HopSkipJump
from hauberk.attack.pgd import PGD
from hauberk.attack.pgd_l0 import PGDL0
from hauberk.attack.sparse_rs import SparseRS
from hauberk.attack.square import Square
from hauberk.core.data import Batch
from hauberk.core.model import Access, Bounds
from hauberk.core.task import Classification
from hauberk.core.threat import ThreatModel
from hauberk.testing.models import ToyModel

if TYPE_CHECKING:
    from hauberk.attack.attack import Attack
    from hauberk.core.data import Dataset
    from hauberk.core.features import Features
    from hauberk.core.model import Model

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
TABLES = {
    "nsl-kdd": "nsl-kdd/KDDTest+.csv.gz",
    "nursery": "nursery/Nursery_prepared_train.csv.gz",
}
TASK = Classification()
SOME = 2000


@dataclass(frozen=True)
class Forest:
    """A random forest that answers with scores or with labels."""

    trees: RandomForestClassifier
    access: Access = Access.SCORES
    bounds: Bounds = field(default_factory=Bounds)

    def __call__(self, x: Tensor, /) -> Tensor:
        """Scores ``(batch, classes)``, or 1 for the label and 0 for the others."""
        known = torch.from_numpy(self.trees.predict_proba(x.numpy())).float()
        scores = torch.zeros(len(x), int(max(self.trees.classes_)) + 1)
        scores[:, list(self.trees.classes_)] = known
        if self.access == Access.SCORES:
            return scores
        return torch.zeros_like(scores).scatter(1, scores.argmax(1, keepdim=True), 1.0)


Run = tuple[str, "Attack", "ThreatModel", "Model"]


def table(name: str) -> tuple[Dataset, Features]:
    """The data and the constraints that ``benchmarks/tables`` states for it."""
    data = load_dataset(f"csv:{DATA / TABLES[name]}")
    return data, read_features(str(HERE / "tables" / f"{name}.toml"), data.columns)


def network(data: Dataset) -> ToyModel:
    """Two hidden layers, ten epochs of Adam on the train split."""
    train = data.split("train")
    module = build("mlp", {"in_shape": list(data.shape), "classes": data.classes})
    optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    rng = np.random.default_rng(0)
    for _ in range(10):
        for rows in np.array_split(rng.permutation(len(x)), max(1, len(x) // 128)):
            optimiser.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(module(x[rows]), y[rows]))
            optimiser.step()
    return ToyModel(module.eval())


def forest(data: Dataset, access: Access = Access.SCORES) -> Forest:
    """Thirty trees on the train split."""
    train = data.split("train")
    return Forest(RandomForestClassifier(30, random_state=0).fit(train.x, train.y), access)


def by_gradients(data: Dataset) -> list[Run]:
    """A network in every norm; cheap enough for every row."""
    net = network(data)
    return [
        ("pgd linf 0.1, network", PGD(steps=10), ThreatModel(eps=0.1), net),
        ("pgd linf 1, network", PGD(steps=10), ThreatModel(eps=1.0), net),
        ("pgd l2 2, network", PGD(steps=10), ThreatModel(norm="l2", eps=2.0), net),
        ("apgd-l1 3, network", APGDL1(steps=10), ThreatModel(norm="l1", eps=3.0), net),
        ("pgd-l0 6, network", PGDL0(steps=10), ThreatModel(norm="l0", eps=6.0), net),
    ]


def by_answers(data: Dataset) -> list[Run]:
    """Trees by scores and by labels."""
    scores = forest(data)
    labels = replace(scores, access=Access.LABELS)
    hop, ball = HopSkipJump(queries=80, looks=15), ThreatModel(norm="l2", eps=1.0)
    return [
        ("square linf 0.1, trees", Square(queries=50), ThreatModel(eps=0.1), scores),
        ("sparse-rs l0 4, trees", SparseRS(queries=50), ThreatModel(norm="l0", eps=4.0), scores),
        ("hop-skip-jump l2 1, trees by labels", hop, ball, labels),
    ]


def attacked(
    data: Dataset, features: Features, run: Run, most: int | None = None
) -> dict[str, Any]:
    """Attack all rows, or ``most`` of them; what fell, and what breaks which constraint."""
    _, attack, threat, model = run
    rows = np.arange(min(most or len(data), len(data)))
    n, clean, stands, broken = (
        0,
        0,
        0,
        dict.fromkeys(features.violations(data.x[:1], data.x[:1]), 0),
    )
    for index in np.array_split(rows, max(1, len(rows) // 2048)):
        batch = Batch(
            x=torch.from_numpy(data.x[index]), y=torch.from_numpy(data.y[index]), index=index
        )
        lawful = replace(threat, features=features)
        points = attack(model, batch, lawful, task=TASK, rng=np.random.default_rng(0))
        for kind, found in features.violations(data.x[index], points.numpy()).items():
            broken[kind] += int(found.sum())
        with torch.no_grad():
            clean += int(TASK.correct(model(batch.x), batch.y).sum())
            stands += int(TASK.correct(model(points), batch.y).sum())
        n += len(index)
    return {"n": n, "clean": clean / n, "left": stands / n, "broken": dict(broken)}


def main() -> int:
    """Every row of both tables by gradients, and some by answers."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    total = broken = 0
    for name in TABLES:
        data, features = table(name)
        for plan, most in ((by_gradients(data), None), (by_answers(data), SOME)):
            for run in plan:
                found = attacked(data, features, run, most)
                total += found["n"]
                broken += sum(found["broken"].values())
                rows.append(Row(id=f"{name} {run[0]}: clean", measured=found["clean"]))
                rows.append(Row(id=f"{name} {run[0]}: left", measured=found["left"]))
    rows.append(at_least("adversarial rows", total, 1e5))
    rows.append(at_most("rows that break a constraint", broken, 0))
    facts = conditions(torch=torch.__version__, seed=0, rows=total, rows_of_trees=SOME)
    return publish("tabular", facts, rows)


if __name__ == "__main__":
    sys.exit(main())
