"""Four defences and their combination against poisoning, FGSM, DeepFool and all three at once.

Subsets that two cores can train on, not the sets themselves: figures are to be compared with each
other. 30 % of the training labels are flipped to another class, drawn evenly; the validation labels
are not. What is done is kept in ``.hauberk/bench``: stopped, the run goes on from there.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from benchmarks.table import Row, conditions, publish
from hauberk.adapters.data.source import load_dataset
from hauberk.adapters.models.architectures import build
from hauberk.adapters.models.torch_model import TorchModel
from hauberk.attack.deepfool import DeepFool
from hauberk.attack.fgsm import FGSM
from hauberk.core.threat import ThreatModel
from hauberk.evaluate.robustness import evaluate
from hauberk.harden.composition import compose

if TYPE_CHECKING:
    from hauberk.core.data import Dataset, Split
    from hauberk.harden.recipe import Recipe

SHARED = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "mnist": (f"idx:{SHARED / 'mnist'}", 0.15),
    "cifar10-jpeg": (f"npz:{SHARED / 'cifar10-jpeg' / 'cifar10_jpeg_10k_2k.npz'}", 8 / 255),
}
SEEDS = (0, 1, 2)
TRAIN, VALIDATION, TEST, FLIPPED = 1200, 300, 200, 0.3
EPOCHS = {"clean": 8, "adversarial": 10}
DEFENCES = {
    "none": ["clean"],
    "cutmix": ["clean", "cutmix"],
    "early-stop + adversarial": ["early-stop", "adversarial"],
    "distil": ["clean", "distil"],
    "all": ["early-stop", "adversarial", "cutmix", "distil"],
}
ATTACKS = ("untouched", "label-flip", "fgsm", "deepfool", "all three")
KEPT = Path(".hauberk/bench/ablation.json")


def main() -> int:
    torch.set_num_threads(1)
    cells = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for seed in SEEDS:
        for name in SETS:
            _fill(cells, name, seed)
    rows = [row for name in SETS for row in _rows(cells, name)]
    facts = conditions(
        seeds=list(SEEDS),
        train=TRAIN,
        test=TEST,
        flipped=FLIPPED,
        epochs=EPOCHS,
        eps={name: round(eps, 4) for name, (_, eps) in SETS.items()},
        interval="95 % over seeds (Student's t), in id",
        cpu_minutes=round((sum(one["cpu"] for one in cells.values())) / 60, 1),
    )
    return publish("ablation", facts, rows)


_PARTS: tuple[tuple[Split, int], ...] = (
    ("train", TRAIN),
    ("validation", VALIDATION),
    ("test", TEST),
)


def _fill(cells: dict[str, Any], name: str, seed: int) -> None:
    source, eps = SETS[name]
    wanted = [
        (defence, poisoned, f"{name}|{seed}|{defence}|{poisoned}")
        for poisoned in (False, True)
        for defence in DEFENCES
    ]
    if all(key in cells for _, _, key in wanted):
        return
    data, threat = load_dataset(source), ThreatModel(eps=eps)
    rng = np.random.default_rng(seed)
    train, validation, test = (_some(data.split(part), n, rng) for part, n in _PARTS)
    for poisoned in (False, True):
        seen = _flipped(train, rng) if poisoned else train
        undefended: nn.Module | None = None
        for defence in DEFENCES:
            key = f"{name}|{seed}|{defence}|{poisoned}"
            start = time.process_time()
            if key in cells and defence != "none":
                continue
            fresh = build("cnn", {"in_shape": list(data.shape), "classes": data.classes}, seed=seed)
            module = _recipe(defence).fit(undefended or fresh, seen, validation, threat, seed=seed)
            undefended = undefended or module
            found = evaluate(
                TorchModel(module, data.bounds),
                test,
                threat,
                attacks={"fgsm": FGSM(), "deepfool": DeepFool()},
                seed=seed,
            )
            cells[key] = {
                "clean": float(found.clean.mean()),
                **{one.name: float(one.correct[0].mean()) for one in found.attacks},
                "worst": float(found.worst(eps).mean()),
                "cpu": time.process_time() - start,
            }
            print(key, {k: round(v, 3) for k, v in cells[key].items()}, flush=True)
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            KEPT.write_text(json.dumps(cells))


def _recipe(defence: str) -> Recipe:
    names = DEFENCES[defence]
    kind = "adversarial" if "adversarial" in names else "clean"
    settings = {"epochs": EPOCHS[kind], "steps": 3, "batch_size": 64, "start": "fresh"}
    # The floor of clean accuracy is the teacher's, which is not robust: leave room below it.
    return replace(compose(names, settings), clean_drop=0.2)


def _some(data: Dataset, n: int, rng: np.random.Generator) -> Dataset:
    return data.take(np.sort(rng.permutation(len(data))[:n]))


def _flipped(data: Dataset, rng: np.random.Generator) -> Dataset:
    labels = data.y.copy()
    hit = rng.random(len(labels)) < FLIPPED
    labels[hit] = (labels[hit] + rng.integers(1, data.classes, int(hit.sum()))) % data.classes
    return replace(data, y=labels)


def _rows(cells: dict[str, Any], name: str) -> list[Row]:
    """Per attack and defence the mean over seeds; does the combination beat each of its parts?"""
    where = {
        "untouched": (False, "clean"),
        "label-flip": (True, "clean"),
        "fgsm": (False, "fgsm"),
        "deepfool": (False, "deepfool"),
        "all three": (True, "worst"),
    }
    rows = []
    for attack in ATTACKS:
        poisoned, figure = where[attack]
        means = {}
        for defence in DEFENCES:
            values = [cells[f"{name}|{seed}|{defence}|{poisoned}"][figure] for seed in SEEDS]
            means[defence] = mean(values)
            spread = 4.303 * stdev(values) / sqrt(len(values))
            rows.append(
                Row(id=f"{name}, {attack}, {defence} (±{spread:.3f})", measured=mean(values))
            )
        best = max((value, defence) for defence, value in means.items() if defence != "all")
        won = "wins" if means["all"] > best[0] else "does not win"
        rows.append(
            Row(
                id=f"{name}, {attack}: all {won} over {best[1]}, by",
                measured=means["all"] - best[0],
            )
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
